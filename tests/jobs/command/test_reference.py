from pathlib import Path

from jobs.command.reference import FILE, write_reference

ROOT = Path(__file__).parents[3]


def test_the_reference_of_the_configuration_is_current() -> None:
    assert (ROOT / FILE).read_text() == write_reference(), "run `make reference`"


def test_the_reference_has_keys_of_every_verb_and_of_shared_sections() -> None:
    text = write_reference()
    for row in (
        "| `max_failed_fraction` * | number | 0.05 |",
        "| `ray.address` * | text | none |",
        "| `optim.epochs`",
        "| `input` | text | required |",
    ):
        assert row in text, row
    assert text.count("`storage.endpoint`") == 1
