"""Submitting without a cluster: configuration, upload, and one-line errors."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import ray

from cluster.config.command_line import run_command
from cluster.errors import ConfigError
from cluster.submit.command import plan
from cluster.submit.config import SubmitConfig, key_arguments
from cluster.submit.upload import EXCLUDES, read_package
from jobs import submit
from jobs.train.config import TrainConfig

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_cluster_of_the_environment() -> Iterator[None]:
    """Remove Ray's variables from the environment, send no token, and undo what submitting sets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with mock.patch.dict(os.environ, kept | {"RAY_AUTH_MODE": "disabled"}, clear=True):
        yield


def main(arguments: list[str]) -> int:
    return run_command("submit", submit, arguments)


def config_of(**values: Any) -> SubmitConfig:
    return SubmitConfig.model_validate({"verb": "train"} | values)


def refusal(**values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        SubmitConfig.load(None, [f"{key}={json.dumps(value)}" for key, value in values.items()])
    return str(caught.value)


KEYS = {
    "shards": "s3://bucket/a folder",
    "output": "s3://b/it's",
    "model": {"name": "encoder_decoder", "options": {"widths": [8, 8], "latent": 8, "weights": None}},
    "loss": {"l1": 1e-5},
    "optim": {"betas": [0.5, 0.999], "compile": True, "schedule": "constant"},
    "tracking": {"experiment": "no", "mlflow": "line\nbreak \N{GRINNING FACE}"},
}


def test_keys_reach_the_verb_as_they_are_in_the_file() -> None:
    through_arguments = TrainConfig.load(None, key_arguments(KEYS))
    assert through_arguments == TrainConfig.model_validate(KEYS)


def test_keys_survive_the_shell_of_the_head(tmp_path: Path) -> None:
    words = config_of(config="a b.yaml", keys=KEYS).words()
    assert words[:6] == ["python", "-m", "jobs.cli", "train", "--config", "a b.yaml"]
    import shlex

    line = shlex.join([sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words])
    heard = subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
    assert json.loads(heard) == words


def test_a_verb_or_a_command() -> None:
    assert config_of(verb=None, command=["python", "x.py"]).words() == ["python", "x.py"]
    assert "give either a verb" in refusal(wait=True)
    assert "give either a verb" in refusal(verb="train", command=["true"])
    assert "keys are for verbs" in refusal(command=["true"], keys={"a": 1})


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "db_password"])
def test_secrets_in_a_file_are_refused(name: str) -> None:
    assert f"'{name}' looks like a secret" in refusal(verb="train", env_vars={name: "x"})


def test_keys_of_submit_are_refused_in_the_runtime_environment() -> None:
    assert "working_dir is a key of submit itself" in refusal(verb="train", runtime_env={"working_dir": "."})


def test_an_address_that_is_not_a_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(verb="train", address="10.0.0.1:6379")
    assert "address = '10.0.0.1:6379': must be the URL of the dashboard" in said
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS = '10.0.0.1:6379': a submission requires the dashboard's URL"):
        plan(config_of(working_dir=None), None)


def test_dry_run_names_variables_and_shows_no_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.chdir(ROOT)
    keys = ["config=configs/local_smoke.yaml", "keys.shards=s3://m/shards", "keys.output=s3://m/run"]
    assert main(["verb=train", *keys, "pass_env=[AWS_SECRET_ACCESS_KEY]", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "set AWS_SECRET_ACCESS_KEY, RAY_JOB_STOP_SIGNAL" in said
    assert "very-secret" not in said
    assert "python -m jobs.cli train --config configs/local_smoke.yaml" in said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in {
        "jobs/cli.py": 100,
        "configs/x.yaml": 10,
        "photos.bin": 2_000_000,
        "large.bin": 3_000_000,
        "runs/best/model.safetensors": 5_000,
        "data/.env": 10,
        "data/jobs/runs/kept.py": 7,
        ".venv/lib/python.py": 10,
        ".git/config": 10,
        "deep/ignored.txt": 10,
        "deep/kept.txt": 10,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "deep" / ".gitignore").write_text("ignored.txt\n")
    return tmp_path


def test_files_that_are_uploaded(folder: Path) -> None:
    package = read_package(str(folder), [*EXCLUDES, "*.bin", "!/runs", "!/runs/**"])
    kept = {"jobs/cli.py", "configs/x.yaml", "data/jobs/runs/kept.py", "deep/.gitignore", "deep/kept.txt"}
    assert set(package.sizes) == kept | {"runs/best/model.safetensors"}


def test_the_counted_files_are_those_of_rays_package(folder: Path) -> None:
    """Counted by Ray's walk; and the archive that Ray writes has these files and about this size."""
    import zipfile

    from ray._private.runtime_env.packaging import create_package

    excludes = [*EXCLUDES, "large.bin", ".git", ".venv"]
    package = read_package(str(folder), excludes)
    archive = folder.parent / "package.zip"
    create_package(str(folder), archive, include_gitignore=True, excludes=excludes)
    assert set(zipfile.ZipFile(archive).namelist()) >= set(package.sizes)
    assert package.bytes < archive.stat().st_size < package.bytes + 5_000


def test_too_large_an_upload_names_the_largest_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"working_dir={folder}", "command=['true']", "max_upload=4MB"]) == 2
    line = capsys.readouterr().err
    assert "5.0 MB) exceeds max_upload = 4.0 MB; the largest files are large.bin (3.0 MB), photos.bin" in line


