"""The verb, with faults as they happen."""

import importlib.util
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster import ray_compat
from cluster.nodes.query import Node
from cluster.session import RayOptions
from cluster.storage.stores import S3Storage, StorageOptions, open_storage
from colorize_core.errors import UserError
from jobs.cli import main
from jobs.doctor import checks as doctor_checks
from jobs.doctor.preflight import require_resources
from jobs.doctor.storage import check_access, check_storage, missing_weights, with_few_attempts
from jobs.run.requirements import PretrainedWeights, Requirements, ResourceRequest
from jobs.train.config import TrainConfig
from jobs.train.job import requirements as train_requirements

pytestmark = pytest.mark.usefixtures("ray_local")  # five logical CPUs
Doctor = Callable[..., dict[str, dict[str, str]]]


@pytest.fixture(autouse=True)
def room_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore how full the disk of this machine is; test_checks.py tests full disks."""
    monkeypatch.setattr(doctor_checks, "_SPILL_LIMIT", 1.0)
    monkeypatch.setattr(doctor_checks, "_MIN_FREE_BYTES", 0)


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Run `colorize doctor --json` for an exit code; the findings by check."""

    def run(arguments: list[str], code: int) -> dict[str, dict[str, str]]:
        capsys.readouterr()
        assert main(["doctor", *arguments, "--json"]) == code
        said = capsys.readouterr()
        assert said.err == ""
        answer = json.loads(said.out)
        assert answer["ok"] == (code == 0)
        return {finding["check"]: finding for finding in answer["findings"]}

    return run


@pytest.fixture
def archive(tmp_path: Path, photo_folder: Path, tiny_checkpoint: str) -> Callable[..., list[str]]:
    """The keys of a valid archive run, with replacements."""

    def keys(**changes: str) -> list[str]:
        values = {"source": str(photo_folder), "output": str(tmp_path / "out"), "checkpoint": tiny_checkpoint}
        return [f"{key}={value}" for key, value in (values | changes).items()]

    return keys


def failed(findings: dict[str, dict[str, str]]) -> set[str]:
    return {check for check, finding in findings.items() if finding["verdict"] == "fail"}


def test_a_machine_is_checked_by_itself(doctor: Doctor) -> None:
    findings = doctor([], 0)
    assert set(findings) - {"cluster"} == {"ray", "versions", "disk", "shared memory", "open files"}
    assert findings["ray"]["message"].startswith("this machine alone: 1 node")


def test_a_cluster_that_runs_here_and_is_not_named_is_mentioned(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setattr(ray_compat, "running_address", lambda: f"127.0.0.1:{free_port}")
    assert "cluster" not in doctor([], 0)  # it has ended
    with socket.create_server(("127.0.0.1", free_port)):
        finding = doctor([], 0)["cluster"]
    assert finding["verdict"] == "warn"
    assert f"127.0.0.1:{free_port}" in finding["message"]


@pytest.mark.parametrize(("grows", "code", "verdict"), [(True, 0, "warn"), (False, 1, "fail")])
def test_processes_that_do_not_fit_fail_where_nothing_adds_nodes(
    doctor: Doctor,
    archive: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    grows: bool,
    code: int,
    verdict: str,
) -> None:
    monkeypatch.setattr(ray_compat, "may_grow", lambda: grows)
    findings = doctor([*archive(), "actors.count=1", "actors.gpus=64", "ray.address=auto"], code)
    assert findings["resources"]["verdict"] == verdict
    assert findings["ray"]["message"].startswith("the cluster at auto: ")
    assert "token" in findings


def test_placeholders_of_a_deployment_are_found_before_ray_starts(
    doctor: Doctor, one_line: Callable[[list[str], int], str], tmp_path: Path
) -> None:
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "kustomization.yaml").write_text("newName: REGISTRY/colorize\n")
    findings = doctor([f"deployment=[{tmp_path}]"], 1)
    assert failed(findings) == {"deployment"}
    assert "overlay/kustomization.yaml:1 REGISTRY" in findings["deployment"]["message"]
    assert "no YAML file there" in one_line(["doctor", f"deployment=[{tmp_path}/nothing]"], 2)


def test_all_missing_keys_are_named(one_line: Callable[[list[str], int], str]) -> None:
    line = one_line(["doctor", "archive"], 2)
    assert "source (" in line
    assert "output (" in line
    assert line.endswith("are required")


def test_findings_are_lines_with_advice_below(
    capsys: pytest.CaptureFixture[str], archive: Callable[..., list[str]]
) -> None:
    assert main(["doctor", *archive(source="/nowhere")]) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("fail"))
    assert " ".join(lines[at].split()) == "fail source /nowhere cannot be read here: there are no files"
    assert lines[at + 1].strip().startswith("-> ")
    assert lines[-1].startswith("1 check failed")


