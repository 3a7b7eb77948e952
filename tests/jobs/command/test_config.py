from pathlib import Path

import pytest
import yaml
from pydantic import Field

from cluster.config.keys import list_keys
from cluster.config.loading import Section, to_yaml
from colorize_core.errors import UserError
from jobs.archive.job import ArchiveConfig
from jobs.command.config import JobConfig
from jobs.command.verb import VERBS, load_verb
from jobs.evaluate.job import EvaluateConfig
from jobs.prepare.config import PrepareConfig
from jobs.sweep.config import SweepConfig
from jobs.train.config import TrainConfig

CONFIGS = Path(__file__).parents[3] / "configs"
OF_JOBS = [
    *(file for file in sorted(CONFIGS.glob("*.yaml")) if not file.stem.startswith(("submit_", "starter"))),
    CONFIGS / "papers" / "gray-to-glory" / "sweep.yaml",
]


class Inner(Section):
    """Inner keys."""

    rate: float = Field(0.1, gt=0)
    """How fast."""
    sizes: tuple[int, ...] = (1, 2)
    """How large."""


class Example(JobConfig):
    """An example."""

    source: str
    """Where from."""
    inner: Inner = Field(default_factory=Inner)
    """Inner keys."""


def write(tmp_path: Path, text: str) -> str:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return str(file)


def error_of(file: str | None, overrides: list[str]) -> str:
    with pytest.raises(UserError) as caught:
        Example.load(file, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_file_and_overrides_are_merged_and_the_command_line_wins(tmp_path: Path) -> None:
    config = Example.load(write(tmp_path, "source: a\ninner: {rate: 0.5}"), ["source=b", "inner.sizes=[3]"])
    assert (config.source, config.inner.rate, config.inner.sizes) == ("b", 0.5, (3,))


def test_exponents_that_yaml_reads_as_text_are_numbers() -> None:
    assert Example.load(None, ["source=a", "inner.rate=1e-4"]).inner.rate == 1e-4


def test_resolved_config_round_trips_through_yaml(tmp_path: Path) -> None:
    config = Example.load(None, ["source=a", "inner.rate=0.25"])
    assert Example.load(write(tmp_path, to_yaml(config)), []) == config
    assert to_yaml(config, with_defaults=False) == "source: a\ninner:\n  rate: 0.25\n"


def test_unknown_key_names_file_path_value_and_nearest_key(tmp_path: Path) -> None:
    file = write(tmp_path, "source: a\ninner: {rte: 0.5}")
    message = error_of(file, [])
    assert message == f"{file}: inner.rte = 0.5: unknown key; did you mean inner.rate?"


def test_unknown_key_of_the_command_line_says_so(tmp_path: Path) -> None:
    assert error_of(write(tmp_path, "source: a"), ["sorce=b"]).startswith("command line: sorce = 'b': unknown key")


def test_key_in_the_wrong_section_is_found_elsewhere() -> None:
    assert "did you mean inner.rate?" in error_of(None, ["source=a", "rate=1"])


def test_wrong_type_names_key_and_value(tmp_path: Path) -> None:
    file = write(tmp_path, "source: a\ninner: {rate: fast}")
    assert error_of(file, []).startswith(f"{file}: inner.rate = 'fast': input should be a valid number")


def test_value_out_of_range_says_the_range() -> None:
    assert "inner.rate = -1: input should be greater than 0" in error_of(None, ["source=a", "inner.rate=-1"])


def test_missing_key_says_what_it_is_for() -> None:
    assert error_of(None, []) == "command line: source (where from) is required"


def test_several_problems_are_counted() -> None:
    assert error_of(None, ["inner.rate=-1", "x=1"]).endswith("(and 2 more)")


@pytest.mark.parametrize(
    ("text", "said"),
    [("- a", "expected keys and values"), ("a: [", "not valid YAML")],
)
def test_files_that_are_not_a_mapping_are_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in error_of(write(tmp_path, text), [])


def test_missing_file_is_named() -> None:
    assert error_of("nowhere.yaml", []) == "nowhere.yaml: cannot be read (No such file or directory)"


def test_override_without_a_value_sign_is_refused() -> None:
    assert "expected key=value" in error_of(None, ["source"])


@pytest.mark.parametrize("verb", [name for name, entry in VERBS.items() if entry.module])
def test_every_key_has_a_meaning_and_a_type_in_words(verb: str) -> None:
    for key in list_keys(load_verb(verb).CONFIG):
        assert key.meaning, key.name
        assert "<class" not in key.type, key.name


@pytest.mark.parametrize("file", OF_JOBS, ids=lambda file: file.stem)
def test_configs_of_the_project_load(file: Path) -> None:
    verbs: dict[str, type[JobConfig]] = {
        "archive": ArchiveConfig,
        "cluster_archive": ArchiveConfig,
        "evaluate": EvaluateConfig,
        "prepare": PrepareConfig,
        "sweep": SweepConfig,
    }
    model = verbs.get(file.stem, TrainConfig)
    given = yaml.safe_load(file.read_text())
    required = [name for name, field in model.model_fields.items() if field.is_required() and name not in given]
    assert model.load(str(file), [f"{name}=x" for name in required])


def test_prepare_refuses_fractions_with_folders() -> None:
    with pytest.raises(UserError, match="no effect with split=folders"):
        PrepareConfig.load(None, ["source=s", "output=o", "split=folders", "val_fraction=0.2"])


def test_an_output_in_the_copy_that_a_submitted_job_runs_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked = tmp_path / "working_dir_files" / "_ray_pkg_0123"
    unpacked.mkdir(parents=True)
    monkeypatch.chdir(unpacked)
    places = ["source=photos", "checkpoint=c"]
    with pytest.raises(UserError, match="output = 'color': would be deleted with the uploaded"):
        ArchiveConfig.load(None, [*places, "output=color"])
    for kept in ("s3://bucket/color", "/mnt/shared/color"):
        assert ArchiveConfig.load(None, [*places, f"output={kept}"]).output == kept
    monkeypatch.chdir(tmp_path)
    assert ArchiveConfig.load(None, [*places, "output=color"]).output == "color"


@pytest.mark.parametrize("arguments", [["train.lr=0.1"], ["train={lr: 0.1}"]])
def test_a_key_of_an_earlier_version_is_refused_with_its_name_now(arguments: list[str]) -> None:
    with pytest.raises(UserError, match=r"command line: train\.lr = 0\.1: this key is now called optim\.lr"):
        TrainConfig.load(None, ["shards=s", "output=o", "model.name=lite", "loss.l1=1", *arguments])


def test_a_definition_of_an_earlier_version_is_refused_with_its_name_now() -> None:
    with pytest.raises(UserError, match="seed-003 is now called resnet18-losses"):
        EvaluateConfig.load(None, ["shards=s", "output=o", "checkpoint=starter", "definitions=[seed-003]"])
