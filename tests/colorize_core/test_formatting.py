import pytest

from colorize_core.formatting import first_line, flatten, format_bytes, format_duration, last_line, set_dotted


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (74_000, "74 kB"), (3.14e6, "3.1 MB"), (1.5e9, "1.5 GB"), (2e12, "2.0 TB")],
)
def test_bytes_have_the_unit_of_their_size(number: float, text: str) -> None:
    assert format_bytes(number) == text


@pytest.mark.parametrize(("seconds", "text"), [(7.6, "8 s"), (125, "2 min 5 s"), (12_000, "3 h 20 min")])
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_the_first_line_of_an_error() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line("x" * 500)) == 200


def test_the_last_line_of_a_log() -> None:
    assert last_line("one\ntwo\n\n") == "two"
    assert last_line("") == ""


def test_flatten_and_set_dotted_are_inverse() -> None:
    nested = {"a": {"b": 1, "c": {"d": [2]}}, "e": {}}
    flat = flatten(nested)
    assert flat == {"a.b": 1, "a.c.d": [2], "e": {}}
    rebuilt: dict[str, object] = {}
    for key, value in flat.items():
        set_dotted(rebuilt, key, value)
    assert rebuilt == nested


def test_a_dotted_key_replaces_a_value_by_a_mapping() -> None:
    values: dict[str, object] = {"a": 1}
    set_dotted(values, "a.b", 2)
    assert values == {"a": {"b": 2}}