def test_a_check_of_a_valid_job_leaves_no_files(
    doctor: Doctor, archive: Callable[..., list[str]], tmp_path: Path
) -> None:
    findings = doctor(["archive", *archive(output=f"{tmp_path}/new/out")], 0)
    assert findings["output"]["message"].endswith("can be written")
    assert findings["inputs"]["verdict"] == "ok"
    assert not (tmp_path / "new").exists()


def test_the_verb_is_deduced_from_the_configuration(
    doctor: Doctor, archive: Callable[..., list[str]], tmp_path: Path
) -> None:
    file = tmp_path / "archive.yaml"
    file.write_text("\n".join(key.replace("=", ": ") for key in archive()))
    assert "checkpoint" in doctor(["--config", str(file)], 0)


@pytest.mark.parametrize("arguments", [["output=/tmp"], ["--config", "/nowhere.yaml"], ["ray.adress=auto"]])
def test_bad_usage_is_one_line(one_line: Callable[[list[str], int], str], arguments: list[str]) -> None:
    assert one_line(["doctor", *arguments], 2)


def test_keys_of_doctor_and_of_the_verb_are_given_together(
    capsys: pytest.CaptureFixture[str], archive: Callable[..., list[str]]
) -> None:
    assert main(["doctor", "--json", "archive", *archive(), "timeout=5", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "timeout: 5.0" in shown
    assert "json: true" in shown
    assert "max_failed_fraction: 0.05" in shown


def test_a_verb_with_bad_keys_says_which(
    one_line: Callable[[list[str], int], str], archive: Callable[..., list[str]]
) -> None:
    assert "did you mean format?" in one_line(["doctor", "archive", *archive(), "fromat=png"], 2)


def test_a_folder_that_cannot_be_written(doctor: Doctor, archive: Callable[..., list[str]], tmp_path: Path) -> None:
    """A file lies where it should be; root may write everywhere else."""
    (tmp_path / "file").write_text("in the way")
    findings = doctor(archive(output=f"{tmp_path}/file/out"), 1)
    assert failed(findings) == {"output"}
    assert "cannot be written here: Not a directory" in findings["output"]["message"]
    assert "use another output" in findings["output"]["advice"]


def test_gpus_that_are_not_there(doctor: Doctor, archive: Callable[..., list[str]]) -> None:
    findings = doctor([*archive(), "actors.count=2", "actors.gpus=64"], 1)
    assert failed(findings) == {"resources"}


def test_a_damaged_checkpoint(
    doctor: Doctor, archive: Callable[..., list[str]], tiny_checkpoint: str, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_checkpoint, damaged)
    (damaged / "model.safetensors").write_bytes(b"half")
    findings = doctor(archive(checkpoint=str(damaged)), 1)
    assert failed(findings) == {"inputs"}
    assert "half written or replaced" in findings["inputs"]["message"]


def test_training_needs_its_shards_and_weights(doctor: Doctor, dataset: str, tmp_path: Path) -> None:
    keys = ["train", f"shards={dataset}", f"output={tmp_path}/run", "model.name=lite", "optim.batch_size=2"]
    assert "inputs" in doctor([*keys, "loss.l1=1"], 0)
    findings = doctor([*keys, "loss.perceptual=1", f"loss.vgg_weights={tmp_path}/vgg16.pth", "workers.gpu=true"], 1)
    assert failed(findings) >= {"loss.vgg_weights"}
    assert f"{tmp_path}/vgg16.pth does not exist on " in findings["loss.vgg_weights"]["message"]


def test_a_bucket_that_is_not_there(
    doctor: Doctor, archive: Callable[..., list[str]], s3_endpoint: str, bucket: str
) -> None:
    endpoint = f"storage.endpoint={s3_endpoint}"
    assert "output" in doctor([*archive(output=f"s3://{bucket}/color"), endpoint], 0)
    findings = doctor([*archive(output="s3://no-such-bucket/color"), endpoint], 1)
    assert failed(findings) == {"output"}
    assert "NoSuchBucket" in findings["output"]["message"]
    assert findings["output"]["advice"] == "create the bucket, or fix its name"
    store = open_storage(f"s3://{bucket}", StorageOptions(endpoint=s3_endpoint))
    assert list(store.list()) == []


@pytest.fixture
def refusing_s3(free_port: int, s3_environment: None) -> Iterator[str]:
    """URL of a server that knows nobody's key; moto takes every one."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", free_port), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{free_port}"
        server.shutdown()


def test_wrong_credentials(doctor: Doctor, archive: Callable[..., list[str]], refusing_s3: str) -> None:
    findings = doctor([*archive(source="s3://museum/gray"), f"storage.endpoint={refusing_s3}"], 1)
    assert failed(findings) == {"source"}
    said = "s3://museum/gray cannot be read here: cannot be listed (InvalidAccessKeyId: The key does not exist.)"
    assert findings["source"]["message"] == said
    assert "give the machine credentials" in findings["source"]["advice"]


def test_a_store_that_does_not_answer(
    doctor: Doctor, archive: Callable[..., list[str]], free_port: int, s3_environment: None
) -> None:
    options = [f"storage.endpoint=http://127.0.0.1:{free_port}"]
    findings = doctor([*archive(output="s3://museum/color"), *options], 1)
    assert failed(findings) == {"output"}
    assert "storage.endpoint" in findings["output"]["advice"]


def test_a_folder_that_another_machine_does_not_share(tmp_path: Path) -> None:
    """What a node says that has no such folder, or another one under the same path."""
    store = open_storage(str(tmp_path / "there"), StorageOptions())
    assert check_access({"source": (store, "a.jpg")}, {"output": store}, "_state/mark") == {
        "source": "the folder is not shared with that machine",
        "output": "the folder is not shared with that machine",
    }
    store.write("_state/mark", b"doctor")
    assert check_access({}, {"output": store}, "_state/mark") == {}
    assert [entry.key for entry in store.list()] == ["_state/mark"]


def test_a_node_that_does_not_answer_is_a_finding(tmp_path: Path) -> None:
    store = open_storage(str(tmp_path), StorageOptions())
    gone = Node("0" * 56, "10.0.0.9", {}, "/tmp")
    silent, output = check_storage(
        Requirements(ResourceRequest("tasks", 1, 1, 0), writes={"output": store}), [gone], 30
    )
    assert (silent.check, silent.verdict) == ("nodes", "fail")
    assert output.verdict == "ok"
    assert list(store.list()) == []


def test_published_weights_are_expected_in_the_cache_of_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = {
        "lpips.weights": PretrainedWeights(None, "vgg16"),
        "fid.weights": PretrainedWeights(None, "inception"),
        "model.options.backbone_weights": PretrainedWeights(None, "resnet34"),
        "other.fid.weights": PretrainedWeights(str(tmp_path / "inception.pth"), "inception"),
        "loss.vgg_weights": PretrainedWeights("s3://bucket/vgg16.pth", "vgg16"),
    }
    assert missing_weights(weights) == [key for key in weights if key != "loss.vgg_weights"]
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    for name in ("vgg16-397923af.pth", "weights-inception-2015-12-05-6726825d.pth", "resnet34-b627a593.pth"):
        (tmp_path / "hub" / "checkpoints" / name).write_text("")
    (tmp_path / "inception.pth").write_text("")
    assert missing_weights(weights) == []


def test_weights_of_a_package_are_expected_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"name": "pretrained_unet", "options": {"encoder": "efficientnet_lite1", "backbone_weights": "imagenet"}}
    config = TrainConfig(shards="shards", output="output", model=model, loss={"l1": 1})
    weights = train_requirements(config).weights
    assert weights["model.options.backbone_weights"] == PretrainedWeights(None, "efficientnet_lite1")
    assert missing_weights(weights) == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    assert missing_weights(weights) == ["model.options.backbone_weights"]


def test_a_job_that_does_not_fit_is_refused_here_and_a_warning_on_a_cluster(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    require_resources(ResourceRequest("workers", 5, 1, 0), RayOptions())
    assert not caplog.messages
    with pytest.raises(UserError, match="workers: 6 with 1 CPU each need more than the cluster's 5 CPUs"):
        require_resources(ResourceRequest("workers", 6, 1, 0), RayOptions())
    require_resources(ResourceRequest("workers", 6, 1, 0), RayOptions(address="auto"))
    assert caplog.messages[0].startswith("resources: workers: 6 with 1 CPU each need more than")


def test_training_on_gpus_that_are_not_there_ends_at_once(
    one_line: Callable[[list[str], int], str], dataset: str, tmp_path: Path
) -> None:
    """Ray Train would wait for them."""
    keys = [f"shards={dataset}", f"output={tmp_path}/run", "model.name=lite", "loss.l1=1", "optim.batch_size=1"]
    line = one_line(["train", *keys, "workers.count=16", "workers.gpu=true"], 2)
    assert "workers: 16 with 1 CPU and 1 GPU each need more than the cluster's" in line


def test_a_check_makes_fewer_attempts_than_a_job() -> None:
    store = open_storage("s3://bucket/prefix", StorageOptions(endpoint="http://there", max_attempts=9))
    checked = with_few_attempts(store)
    assert isinstance(checked, S3Storage)
    assert (checked.options.max_attempts, checked.options.endpoint, checked.uri) == (2, "http://there", store.uri)
