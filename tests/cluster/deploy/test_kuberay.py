"""The Kubernetes manifests: fields, versions, sizes, and that they agree with the configurations they run."""

import copy
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from jobs.archive.config import ArchiveConfig
from jobs.train.config import TrainConfig
from tests.cluster.deploy.deployment import amount, assert_ray_start, command_config, image, pinned, secrets_in
from tests.cluster.deploy.kustomize import Document, build
from tests.cluster.deploy.manifests import (
    COMPONENTS,
    KUBERAY,
    OPERATORS,
    OVERLAYS,
    cluster_of,
    container,
    groups,
    limit,
    pod_templates,
    validate,
    write_overlay,
)

SPOT_SECONDS = 120  # from AWS's notice to the end of the machine
ACTOR_BYTES = 1.5e9  # an actor's libraries, model and threads (docs/guides/archives.md)
READING_CPUS = 0.75  # beside the actors' (docs/guides/archives.md)
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"


@cache
def overlay(name: str) -> list[Document]:
    """The documents of an overlay, which must not be changed."""
    return build(KUBERAY / "overlays" / name)


def the(kind: str, documents: list[Document]) -> Document:
    (found,) = (each for each in documents if each["kind"] == kind)
    return found


@pytest.fixture(params=["cluster", "cluster-fault-tolerant", "train", "archive"])
def manifest(request: pytest.FixtureRequest) -> Document:
    """A RayCluster or RayJob, as Kustomize builds it."""
    return next(each for each in overlay(request.param) if each["kind"] in ("RayCluster", "RayJob"))


@pytest.fixture
def cluster(manifest: Document) -> dict[str, Any]:
    return cluster_of(manifest)


def site(*chosen: str) -> list[str]:
    """Components of a site that switches these on, in the order that they are commented in."""
    return ["site", *(f"components/{name}" for name in chosen)]


@pytest.fixture(scope="module")
def with_everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a kustomization of a run with every component."""
    folder = tmp_path_factory.mktemp("everything")
    shutil.copy(KUBERAY / "overlays" / "train" / "rayjob.yaml", folder)
    others = [name for name in COMPONENTS if name != "run"]
    return write_overlay(folder, ["base/namespace", "base/cluster"], [*site(*others), "components/run"], "rayjob.yaml")


@pytest.fixture(scope="module")
def everything(with_everything: Path) -> list[Document]:
    """The documents of a run with every component, which must not be changed."""
    return build(with_everything)


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: folder.name)
def test_every_field_is_known(folder: Path) -> None:
    for document in build(folder):
        validate(document)


def test_every_field_is_known_with_every_component(everything: list[Document]) -> None:
    for document in everything:
        validate(document)


@pytest.mark.parametrize("path", [("spec", "rayVersion"), ("spec", "headGroupSpec", "rayStartParams")])
def test_a_misspelled_field_of_kuberay_is_found(path: tuple[str, ...]) -> None:
    wrong = copy.deepcopy(the("RayCluster", overlay("cluster")))
    parent = wrong
    for key in path[:-1]:
        parent = parent[key]
    parent[f"{path[-1]}x"] = parent.pop(path[-1])
    with pytest.raises(jsonschema.ValidationError):
        validate(wrong)


@pytest.mark.parametrize("key", ["serviceAccountName", "tolerations", "securityContext"])
def test_a_misspelled_field_of_kubernetes_is_found(key: str) -> None:
    wrong = copy.deepcopy(the("RayCluster", overlay("cluster")))
    pod = wrong["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    pod[f"{key}x"] = pod.pop(key)
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong)


@pytest.mark.skipif(not os.environ.get("COLORIZE_TEST_CRDS"), reason="COLORIZE_TEST_CRDS names no folder")
def test_every_field_is_one_of_the_operators_own_definitions(manifest: Document) -> None:
    file = Path(os.environ["COLORIZE_TEST_CRDS"], f"ray.io_{manifest['kind'].lower()}s.yaml")
    versions = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)["spec"]["versions"]
    (schema,) = (each["schema"]["openAPIV3Schema"] for each in versions if each["name"] == "v1")
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.Draft7Validator(_closed(schema)).validate(manifest)


def _closed(schema: Any) -> Any:
    """Refuse fields that a definition does not list, as `kubectl apply` does."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def kubectl() -> list[str] | None:
    if program := shutil.which("kustomize"):
        return [program, "build"]
    return [program, "kustomize"] if (program := shutil.which("kubectl")) else None