def test_nothing_that_jobs_need_is_left_out() -> None:
    """Ray heeds .gitignore at every depth: a folder called runs or build inside a package would not reach the nodes."""
    sizes = read_package(str(ROOT), list(EXCLUDES)).sizes
    for package in ("colorize_core", "jobs", "cluster", "configs"):
        files = [
            path for path in (ROOT / package).rglob("*") if path.suffix in (".py", ".yaml", ".html", ".css", ".js")
        ]
        assert {str(path.relative_to(ROOT)) for path in files} <= set(sizes)
    weights = sizes.pop("colorize_core/starter/model.safetensors")
    assert weights < 20_000_000
    assert sum(sizes.values()) < 3_000_000


def test_the_configuration_file_must_be_uploaded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["verb=train", f"working_dir={folder}"]
    assert main([*place, "config=configs/y.yaml"]) == 2
    assert "config = 'configs/y.yaml': no such file" in capsys.readouterr().err
    assert main([*place, "config=configs/x.yaml", "excludes=[x.yaml]"]) == 2
    assert "config = 'configs/x.yaml': left out of the upload" in capsys.readouterr().err
    assert main(["verb=train", "working_dir=/no/where"]) == 2
    assert "working_dir = '/no/where': no such folder" in capsys.readouterr().err


def test_nobody_listening_is_one_line(free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"address=http://127.0.0.1:{free_port}", "command=['true']", "working_dir="]) == 1
    assert capsys.readouterr().err == (
        f"colorize: Ray at http://127.0.0.1:{free_port} cannot be reached (Connection refused)\n"
    )


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.server.answer.encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"ray_version": "2.44.1"}', "runs Ray 2.44.1, but colorize requires 2.60"),
        ("<html>hello</html>", "the server is not Ray's dashboard"),
        ("{}", "the server is not Ray's dashboard"),
    ],
)
def test_another_server_is_one_line(
    server: HTTPServer, answer: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = answer  # type: ignore[attr-defined]
    url = f"http://127.0.0.1:{server.server_port}"
    assert main([f"address={url}", "command=['true']", "working_dir="]) == 1
    error = capsys.readouterr().err
    assert f"{url}: {said}" in error
    assert error.count("\n") == 1


class _JobServer(BaseHTTPRequestHandler):
    """Takes a job, but its answer is lost; the job is done when it is asked for."""

    def do_GET(self) -> None:
        path = self.path.removeprefix("/api/")
        if path == "version":
            self._answer({"ray_version": ray.__version__})
        elif path.endswith("/logs"):
            self._answer({"logs": "hello\n"})
        elif path.endswith("/tail"):
            self.send_error(502)
        else:
            done = {"type": "SUBMISSION", "status": "FAILED", "entrypoint": "x", "driver_exit_code": 3}
            self._answer(done if self.server.taken else {}, 200 if self.server.taken else 404)  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.taken = self.server.takes and sent  # type: ignore[attr-defined]
        self.close_connection = True  # and nothing is said

    def _answer(self, values: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("takes", [True, False])
def test_a_lost_answer_is_not_taken_for_a_failed_submission(takes: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), _JobServer) as server:
        server.takes, server.taken = takes, None  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = main([f"address=http://127.0.0.1:{server.server_port}", "command=[a program, x]", "working_dir="])
        server.shutdown()
    out, error = capsys.readouterr()
    if takes:
        assert server.taken["entrypoint"] == "'a program' x"  # type: ignore[attr-defined]
        assert code == 3
        assert out.endswith("hello\n")
        assert "failed with exit code 3: more inputs failed than max_failed_fraction allows" in error
    else:
        assert code == 1
        assert "the job was not accepted" in error


def test_help_needs_no_ray() -> None:
    code = "import sys; from jobs.cli import main; main(['submit', '--help']); assert 'ray' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pass_env" in done.stdout


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("submit_*.yaml")), ids=lambda file: file.stem)
def test_example_files_of_the_project_are_valid(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = SubmitConfig.load(str(file), [])
    assert "colorize_core/starter/model.safetensors" in read_package(str(ROOT), [*EXCLUDES, *config.excludes]).sizes
    from jobs.archive.config import ArchiveConfig

    verbs: dict[str, Any] = {"train": TrainConfig, "archive": ArchiveConfig}
    assert verbs[str(config.verb)].load(config.config, key_arguments(config.keys))


def test_there_are_example_files() -> None:
    assert {path.stem for path in (ROOT / "configs").glob("submit_*.yaml")} == {"submit_train", "submit_archive"}
