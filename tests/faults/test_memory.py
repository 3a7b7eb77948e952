"""The memory of a run does not grow with the archive."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults.archives import encoded
from tests.faults.processes import actors_among, descendants, finish, resident_bytes, start

pytestmark = pytest.mark.faults
FEW, MANY = 2_000, 20_000
SLACK = 64 * 2**20
"""Bytes by which the peaks may differ; ten times an input's key and bytes would be no more than a few MB, but a part of
the manifest and its rows are held at once."""


def peaks(source: Path, output: Path, checkpoint: str) -> tuple[int, int]:
    """Highest private memory of the driver and of any actor, in bytes, looked at twice a second."""
    where = [f"source={source}", f"output={output}", f"checkpoint={checkpoint}"]
    job = start([*where, "on_color=skip", "actors.count=1", "ray.num_cpus=4"])
    driver = actor = 0
    while job.poll() is None:
        try:
            driver = max(driver, resident_bytes(job.pid))
            actor = max([actor, *map(resident_bytes, actors_among(descendants(job.pid)))])
        except (OSError, KeyError):  # a process that ended while we looked
            continue
        time.sleep(0.5)
    finish(job)
    return driver, actor


@pytest.mark.timeout(1200)
def test_ten_times_the_photographs_take_no_more_memory(tmp_path: Path, tiny_checkpoint: str) -> None:
    """Tiny ones in colour, skipped: what is left is what the job itself keeps for each input."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    photo = encoded(Image.fromarray(pixels), "PNG")
    found = []
    for count in (FEW, MANY):
        source = tmp_path / str(count)
        for number in range(count):
            path = source / f"{number // 1000:03d}" / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo)
        found.append(peaks(source, tmp_path / f"out-{count}", tiny_checkpoint))
    (driver_few, actor_few), (driver_many, actor_many) = found
    print(f"driver {driver_few >> 20} and {driver_many >> 20} MiB, actor {actor_few >> 20} and {actor_many >> 20} MiB")
    assert driver_few > 0 < actor_few
    assert driver_many < driver_few + SLACK
    assert actor_many < actor_few + SLACK
