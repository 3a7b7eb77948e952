"""The file for Ray's launcher on AWS."""

import copy
import re
from typing import Any

import botocore.session
import jsonschema
import pytest
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

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


def workers(launcher: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The types of machines that do the work, by name."""
    return {name: node for name, node in launcher["available_node_types"].items() if name != launcher["head_node_type"]}


def test_workers_come_and_go(launcher: dict[str, Any]) -> None:
    assert all(worker["min_workers"] == 0 for worker in workers(launcher).values())
    assert sum(worker["max_workers"] for worker in workers(launcher).values()) == launcher["max_workers"]
    assert 1 <= launcher["idle_timeout_minutes"] <= 30


def test_the_least_that_training_needs_is_on_demand_and_the_rest_is_spot(launcher: dict[str, Any]) -> None:
    """By Ray's own scheduler: a run with all its workers starts these machines."""
    config: TrainConfig = load("cluster_train.yaml", TrainConfig, "shards=s3://b/shards", "output=s3://b/run")
    started = started_for(launcher, config.workers.count, {"CPU": config.workers.cpus, "GPU": 1})
    assert started == {"gpu-on-demand": config.workers.min, "gpu-spot": 1, "gpu-spot-4xlarge": 1}
    for name, worker in workers(launcher).items():
        market = worker["node_config"].get("InstanceMarketOptions")
        assert market == (None if name == "gpu-on-demand" else {"MarketType": "spot"})


def started_for(launcher: dict[str, Any], count: int, resources: dict[str, float]) -> dict[str, int]:
    """How many machines of each type the autoscaler would start for processes with these resources."""
    config = AutoscalingConfig(prepare_config(copy.deepcopy(launcher)), skip_content_hash=True)
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=config.get_max_num_worker_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(resources)] * count),
    )
    reply = ResourceDemandScheduler().schedule(request)
    return {launch.instance_type: launch.count for launch in reply.to_launch}


def test_the_image_is_that_of_kubernetes(launcher: dict[str, Any]) -> None:
    assert launcher["docker"]["image"] == f"REGISTRY/{image()}"


def test_the_machine_image_is_found_by_its_published_parameter(launcher: dict[str, Any]) -> None:
    """`resolve:ssm:` and the parameter's name are what RunInstances takes in the place of an id."""
    ids = {node["node_config"]["ImageId"] for node in launcher["available_node_types"].values()}
    assert len(ids) == 1
    assert re.fullmatch(r"resolve:ssm:/aws/service/deeplearning/ami/x86_64/[\w.-]+/latest/ami-id", ids.pop())


def test_the_region_is_the_same_everywhere(launcher: dict[str, Any]) -> None:
    (region,) = re.findall(r"AWS_REGION=(\S+)", " ".join(launcher["docker"]["run_options"]))
    assert region == launcher["provider"]["region"]


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
    config: TrainConfig = load("cluster_train.yaml", TrainConfig, "shards=s3://b/shards", "output=s3://b/run")
    assert config.workers.gpu
    assert config.workers.count <= launcher["max_workers"]
    for worker in workers(launcher).values():
        assert worker["resources"]["GPU"] == 1
        assert config.workers.cpus <= worker["resources"]["CPU"]


def test_the_archive_fits(launcher: dict[str, Any]) -> None:
    keys = ("source=s3://b/gray", "output=s3://b/color", "checkpoint=s3://b/run/best")
    actors = load("cluster_archive.yaml", ArchiveConfig, *keys).actors
    assert actors.count * actors.gpus <= launcher["max_workers"]
    for worker in workers(launcher).values():
        assert worker["resources"]["GPU"] / actors.gpus * actors.cpus < worker["resources"]["CPU"]
