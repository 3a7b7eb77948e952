"""An archive in Google Cloud Storage whose images go to Azure Blob Storage, on local servers of both."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cluster.storage.stores import StorageOptions, open_storage

pytestmark = pytest.mark.long


def test_photographs_go_from_one_service_to_another(
    google_bucket: str, azure_container: str, photo_paths: list[Path], tiny_checkpoint: str
) -> None:
    """The command runs with a Ray of its own, which inherits the servers from the environment."""
    source = open_storage(f"gs://{google_bucket}/gray", StorageOptions())
    for number, photo in enumerate(photo_paths[:5]):
        source.write(f"box/{number} ü.jpg", photo.read_bytes())
    output = f"az://{azure_container}/color"
    command = [sys.executable, "-m", "jobs.archive", f"source={source.uri}", f"output={output}", "on_color=colorize"]
    command += [f"checkpoint={tiny_checkpoint}", "ray.num_cpus=2"]
    for expected in ("ok       5", "nothing to do: 5 done"):
        run = subprocess.run(command, capture_output=True, text=True, timeout=240, env=os.environ)
        assert run.returncode == 0, run.stderr
        assert expected in run.stdout
    images = open_storage(f"{output}/images", StorageOptions())
    assert [entry.key for entry in images.list()] == [f"box/{number} ü.jpg" for number in range(5)]
    assert Image.open(io.BytesIO(images.read("box/3 ü.jpg"))).size == Image.open(photo_paths[3]).size
