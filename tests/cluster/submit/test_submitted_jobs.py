"""Jobs submitted to a real cluster of two nodes: the code uploaded, photographs from S3, results to S3."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from cluster.storage.stores import S3Storage, StorageOptions
from tests.cluster.submit.real_cluster import TOKEN, RealCluster
from tests.cluster.submit.relay import Relay
from tests.faults.datasets import write_dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[3]
BUCKET = "submitted-jobs"
EXCLUDED = "large.bin"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    cluster = RealCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout, with a large file that no job needs.

    It stays the same for all submissions, so that nodes unpack it, and compile its kernels, only once.
    """
    folder = tmp_path_factory.mktemp("project")
    for package in ("colorize_core", "jobs", "cluster", "configs"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".gitignore", folder)
    (folder / EXCLUDED).write_bytes(os.urandom(3_000_000))
    (folder / "configs" / "tiny.yaml").write_text(
        "model: {name: encoder_decoder, options: {widths: [8, 8], latent: 8}}\nloss: {l1: 1}\n"
        "optim: {epochs: 2, batch_size: 4, samples: 2}\nworkers: {count: 2, cpus: 2}\n"
    )
    return folder


@dataclass(frozen=True)
class Bench:
    """Commands in the folder of the project, with credentials in the environment."""

    cluster: RealCluster
    project: Path
    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))}
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        client = {"HOME": str(self.cluster.folder), "RAY_AUTH_TOKEN": TOKEN, "RAY_ADDRESS": self.cluster.url}
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(self.project)}
        return kept | keys | client | path

    def start(self, config: dict[str, Any], *overrides: str, **environment: str) -> subprocess.Popen[str]:
        """`colorize submit` with this file."""
        file = self.cluster.folder / f"submit-{time.monotonic_ns()}.yaml"
        shared = {"excludes": ["*.bin"], "pass_env": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]}
        file.write_text(yaml.safe_dump(shared | config))
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.submit", str(file), *overrides],
            cwd=self.project,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def submit(self, config: dict[str, Any], *overrides: str, **environment: str) -> tuple[int, str]:
        """Submit a job; returns the exit code and the output."""
        job = self.start(config, *overrides, **environment)
        said, _ = job.communicate(timeout=400)
        return job.returncode, said

    def store(self, prefix: str) -> S3Storage:
        return S3Storage(BUCKET, prefix, StorageOptions(endpoint=self.endpoint))


@pytest.fixture(scope="module")
def bench(cluster: RealCluster, project: Path, s3_endpoint: str) -> Bench:
    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").create_bucket(Bucket=BUCKET)
    return Bench(cluster, project, s3_endpoint)