@pytest.mark.skipif(kubectl() is None, reason="neither kubectl nor kustomize is installed")
@pytest.mark.parametrize("name", ["train", "everything"])
def test_kustomize_makes_the_same_of_it(name: str, with_everything: Path) -> None:
    """The other tests look at what tests/cluster/deploy/kustomize.py makes."""
    folder = with_everything if name == "everything" else KUBERAY / "overlays" / name
    said = subprocess.run([*(kubectl() or ()), str(folder)], capture_output=True, text=True, check=True).stdout

    def order(document: Document) -> tuple[str, str]:
        return document["kind"], document["metadata"]["name"]

    assert sorted(build(folder), key=order) == sorted(yaml.safe_load_all(said), key=order)


def test_the_ray_is_the_pinned_one(cluster: dict[str, Any]) -> None:
    assert cluster["rayVersion"] == pinned("ray")


def test_all_pods_have_the_image_of_the_site(manifest: Document) -> None:
    images = {each["spec"]["containers"][0]["image"] for each in pod_templates(manifest)}
    assert images == {f"REGISTRY/{image()}"}


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: folder.name)
def test_everything_is_in_the_namespace_of_the_site(folder: Path) -> None:
    assert {each["metadata"]["namespace"] for each in build(folder)} == {"colorize"}


def restricted(pod: dict[str, Any]) -> bool:
    """Whether the Pod Security level `restricted` lets a pod in."""
    whole = pod["securityContext"]
    return (
        whole["runAsNonRoot"]
        and whole["seccompProfile"]["type"] == "RuntimeDefault"
        and all(
            not each["securityContext"]["allowPrivilegeEscalation"]
            and each["securityContext"]["capabilities"]["drop"] == ["ALL"]
            for each in pod["containers"]
        )
        and not any("hostPath" in volume for volume in pod.get("volumes", ()))
    )


def test_the_level_restricted_lets_every_pod_in(everything: list[Document], manifest: Document) -> None:
    templates = [template for document in (*everything, manifest) for template in pod_templates(document)]
    assert len(templates) >= 4
    assert all(restricted(template["spec"]) for template in templates)
    head = cluster_of(manifest)["headGroupSpec"]["template"]["spec"]
    autoscaler = {"securityContext": cluster_of(manifest)["autoscalerOptions"]["securityContext"]}
    assert restricted(head | {"containers": [autoscaler]})  # the operator adds this container to the head


@pytest.mark.parametrize("name", ["train", "archive"])
def test_the_submitter_is_secured_as_the_head_is(name: str) -> None:
    job = the("RayJob", overlay(name))["spec"]
    head, submitter = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"], job["submitterPodTemplate"]["spec"]
    for field in ("securityContext", "serviceAccountName"):
        assert submitter[field] == head[field]
    assert submitter["containers"][0]["securityContext"] == head["containers"][0]["securityContext"]
    assert submitter["restartPolicy"] == "Never"


def test_only_the_head_may_use_the_api_of_kubernetes(manifest: Document) -> None:
    head, *others = (template["spec"] for template in pod_templates(manifest))
    assert "automountServiceAccountToken" not in head  # the autoscaler runs there
    assert all(pod["automountServiceAccountToken"] is False for pod in others)


def test_the_head_does_no_work(cluster: dict[str, Any]) -> None:
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert limit(cluster["headGroupSpec"], "nvidia.com/gpu") == 0


def test_ray_knows_its_start_parameters(cluster: dict[str, Any]) -> None:
    for group in groups(cluster):
        assert_ray_start(["ray", "start", *(f"--{key}={value}" for key, value in group["rayStartParams"].items())])


def test_the_autoscaler_is_on_and_ends_idle_workers(cluster: dict[str, Any]) -> None:
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert 60 <= cluster["autoscalerOptions"]["idleTimeoutSeconds"] <= 900
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_requests_are_limits(cluster: dict[str, Any]) -> None:
    """Ray counts the limits; what is promised must be there."""
    for group in groups(cluster):
        assert container(group)["resources"]["requests"] == container(group)["resources"]["limits"]


