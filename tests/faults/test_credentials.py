"""Credentials are passed to S3 through the environment and written nowhere."""

import tempfile
from pathlib import Path

import pytest

from cluster.storage.stores import StorageOptions, open_storage
from tests.faults.archives import photographs
from tests.faults.processes import finish, start

SECRET, TOKEN = "secret-of-the-archive-0123456789", "token-of-the-archive-0123456789"


@pytest.mark.long
def test_credentials_are_never_written(
    s3_endpoint: str, bucket: str, photo_paths: list[Path], tiny_checkpoint: str
) -> None:
    """Not to the verbose output of the job, its files, or Ray's logs."""
    options = StorageOptions(endpoint=s3_endpoint)
    source, output = (open_storage(f"s3://{bucket}/{name}", options) for name in ("gray", "color"))
    for key, data in photographs(photo_paths, 3).items():
        source.write(key, data)
    with tempfile.TemporaryDirectory(prefix="ray-") as logs:  # short: it holds sockets
        where = [f"source={source.uri}", f"output={output.uri}", f"checkpoint={tiny_checkpoint}"]
        job = start(
            [*where, f"storage.endpoint={s3_endpoint}", "--verbose"],
            AWS_SECRET_ACCESS_KEY=SECRET,
            AWS_SESSION_TOKEN=TOKEN,
            RAY_TMPDIR=logs,
        )
        printed = finish(job)
        written = {str(path): path.read_bytes() for path in Path(logs).rglob("*") if path.is_file()}
    assert any("raylet" in path for path in written)
    assert "ok" in printed
    assert [entry.key for entry in output.child("images").list()] == [entry.key for entry in source.list()]
    written |= {entry.key: output.read(entry.key) for entry in output.list()} | {"output": printed.encode()}
    assert "run.json" in written
    for secret in (SECRET, TOKEN):
        assert [where for where, data in written.items() if secret.encode() in data] == []
