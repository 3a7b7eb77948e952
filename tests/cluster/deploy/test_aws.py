"""The file for Ray's launcher on AWS."""

import copy
import re
from typing import Any

import botocore.session
import jsonschema
import pytest
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster import spot
from jobs.archive.config import ArchiveConfig
from jobs.command.config import VerbConfig
from jobs.train.config import TrainConfig
from tests.cluster.deploy.deployment import ROOT, assert_ray_start, image, read, secrets_in


@pytest.fixture
def launcher() -> dict[str, Any]:
    return read("aws.yaml")


def check(launcher: dict[str, Any]) -> None:
    """Fill the defaults in and check the result, as `ray up` does."""
    validate_config(prepare_config(copy.deepcopy(launcher)))


def run_instances(parameters: dict[str, Any]) -> str:
    """What AWS's client would say to these parameters of a machine; nothing when they are right."""
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    return ParamValidator().validate({"MinCount": 1, "MaxCount": 1, **parameters}, shape).generate_report()


def load(name: str, kind: type[VerbConfig], *keys: str) -> Any:
    return kind.load(str(ROOT / "configs" / name), list(keys))


def test_ray_takes_it(launcher: dict[str, Any]) -> None:
    check(launcher)


@pytest.mark.parametrize("key", ["idle_timeout_minutes", "available_node_types", "file_mounts", "setup_commands"])
def test_ray_refuses_a_misspelled_key(launcher: dict[str, Any], key: str) -> None:
    launcher[f"{key}x"] = launcher.pop(key)
    with pytest.raises(jsonschema.ValidationError, match=f"{key}x"):
        check(launcher)


def test_aws_takes_the_machines(launcher: dict[str, Any]) -> None:
    for node in launcher["available_node_types"].values():
        assert run_instances(node["node_config"]) == ""
    assert "InstanceTyp" in run_instances({"InstanceTyp": "g5.2xlarge"})


def test_the_head_does_no_work_and_is_not_a_spot_machine(launcher: dict[str, Any]) -> None:
    head = launcher["available_node_types"][launcher["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]


def test_workers_are_spot_machines_that_come_and_go(launcher: dict[str, Any]) -> None:
    worker = launcher["available_node_types"]["gpu"]
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert worker["min_workers"] == 0 < worker["max_workers"] == launcher["max_workers"]
    assert 1 <= launcher["idle_timeout_minutes"] <= 30


def test_the_image_is_that_of_kubernetes(launcher: dict[str, Any]) -> None:
    assert launcher["docker"]["image"] == image()


def test_there_are_no_credentials(launcher: dict[str, Any]) -> None:
    assert not secrets_in(launcher)
    assert all("IamInstanceProfile" in node["node_config"] for node in launcher["available_node_types"].values())
    assert launcher["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"


def test_ray_knows_its_start_commands(launcher: dict[str, Any]) -> None:
    (head,) = re.findall(r"ray start .*", "\n".join(launcher["head_start_ray_commands"]))
    (worker,) = re.findall(r"ray start .*", "\n".join(launcher["worker_start_ray_commands"]))
    options = assert_ray_start(head)
    assert options["head"]
    assert options["dashboard_host"] == "127.0.0.1"  # reached through ssh alone
    assert assert_ray_start(worker)["address"] == "$RAY_HEAD_IP:6379"


def test_workers_listen_to_the_notice_of_a_spot_machine(launcher: dict[str, Any], monkeypatch: Any) -> None:
    (command,) = re.findall(r"python -m cluster\.spot (\S+)", "\n".join(launcher["worker_start_ray_commands"]))
    parsed: list[str] = []

    def stop(metadata: str) -> None:
        parsed.append(metadata)
        raise KeyboardInterrupt

    monkeypatch.setattr(spot, "interruption_time", stop)
    with pytest.raises(KeyboardInterrupt):
        spot.main([command])
    assert parsed == [spot.METADATA]


def test_training_fits(launcher: dict[str, Any]) -> None:
    worker = launcher["available_node_types"]["gpu"]
    config: TrainConfig = load("cluster_train.yaml", TrainConfig, "shards=s3://b/shards", "output=s3://b/run")
    assert config.workers.gpu
    assert config.workers.count <= worker["max_workers"] * worker["resources"]["GPU"]
    assert config.workers.cpus * worker["resources"]["GPU"] <= worker["resources"]["CPU"]


def test_the_archive_fits(launcher: dict[str, Any]) -> None:
    worker = launcher["available_node_types"]["gpu"]
    keys = ("source=s3://b/gray", "output=s3://b/color", "checkpoint=s3://b/run/best")
    actors = load("cluster_archive.yaml", ArchiveConfig, *keys).actors
    assert actors.count * actors.gpus <= worker["max_workers"] * worker["resources"]["GPU"]
    assert worker["resources"]["GPU"] / actors.gpus * actors.cpus < worker["resources"]["CPU"]