@pytest.fixture(scope="module")
def small_photos(photo_paths: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photographs of 32 px: kernels are not compiled on this cluster (see `RealCluster`)."""
    folder = tmp_path_factory.mktemp("small")
    for path in photo_paths:
        Image.open(path).resize((32, 32)).save(folder / path.name)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def training(bench: Bench, photo_paths: list[Path]) -> tuple[int, str]:
    """Two epochs on two workers with two CPUs each, so that each node has one."""
    write_dataset(bench.store("shards"), photo_paths, train=16, val=4)
    places = {"shards": f"s3://{BUCKET}/shards", "output": f"s3://{BUCKET}/run"}
    keys = places | {"storage": {"endpoint": bench.endpoint}}
    return bench.submit({"verb": "train", "config": "configs/tiny.yaml", "keys": keys})


@pytest.fixture(scope="module")
def archive_keys(bench: Bench, training: tuple[int, str], small_photos: list[Path]) -> dict[str, Any]:
    """Eight photographs and a file that is not an image, in S3; two actors, each of which fits on one node."""
    for path in small_photos[:8]:
        bench.store("gray").write(f"box/{path.name}", path.read_bytes())
    bench.store("gray").write("box/broken.jpg", b"no photograph")
    return {
        "source": f"s3://{BUCKET}/gray",
        "output": f"s3://{BUCKET}/color",
        "checkpoint": f"s3://{BUCKET}/run/best",
        "actors": {"count": 2, "cpus": 1.25},
        "batch_size": 2,
        "report": False,
        "storage": {"endpoint": bench.endpoint},
    }


@pytest.fixture(scope="module")
def archive(bench: Bench, archive_keys: dict[str, Any]) -> tuple[int, str]:
    return bench.submit({"verb": "archive", "keys": archive_keys}, "keys.max_failed_fraction=0")


def test_training_runs_on_both_nodes_from_s3_to_s3(bench: Bench, training: tuple[int, str]) -> None:
    code, said = training
    assert code == 0, said
    assert len(bench.cluster.actor_nodes("RayTrainWorker")) == 2
    run = bench.store("run")
    assert run.exists("best/model.safetensors")
    assert any(entry.key.startswith("checkpoints/epoch_0002/") for entry in run.list())
    assert json.loads(run.read("run.json"))["status"] == "done"


def test_the_log_has_few_lines_and_no_control_characters(training: tuple[int, str]) -> None:
    _, said = training
    assert "\r" not in said
    assert "\x1b" not in said
    assert len([line for line in said.splitlines() if re.match(r"(\S+ \S+ INFO train: )?epoch ", line)]) == 2
    assert len(said.splitlines()) < 30, said
    assert "test" not in said.split("passed to the job")[1].splitlines()[0]  # names of the credentials, no values


def test_archive_from_s3_to_s3_and_its_exit_code(bench: Bench, archive: tuple[int, str]) -> None:
    code, said = archive
    assert code == 3, said  # one file failed, and none is allowed to
    assert len(bench.cluster.actor_nodes("ColorizeActor")) == 2
    images = {entry.key for entry in bench.store("color/images").list()}
    assert len(images) == 8
    rows = bench.store("color/metrics")
    table = pq.read_table(rows.path(), filesystem=rows.filesystem)
    assert sorted(table.column("status").to_pylist()) == ["not_an_image", *["ok"] * 8]


def test_rays_own_command_continues_the_archive(
    bench: Bench, archive_keys: dict[str, Any], archive: tuple[int, str]
) -> None:
    """Run the command of the README: nothing is left to do, and one failure of nine is allowed."""
    environment = {"env_vars": {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}, "excludes": ["*.bin"]}
    keys = [f"{name}={archive_keys[name]}" for name in ("source", "output", "checkpoint", "batch_size")]
    keys += ["report=false", f"storage.endpoint={bench.endpoint}", "max_failed_fraction=0.5"]
    ray = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--working-dir", "."]
    done = subprocess.run(
        [*ray, "--runtime-env-json", json.dumps(environment), "--", "python", "-m", "jobs.archive", *keys],
        cwd=bench.project,
        env=bench.environment | {"RAY_AUTH_MODE": "token"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to do: 8 done, 1 failed" in done.stdout


def test_the_uploaded_code_is_on_every_node_and_small(bench: Bench, training: tuple[int, str]) -> None:
    for number in range(2):  # each node unpacks the code below its own folder
        unpacked = bench.cluster.folder.glob(f"{number}/session_2*/runtime_resources/working_dir_files/_ray_pkg_*/")
        folder = next(path for path in unpacked if path.is_dir())
        files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert EXCLUDED not in {path.name for path in files}
        assert sum(path.stat().st_size for path in files if path.suffix != ".safetensors") < 2_000_000
        assert (folder / "colorize_core" / "starter" / "model.safetensors").is_file()
        assert (folder / "colorize_core" / "report" / "templates" / "base.html").is_file()


def test_a_user_error_is_one_line_with_exit_code_2_and_the_last_line_repeats_it(bench: Bench) -> None:
    """One that only the cluster can find: a mistake in the keys is found before."""
    keys = {"shards": f"s3://{BUCKET}/nothing", "output": f"s3://{BUCKET}/x", "storage": {"endpoint": bench.endpoint}}
    code, said = bench.submit({"verb": "train", "config": "configs/local_smoke.yaml", "keys": keys})
    assert code == 2, said
    job, submit = (line for line in said.splitlines() if line.startswith("colorize: "))
    assert f"{BUCKET}/nothing: not a dataset" in job
    assert submit.endswith(f"failed with exit code 2: {job.removeprefix('colorize: ')}")


def test_another_token_is_one_line(bench: Bench) -> None:
    code, said = bench.submit({"command": ["true"]}, RAY_AUTH_TOKEN="f" * 64)
    assert code == 1
    assert "refused, the token is not the cluster's" in said
    assert "Traceback" not in said


@pytest.mark.long
def test_ctrl_c_leaves_a_job_running_which_can_be_followed_and_stopped(bench: Bench) -> None:
    program = (
        "import time\nprint('began', flush=True)\n"
        "try: time.sleep(300)\nexcept KeyboardInterrupt: time.sleep(5); print('put away', flush=True)"
    )
    said = interrupt(bench.start({"command": ["python", "-c", program], "name": "sleeper"}), signal.SIGINT)
    assert "continues to run" in said
    job = said.split("follow=")[1].split()[0]
    said = interrupt(bench.start({}, f"follow={job}", "on_interrupt=stop"), signal.SIGTERM)
    assert f"stopping {job}" in said
    assert "put away" in said  # it was given the time: Ray's own 3 seconds are too short
    assert f"{job} was stopped" in said


@pytest.mark.long
def test_a_broken_connection_is_renewed(bench: Bench) -> None:
    program = (
        "import sys, time\nprint('began', flush=True)\n"
        "for number in range(8): time.sleep(1); print('step', number, flush=True)\nsys.exit(5)"
    )
    with Relay(bench.cluster.dashboard) as relay:
        address = f"address=http://127.0.0.1:{relay.port}"
        job = bench.start({"command": ["python", "-c", program]}, address)
        said = read_until_begun(job)
        relay.cut()
        time.sleep(3)
        relay.restore()
        said += read_rest(job)
    assert job.returncode == 5, said
    assert "does not answer; trying again" in said
    steps = [line for line in said.splitlines() if line.startswith(("began", "step "))]
    assert steps == ["began", *(f"step {number}" for number in range(8))]


def interrupt(job: subprocess.Popen[str], signal_number: int) -> str:
    """Wait until the submitted program has begun, then send a signal to the waiting command; returns its output."""
    said = read_until_begun(job)
    job.send_signal(signal_number)
    said += read_rest(job)
    assert job.returncode == 1, said
    return said


def read_until_begun(job: subprocess.Popen[str]) -> str:
    assert job.stdout
    said = ""
    while "\nbegan\n" not in f"\n{said}":
        said += (line := job.stdout.readline())
        assert line, said
    return said


def read_rest(job: subprocess.Popen[str]) -> str:
    """Read the rest of the output; `communicate` would lose lines that are buffered."""
    assert job.stdout
    said = job.stdout.read()
    job.wait()
    return said
