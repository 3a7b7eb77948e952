"""The Kubernetes manifests: fields, versions, sizes, and that they agree with the configurations they run."""

import copy
import importlib.util
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from jobs.archive.config import ArchiveConfig
from jobs.train.config import TrainConfig
from tests.cluster.deploy.deployment import amount, assert_ray_start, command_config, image, pinned, read, secrets_in
from tests.cluster.deploy.kuberay_schema import MANIFESTS

FILES = ("kuberay/raycluster.yaml", "kuberay/rayjob-train.yaml", "kuberay/rayjob-archive.yaml")
SPOT_SECONDS = 120  # from AWS's notice to the end of the machine
ACTOR_BYTES = 1.5e9  # an actor's libraries, model and threads (docs/guides/archives.md)
READING_CPUS = 0.75  # beside the actors' (docs/guides/archives.md)


@pytest.fixture(params=FILES)
def manifest(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


@pytest.fixture
def cluster(manifest: dict[str, Any]) -> dict[str, Any]:
    return cluster_of(manifest)


def cluster_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["spec"].get("rayClusterSpec", manifest["spec"])


def templates(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    """Head first, then the worker groups."""
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def container(group: dict[str, Any]) -> dict[str, Any]:
    return group["template"]["spec"]["containers"][0]


def limit(group: dict[str, Any], resource: str) -> float:
    return amount(container(group)["resources"]["limits"].get(resource, 0))


def check(manifest: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(MANIFESTS[manifest["kind"]]).validate(manifest)


def keys(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the named fields are."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(value, dict):
            yield (*path, key)
        yield from keys(inner, (*path, key))


def test_every_field_is_one_of_kuberays(manifest: dict[str, Any]) -> None:
    check(manifest)


def test_any_misspelled_field_is_found(manifest: dict[str, Any]) -> None:
    free = {"annotations", "labels", "limits", "nodeSelector", "rayStartParams", "requests"}
    places = [path for path in keys(manifest) if path != ("kind",) and (len(path) < 2 or path[-2] not in free)]
    assert len(places) > 80
    for path in places:
        wrong = copy.deepcopy(manifest)
        parent = wrong
        for key in path[:-1]:
            parent = parent[key]
        parent[f"{path[-1]}x"] = parent.pop(path[-1])
        with pytest.raises(jsonschema.ValidationError):
            check(wrong)


def test_the_ray_is_the_pinned_one(cluster: dict[str, Any]) -> None:
    assert cluster["rayVersion"] == pinned("ray")


def test_head_and_workers_have_the_same_image(cluster: dict[str, Any]) -> None:
    assert {container(group)["image"] for group in templates(cluster)} == {image()}


def test_the_head_does_no_work(cluster: dict[str, Any]) -> None:
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert limit(cluster["headGroupSpec"], "nvidia.com/gpu") == 0


def test_ray_knows_its_start_parameters(cluster: dict[str, Any]) -> None:
    for group in templates(cluster):
        assert_ray_start(["ray", "start", *(f"--{key}={value}" for key, value in group["rayStartParams"].items())])


def test_the_autoscaler_is_on_and_ends_idle_workers(cluster: dict[str, Any]) -> None:
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert 60 <= cluster["autoscalerOptions"]["idleTimeoutSeconds"] <= 900
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_requests_are_limits(cluster: dict[str, Any]) -> None:
    """Ray counts the limits; what is promised must be there."""
    for group in templates(cluster):
        assert container(group)["resources"]["requests"] == container(group)["resources"]["limits"]


def test_shared_memory_holds_the_object_store_and_leaves_most_to_processes(cluster: dict[str, Any]) -> None:
    for group in templates(cluster):
        pod = group["template"]["spec"]
        volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in container(group)["volumeMounts"]}
        shared = volumes[mounts["/dev/shm"]]
        assert shared["medium"] == "Memory"
        assert int(group["rayStartParams"]["object-store-memory"]) < amount(shared["sizeLimit"])
        assert amount(shared["sizeLimit"]) <= limit(group, "memory") / 4


def test_pods_with_gpus_tolerate_the_taint_of_their_nodes(cluster: dict[str, Any]) -> None:
    with_gpus = [group for group in cluster["workerGroupSpecs"] if limit(group, "nvidia.com/gpu")]
    assert with_gpus
    for group in with_gpus:
        assert "nvidia.com/gpu" in [toleration["key"] for toleration in group["template"]["spec"]["tolerations"]]


def test_a_pod_that_is_told_to_go_has_time_to_tell_ray(cluster: dict[str, Any]) -> None:
    for group in cluster["workerGroupSpecs"]:
        environment = {variable["name"]: variable["value"] for variable in container(group)["env"]}
        drain = float(environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        assert 30 < drain < group["template"]["spec"]["terminationGracePeriodSeconds"] < SPOT_SECONDS


def test_metrics_can_be_scraped(cluster: dict[str, Any]) -> None:
    monitored = {endpoint["port"] for endpoint in read("kuberay/podmonitor.yaml")["spec"]["podMetricsEndpoints"]}
    offered = [{port["name"] for port in container(group)["ports"]} for group in templates(cluster)]
    assert monitored <= offered[0]
    assert all("metrics" in ports for ports in offered)


def test_pods_act_as_the_service_account_that_may_use_the_bucket(cluster: dict[str, Any]) -> None:
    account = read("kuberay/access.yaml")
    assert account["kind"] == "ServiceAccount"
    for group in templates(cluster):
        assert group["template"]["spec"]["serviceAccountName"] == account["metadata"]["name"]


def test_there_are_no_credentials(manifest: dict[str, Any]) -> None:
    assert not secrets_in(manifest)
    assert cluster_of(manifest)["authOptions"] == {"mode": "token"}  # of which the operator makes one for each cluster


@pytest.mark.parametrize("name", FILES[1:])
def test_a_job_ends_its_cluster_and_is_tried_again(name: str) -> None:
    job = read(name)["spec"]
    assert job["shutdownAfterJobFinishes"] is True
    assert job["ttlSecondsAfterFinished"] > 0
    assert job["backoffLimit"] >= 1
    assert job["preRunningDeadlineSeconds"] < job["activeDeadlineSeconds"]


@pytest.mark.parametrize(("name", "kind"), [(FILES[1], TrainConfig), (FILES[2], ArchiveConfig)])
def test_a_job_runs_a_verb_with_a_configuration_that_it_takes(name: str, kind: type) -> None:
    entrypoint = read(name)["spec"]["entrypoint"]
    python, module_flag, module, *_ = entrypoint.split()
    assert (python, module_flag) == ("python", "-m")
    assert importlib.util.find_spec(module)
    assert isinstance(command_config(entrypoint, "/colorize/"), kind)


def test_training_fits_its_cluster() -> None:
    job = read(FILES[1])["spec"]
    config = command_config(job["entrypoint"], "/colorize/")
    assert isinstance(config, TrainConfig)
    (group,) = job["rayClusterSpec"]["workerGroupSpecs"]
    assert config.workers.gpu
    assert config.workers.count == group["replicas"] == group["maxReplicas"] * limit(group, "nvidia.com/gpu")
    assert config.workers.cpus * limit(group, "nvidia.com/gpu") <= limit(group, "cpu")


def test_the_archive_fits_its_cluster() -> None:
    job = read(FILES[2])["spec"]
    config = command_config(job["entrypoint"], "/colorize/")
    assert isinstance(config, ArchiveConfig)
    actors = config.actors
    (group,) = job["rayClusterSpec"]["workerGroupSpecs"]
    per_pod = limit(group, "nvidia.com/gpu") / actors.gpus
    assert actors.count == per_pod * group["maxReplicas"]
    assert per_pod * actors.cpus + READING_CPUS <= limit(group, "cpu")
    shared = amount(group["template"]["spec"]["volumes"][0]["emptyDir"]["sizeLimit"])
    assert per_pod * (config.max_memory + ACTOR_BYTES) + shared <= limit(group, "memory")


@pytest.mark.parametrize("name", FILES[1:])
def test_the_cluster_that_stays_has_room_for_the_same_runs(name: str) -> None:
    (own,) = read(name)["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    shared = read(FILES[0])["spec"]["workerGroupSpecs"][0]
    assert shared["maxReplicas"] >= own["maxReplicas"]
    for resource in ("cpu", "memory", "nvidia.com/gpu"):
        assert limit(shared, resource) >= limit(own, resource)
