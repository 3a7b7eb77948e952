"""The record of a run: which changes of the configuration are refused when it continues."""

import json
from pathlib import Path

import pytest
from pydantic import Field

from cluster.config.keys import CHANGEABLE, changeable_keys
from cluster.config.loading import Section
from cluster.storage.stores import LocalStorage
from colorize_core.errors import UserError
from jobs.archive.config import ArchiveConfig
from jobs.run.record import RUN_FILE, begin_run, check_run
from jobs.sweep.config import SweepConfig
from jobs.train.config import TrainConfig


class Speed(Section):
    workers: int = Field(1, json_schema_extra=CHANGEABLE)
    loss: str = "l1"


class Config(Section):
    limit: int = Field(1, json_schema_extra=CHANGEABLE)
    limits: int = 1
    storage: Speed = Field(default_factory=Speed, json_schema_extra=CHANGEABLE)
    speed: Speed = Field(default_factory=Speed)


@pytest.fixture
def output(tmp_path: Path) -> LocalStorage:
    storage = LocalStorage(str(tmp_path))
    begin_run(storage, "train", Config(), {"shards": "1"})
    return storage


@pytest.mark.parametrize("config", [Config(limit=2), Config(storage=Speed(loss="l2")), Config(speed=Speed(workers=2))])
def test_marked_keys_may_change(output: LocalStorage, config: Config) -> None:
    started = json.loads(output.read(RUN_FILE))["started"]
    record = begin_run(output, "train", config, {"shards": "1"})
    assert record["started"] == started
    assert json.loads(output.read(RUN_FILE))["config"] == config.model_dump()


def test_a_run_of_a_version_without_a_key_continues_if_the_key_has_its_default(output: LocalStorage) -> None:
    earlier = json.loads(output.read(RUN_FILE))
    del earlier["config"]["limits"], earlier["config"]["speed"]["loss"]
    output.write(RUN_FILE, json.dumps(earlier).encode())
    begin_run(output, "train", Config(), {"shards": "1"})
    output.write(RUN_FILE, json.dumps(earlier).encode())
    with pytest.raises(UserError, match=r'limits 1 -> 2, speed\.loss "l1" -> "l2"'):
        begin_run(output, "train", Config(limits=2, speed=Speed(loss="l2")), {"shards": "1"})


@pytest.mark.parametrize(
    ("config", "change"),
    [(Config(limits=2), "limits 1 -> 2"), (Config(speed=Speed(loss="l2")), 'speed.loss "l1" -> "l2"')],
)
def test_other_keys_are_refused_with_the_difference_and_the_keys_that_may_change(
    output: LocalStorage, config: Config, change: str
) -> None:
    with pytest.raises(UserError) as refused:
        begin_run(output, "train", config, {"shards": "1"})
    assert f"({change})" in str(refused.value)
    assert "limit, storage, speed.workers" in str(refused.value)
    begin_run(output, "train", config, {"shards": "1"}, changeable=["limits", "speed"])
    check_run(output, "train", config, {"shards": "1"}, new_run=True)


def test_other_inputs_and_verbs_are_refused(output: LocalStorage) -> None:
    with pytest.raises(UserError, match='contents of shards "1" -> "2"'):
        begin_run(output, "train", Config(), {"shards": "2"})
    with pytest.raises(UserError, match="run of 'train', not 'archive'"):
        check_run(output, "archive", Config(), {}, new_run=True)


def test_an_output_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        begin_run(LocalStorage(str(tmp_path)), "train", Config(), {})


@pytest.mark.parametrize(
    ("config", "changeable", "fixed"),
    [
        (ArchiveConfig, {"ray", "storage", "actors", "limit", "retry_failed"}, {"format", "checkpoint", "listing"}),
        (TrainConfig, {"ray", "storage", "tracking", "optim.epochs", "workers.cpus"}, {"optim.lr", "workers.count"}),
        (SweepConfig, {"ray", "storage", "grid"}, {"shards", "optim"}),
    ],
)
def test_resources_may_change_and_results_may_not(config: type[Section], changeable: set[str], fixed: set[str]) -> None:
    assert changeable <= set(changeable_keys(config))
    assert not fixed & set(changeable_keys(config))