def shared_memory(group: dict[str, Any]) -> dict[str, Any]:
    volumes = {volume["name"]: volume for volume in group["template"]["spec"]["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container(group)["volumeMounts"]}
    return volumes[mounts["/dev/shm"]]["emptyDir"]


def test_shared_memory_holds_the_object_store_and_leaves_most_to_processes(cluster: dict[str, Any]) -> None:
    for group in groups(cluster):
        shared = shared_memory(group)
        assert shared["medium"] == "Memory"
        assert int(group["rayStartParams"]["object-store-memory"]) < amount(shared["sizeLimit"])
        assert amount(shared["sizeLimit"]) <= limit(group, "memory") / 4


def test_pods_with_gpus_tolerate_the_taint_of_their_nodes(cluster: dict[str, Any]) -> None:
    with_gpus = [group for group in cluster["workerGroupSpecs"] if limit(group, "nvidia.com/gpu")]
    assert with_gpus
    for group in with_gpus:
        assert "nvidia.com/gpu" in [toleration["key"] for toleration in group["template"]["spec"]["tolerations"]]


def environment(group: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(group)["env"]}


def test_a_pod_that_is_told_to_go_has_time_to_tell_ray(cluster: dict[str, Any]) -> None:
    for group in cluster["workerGroupSpecs"]:
        drain = float(environment(group)["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        assert 30 < drain < group["template"]["spec"]["terminationGracePeriodSeconds"] < SPOT_SECONDS


def test_no_pod_is_moved_to_save_money(cluster: dict[str, Any]) -> None:
    for group in groups(cluster):
        annotations = group["template"]["metadata"]["annotations"]
        assert annotations == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", DO_NOT_DISRUPT: "true"}


def test_the_secret_is_mounted_where_the_variables_point(cluster: dict[str, Any]) -> None:
    for group in groups(cluster):
        (folder,) = (mount for mount in container(group)["volumeMounts"] if mount["name"] == "s3")
        (volume,) = (volume for volume in group["template"]["spec"]["volumes"] if volume["name"] == "s3")
        assert volume["secret"] == {"secretName": "colorize-s3", "optional": True}
        names = {environment(group)[name] for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")}
        assert names == {f"{folder['mountPath']}/{name}" for name in ("credentials", "config")}


def test_pods_act_as_the_service_account_that_may_use_the_bucket(manifest: Document) -> None:
    account = the("ServiceAccount", overlay("namespace"))["metadata"]["name"]
    assert {template["spec"]["serviceAccountName"] for template in pod_templates(manifest)} == {account}


def test_there_are_no_credentials(manifest: Document) -> None:
    assert not secrets_in(manifest)
    assert cluster_of(manifest)["authOptions"] == {"mode": "token"}  # of which the operator makes one for each cluster


def test_a_run_starts_no_other_cluster_and_leaves_none() -> None:
    for name in ("train", "archive"):
        (job,) = overlay(name)
        assert job["kind"] == "RayJob"
        assert job["spec"]["shutdownAfterJobFinishes"] is True
        assert job["spec"]["ttlSecondsAfterFinished"] > 0
        assert job["spec"]["backoffLimit"] >= 1
        assert job["spec"]["preRunningDeadlineSeconds"] < job["spec"]["activeDeadlineSeconds"]


@pytest.mark.parametrize(("name", "kind"), [("train", TrainConfig), ("archive", ArchiveConfig)])
def test_a_job_runs_a_verb_with_a_configuration_that_it_takes(name: str, kind: type) -> None:
    entrypoint = the("RayJob", overlay(name))["spec"]["entrypoint"]
    python, module_flag, module, *_ = entrypoint.split()
    assert (python, module_flag) == ("python", "-m")
    assert importlib.util.find_spec(module)
    assert isinstance(command_config(entrypoint, "/colorize/"), kind)


def test_training_fits_its_cluster() -> None:
    job = the("RayJob", overlay("train"))["spec"]
    config = command_config(job["entrypoint"], "/colorize/")
    assert isinstance(config, TrainConfig)
    (group,) = job["rayClusterSpec"]["workerGroupSpecs"]
    assert config.workers.gpu
    assert config.workers.count == group["replicas"] == group["maxReplicas"] * limit(group, "nvidia.com/gpu")
    assert config.workers.cpus * limit(group, "nvidia.com/gpu") <= limit(group, "cpu")


def test_the_archive_fits_its_cluster() -> None:
    job = the("RayJob", overlay("archive"))["spec"]
    config = command_config(job["entrypoint"], "/colorize/")
    assert isinstance(config, ArchiveConfig)
    actors = config.actors
    (group,) = job["rayClusterSpec"]["workerGroupSpecs"]
    per_pod = limit(group, "nvidia.com/gpu") / actors.gpus
    assert actors.count == per_pod * group["maxReplicas"]
    assert per_pod * actors.cpus + READING_CPUS <= limit(group, "cpu")
    shared = amount(shared_memory(group)["sizeLimit"])
    assert per_pod * (config.max_memory + ACTOR_BYTES) + shared <= limit(group, "memory")


def component(tmp_path: Path, *names: str) -> Iterator[Document]:
    """The permanent cluster, and what the namespace shares, with these components."""
    yield from build(write_overlay(tmp_path, ["base/namespace", "base/cluster"], site(*names)))


def test_spot_workers_can_be_evicted_in_time_and_the_head_is_on_demand(tmp_path: Path) -> None:
    """Karpenter evicts no pod with its annotation, not even when a spot node is about to end."""
    head, *workers = groups(cluster_of(the("RayCluster", list(component(tmp_path, "spot")))))
    assert head["template"]["spec"]["nodeSelector"] == {"karpenter.sh/capacity-type": "on-demand"}
    assert DO_NOT_DISRUPT in head["template"]["metadata"]["annotations"]
    for worker in workers:
        assert worker["template"]["spec"]["nodeSelector"] == {"karpenter.sh/capacity-type": "spot"}
        assert DO_NOT_DISRUPT not in worker["template"]["metadata"]["annotations"]


def test_the_type_of_gpu_is_chosen_for_the_gpu_workers_alone(tmp_path: Path) -> None:
    head, gpu, cpu = groups(cluster_of(the("RayCluster", list(component(tmp_path, "gpu-type")))))
    assert gpu["groupName"] == "gpu"
    assert gpu["template"]["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A10G"}
    assert head["template"]["spec"]["nodeSelector"] == cpu["template"]["spec"]["nodeSelector"] == {}


def test_pods_have_the_priority_class_that_is_there(tmp_path: Path) -> None:
    name = yaml.safe_load((KUBERAY / "components/priority/priorityclass.yaml").read_text())
    validate(name)
    manifest = the("RayCluster", list(component(tmp_path, "priority")))
    assert {each["spec"]["priorityClassName"] for each in pod_templates(manifest)} == {name["metadata"]["name"]}


def test_roles_and_pull_secrets_belong_to_the_service_account(tmp_path: Path) -> None:
    account = the("ServiceAccount", list(component(tmp_path, "eks-irsa", "image-pull-secret")))
    assert account["imagePullSecrets"] == [{"name": "registry"}]
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith("role/colorize")


def test_kueue_gets_a_queue_and_a_cluster_of_fixed_size(everything: list[Document]) -> None:
    """It refuses a cluster with an autoscaler, and one that is not deleted with its run."""
    job = the("RayJob", everything)
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "colorize"
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    cluster = cluster_of(job)
    assert cluster["enableInTreeAutoscaling"] is False
    assert "autoscalerOptions" not in cluster
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == group["maxReplicas"]


def test_the_head_finds_the_redis_that_keeps_its_tables() -> None:
    documents = overlay("cluster-fault-tolerant")
    options = the("RayCluster", documents)["spec"]["gcsFaultToleranceOptions"]
    service, redis = the("Service", documents), the("StatefulSet", documents)
    assert options["redisAddress"] == f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    secret = redis["spec"]["template"]["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]
    assert options["redisPassword"]["valueFrom"]["secretKeyRef"] == secret
    policy = the("NetworkPolicy", documents)["spec"]["podSelector"]["matchLabels"]
    assert policy == service["spec"]["selector"] == redis["spec"]["template"]["metadata"]["labels"]


def test_only_ray_the_submitter_the_operator_and_prometheus_reach_the_pods(manifest: Document) -> None:
    policy = the("NetworkPolicy", overlay("namespace"))["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    among, to_dashboard, to_metrics = policy["ingress"]
    assert among == {"from": [{"podSelector": policy["podSelector"]}]}
    assert [port["port"] for port in to_dashboard["ports"]] == [8265]
    if manifest["kind"] == "RayJob":
        labels = manifest["spec"]["submitterPodTemplate"]["metadata"]["labels"]
        assert to_dashboard["from"][0] == {"podSelector": {"matchLabels": labels}}
    offered = {
        port["containerPort"]: port["name"] for port in container(cluster_of(manifest)["headGroupSpec"])["ports"]
    }
    scraped = {endpoint["port"] for endpoint in podmonitor()["spec"]["podMetricsEndpoints"]}
    assert {offered[port["port"]] for port in to_metrics["ports"]} == scraped


def podmonitor() -> Document:
    return yaml.safe_load((KUBERAY / "components/prometheus/podmonitor.yaml").read_text())


def test_metrics_can_be_scraped(cluster: dict[str, Any]) -> None:
    monitored = {endpoint["port"] for endpoint in podmonitor()["spec"]["podMetricsEndpoints"]}
    offered = [{port["name"] for port in container(group)["ports"]} for group in groups(cluster)]
    assert monitored <= offered[0]
    assert all("metrics" in ports for ports in offered)
    assert "PodMonitor" in OPERATORS


def test_drains_spare_heads_and_nothing_else() -> None:
    budget = the("PodDisruptionBudget", overlay("namespace"))["spec"]
    assert budget["maxUnavailable"] == 0
    assert budget["selector"] == {"matchLabels": {"ray.io/node-type": "head"}}  # KubeRay's label


def test_the_cluster_that_stays_has_room_for_the_same_runs() -> None:
    shared = the("RayCluster", overlay("cluster"))["spec"]["workerGroupSpecs"][0]
    for name in ("train", "archive"):
        (own,) = cluster_of(the("RayJob", overlay(name)))["workerGroupSpecs"]
        assert shared["maxReplicas"] >= own["maxReplicas"]
