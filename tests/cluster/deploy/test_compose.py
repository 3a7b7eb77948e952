"""Docker Compose: the cluster on one machine, and the commands that docs/guides/clusters.md gives for it."""

import re
from typing import Any

import pytest
import yaml

from cluster.submit.config import SubmitConfig
from jobs.submit import check_job
from tests.cluster.deploy.deployment import HERE, ROOT, assert_ray_start, image, read, secrets_in


@pytest.fixture
def compose() -> dict[str, Any]:
    return read("compose.yaml")


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return compose["services"]


def documented() -> list[str]:
    """Arguments of each `submit` in the documentation."""
    text = (ROOT / "docs" / "guides" / "clusters.md").read_text().replace("\\\n", " ")
    return re.findall(r"^docker compose .*run --rm submit (.+)$", text, re.MULTILINE)


def start_options(service: dict[str, Any]) -> dict[str, Any]:
    """Of its `ray start`, with the defaults of variables filled in."""
    return assert_ray_start([re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in service["command"]])


def test_a_head_that_does_no_work_and_two_workers(services: dict[str, dict[str, Any]]) -> None:
    head, worker = start_options(services["head"]), start_options(services["worker"])
    assert head["head"]
    assert head["num_cpus"] == 0
    assert head["block"]
    assert worker["block"]
    assert worker["address"] == f"{services['head']['hostname']}:{head['port']}"
    assert services["worker"]["deploy"]["replicas"] == 2


def test_every_node_has_the_image_and_the_same_environment(services: dict[str, dict[str, Any]]) -> None:
    nodes = [services[name] for name in ("head", "worker", "bucket", "submit")]
    assert {node["image"] for node in nodes} == {image()}
    assert all(node["environment"] == nodes[0]["environment"] for node in nodes)
    assert nodes[0]["environment"]["RAY_AUTH_MODE"] == "token"


def test_shared_memory_holds_the_object_store(services: dict[str, dict[str, Any]]) -> None:
    for name in ("head", "worker"):
        assert services[name]["shm_size"] == "2gb"
        assert start_options(services[name])["object_store_memory"] < 2e9


def test_nodes_find_the_s3_server(services: dict[str, dict[str, Any]]) -> None:
    command = services["s3"]["command"]
    port = command[command.index("--port") + 1]
    environment = services["head"]["environment"]
    assert environment["AWS_ENDPOINT_URL"] == f"http://s3{port}"
    assert environment["AWS_ACCESS_KEY_ID"] == services["s3"]["environment"]["ROOT_ACCESS_KEY_ID"]
    assert environment["AWS_SECRET_ACCESS_KEY"] == services["s3"]["environment"]["ROOT_SECRET_ACCESS_KEY"]
    assert environment["AWS_REGION"] == command[command.index("--region") + 1]
    held = {volume.split(":")[1] for volume in services["s3"]["volumes"]}
    assert {command[-1], command[command.index("--sidecar") + 1]} == held


def test_secrets_come_from_outside(compose: dict[str, Any]) -> None:
    del compose["services"]["s3"]["environment"]["ROOT_ACCESS_KEY_ID"]  # a name, not a secret
    for service in [compose["x-node"], *compose["services"].values()]:
        service.get("environment", {}).pop("AWS_ACCESS_KEY_ID", None)
    assert not secrets_in(compose)
    wanted = set(re.findall(r"\$\{(\w+):\?", (HERE / "compose.yaml").read_text()))
    assert wanted == {"RAY_AUTH_TOKEN", "S3_SECRET_KEY"}
    (made,) = re.findall(r"^printf '(.*)' ", (ROOT / "docs" / "guides" / "clusters.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"(\w+)=%s", made.replace("\\n", " "))) == wanted | {"PHOTOS"}


def test_a_service_waits_for_what_is_healthy(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] in ("service_healthy", "service_completed_successfully"), name
            assert how["condition"] != "service_healthy" or "healthcheck" in services[other], name


def test_only_this_machine_reaches_the_dashboard(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_there_are_commands_for_every_step() -> None:
    assert re.findall(r"verb=(\w+)", " ".join(documented())) == ["prepare", "train", "archive"]


@pytest.mark.parametrize("command", documented())
def test_a_documented_command_is_right(command: str, services: dict[str, dict[str, Any]]) -> None:
    program, verb, *keys = services["submit"]["entrypoint"]
    assert (program, verb) == ("colorize", "submit")
    submit = SubmitConfig.load(None, [*keys, *command.replace("/colorize/", f"{ROOT}/").split()])
    check_job(submit)  # raises for a key that the verb does not know
    head = start_options(services["head"])
    assert submit.address == f"http://{services['head']['hostname']}:8265"
    assert head["dashboard_host"] == "0.0.0.0"
    assert submit.working_dir is None
    assert submit.keys["storage"] == {"path_style": True}  # buckets have no host names of their own here


def test_the_bucket_is_made_with_python_that_compiles(services: dict[str, dict[str, Any]]) -> None:
    python, flag, code = services["bucket"]["command"]
    assert (python, flag) == ("python", "-c")
    compile(code, "bucket", "exec")
    assert all("s3://colorize/" in command for command in documented())


def test_yaml_has_no_key_twice() -> None:
    """PyYAML keeps the last one silently; Docker, Kubernetes and Ray's launcher refuse or drop it."""
    for file in [*HERE.rglob("*.yaml"), *(ROOT / "configs").rglob("*.yaml")]:
        for node in [found for document in yaml.compose_all(file.read_text()) for found in _mappings(document)]:
            names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            assert len(names) == len(set(names)), file


def _mappings(node: yaml.Node) -> list[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        return [node, *(found for pair in node.value for inner in pair for found in _mappings(inner))]
    return [found for inner in node.value for found in _mappings(inner)] if isinstance(node.value, list) else []
