"""The memory of a run does not grow with the archive, and stays within its limit for photographs of any size."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cluster.storage.stores import LocalStorage
from tests.faults.archives import encoded, rows_of
from tests.faults.processes import actors_among, descendants, finish, resident_bytes, start

pytestmark = pytest.mark.long
FEW, MANY = 2_000, 20_000
SLACK = 64 * 2**20
"""Bytes by which the peaks may differ. Ten times the keys and contents of the inputs would be only a few MB, but a part
of the manifest and its rows are held in memory at once."""


def peaks(source: Path, output: Path, checkpoint: str, *options: str) -> tuple[int, int]:
    """Run a job; return the maximum private memory of the driver and of any actor in bytes, sampled every 0.1 s."""
    where = [f"source={source}", f"output={output}", f"checkpoint={checkpoint}"]
    job = start([*where, *options, "actors.count=1", "ray.num_cpus=4"])
    driver = actor = 0
    while job.poll() is None:
        try:
            driver = max(driver, resident_bytes(job.pid))
            actor = max([actor, *map(resident_bytes, actors_among(descendants(job.pid)))])
        except (OSError, KeyError):  # a process that has just ended
            continue
        time.sleep(0.1)
    finish(job)
    return driver, actor


@pytest.mark.timeout(1200)
def test_ten_times_the_photographs_need_no_more_memory(tmp_path: Path, tiny_checkpoint: str) -> None:
    """Tiny photographs in color are skipped, so that only the memory of the job itself for each input is left."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    photo = encoded(Image.fromarray(pixels), "PNG")
    found = []
    for count in (FEW, MANY):
        source = tmp_path / str(count)
        for number in range(count):
            path = source / f"{number // 1000:03d}" / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo)
        found.append(peaks(source, tmp_path / f"out-{count}", tiny_checkpoint, "on_color=skip"))
    (driver_few, actor_few), (driver_many, actor_many) = found
    print(f"driver {driver_few >> 20} and {driver_many >> 20} MiB, actor {actor_few >> 20} and {actor_many >> 20} MiB")
    assert driver_few > 0 < actor_few
    assert driver_many < driver_few + SLACK
    assert actor_many < actor_few + SLACK


@pytest.mark.timeout(600)
def test_100_megapixels_are_colored_within_the_memory_limit(
    tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str
) -> None:
    """Two at a time would need twice the limit. Libraries, model and strips of pixels are added to the limit."""
    limit, libraries = 1_100_000_000, 1_100_000_000
    source = tmp_path / "gray"
    source.mkdir()
    tile = np.asarray(Image.open(photo_paths[0]).convert("L").resize((500, 500)))
    large = encoded(Image.fromarray(np.tile(tile, (20, 20))))
    for name in ("a", "b"):
        (source / f"{name}.jpg").write_bytes(large)
    _, actor = peaks(source, tmp_path / "color", tiny_checkpoint, f"max_memory={limit}")
    print(f"actor {actor >> 20} MiB")
    rows = rows_of(LocalStorage(str(tmp_path / "color")))
    assert rows.status.tolist() == ["ok", "ok"]
    assert rows.width.tolist() == [10_000, 10_000]
    assert actor < limit + libraries


@pytest.mark.timeout(300)
def test_a_photograph_over_the_memory_limit_has_a_row_with_the_memory_it_needs(
    tmp_path: Path, tiny_checkpoint: str
) -> None:
    source = tmp_path / "gray"
    source.mkdir()
    (source / "a.png").write_bytes(encoded(Image.new("L", (10_000, 10_000), 128), "PNG"))
    peaks(source, tmp_path / "color", tiny_checkpoint, "max_memory=900MB", "max_failed_fraction=1")
    row = rows_of(LocalStorage(str(tmp_path / "color"))).iloc[0]
    assert row.status == "too_large"
    assert "10000x10000 pixels need about 1.0 GB, more than max_memory 900.0 MB" in row.error
