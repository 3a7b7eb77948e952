"""What `colorize submit` checks before anything is uploaded."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs import submit
from jobs.cli import main
from jobs.submit import check_job

OneLine = Callable[[list[str], int], str]
TRAIN = ["verb=train", "keys.shards=s3://m/shards", "keys.output=s3://m/run", "keys.loss.l1=1", "keys.model.name=lite"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a configuration file, and no cluster: nothing may be sent."""
    (tmp_path / "train.yaml").write_text("loss: {l1: 1}\nmodel: {name: lite}\noptim: {epochs: 2}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    return tmp_path


def config_of(arguments: list[str]) -> submit.SubmitConfig:
    return submit.SubmitConfig.load(None, arguments)


@pytest.mark.parametrize("flag", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["keys.outptu=x"], "keys of train: outptu = 'x': unknown key; did you mean output?"),
        (["keys.optim.epochs=none"], "keys of train: optim.epochs = 'none'"),
        (["keys.output=runs/x"], "keys of train: output = 'runs/x': would be deleted with the uploaded working"),
        (["keys.shards=s3://BUCKET/shards"], "keys.shards = 's3://BUCKET/shards': replace BUCKET"),
        (["verb=trian"], "verb = 'trian': unknown; did you mean train?"),
    ],
)
def test_a_job_that_would_be_refused_is_refused_here(
    one_line: OneLine, keys: list[str], said: str, flag: list[str]
) -> None:
    assert said in one_line(["submit", *TRAIN, *keys, *flag], 2)


def test_a_valid_job_reaches_for_the_cluster(one_line: OneLine) -> None:
    assert "http://127.0.0.1:9 cannot be reached" in one_line(["submit", *TRAIN], 1)


def test_the_file_of_the_verb_is_checked_and_named(one_line: OneLine, folder: Path) -> None:
    keys = ["verb=train", "config=train.yaml", "keys.shards=s3://m/shards"]
    assert "train.yaml: output (directory or URI of the run) is required" in one_line(["submit", *keys], 2)
    assert main(["submit", *keys, "keys.output=s3://m/run", "--dry-run"]) == 0
    (folder / "train.yaml").write_text("loss: {l1: 1}\nmodel: {name: lite}\noptim: {epoch: 2}\n")
    line = one_line(["submit", *keys, "keys.output=s3://m/run"], 2)
    assert "train.yaml: optim.epoch = 2: unknown key; did you mean optim.epochs?" in line


def test_a_placeholder_in_the_file_may_be_overridden(one_line: OneLine, folder: Path) -> None:
    (folder / "train.yaml").write_text(
        "shards: s3://BUCKET/s\noutput: s3://m/run\nloss: {l1: 1}\nmodel: {name: lite}\n"
    )
    job = ["submit", "verb=train", "config=train.yaml", "--dry-run"]
    assert "train.yaml: shards = 's3://BUCKET/s': replace BUCKET" in one_line(job, 2)
    assert main([*job, "keys.shards=s3://m/shards"]) == 0


def test_a_file_on_the_cluster_and_other_code_are_not_checked(caplog: pytest.LogCaptureFixture, folder: Path) -> None:
    check_job(config_of([*TRAIN, "config=/colorize/configs/elsewhere.yaml", "keys.outptu=x"]))
    assert "/colorize/configs/elsewhere.yaml is on the cluster" in caplog.text
    for package in ("cluster", "colorize_core", "jobs"):
        (folder / package).mkdir()
    (folder / "jobs" / "cli.py").write_text("")
    check_job(config_of([*TRAIN, "keys.outptu=x"]))
    assert "has other code" in caplog.text


def test_without_an_upload_a_relative_output_is_the_clusters_matter() -> None:
    check_job(config_of([*TRAIN, "keys.output=runs/x", "working_dir="]))


def test_a_kind_of_a_verb_is_two_words() -> None:
    config = config_of(["verb=benchmark model"])
    check_job(config)
    assert config.words()[:5] == ["python", "-m", "jobs.cli", "benchmark", "model"]


def test_words_of_a_command_are_checked_for_placeholders(one_line: OneLine) -> None:
    assert "replace BUCKET" in one_line(["submit", "command=[ls, s3://BUCKET/x]", "--dry-run"], 2)
