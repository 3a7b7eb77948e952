"""The actor without Ray."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pyarrow as pa
import pytest

from cluster.storage.stores import LocalStorage
from jobs.archive.actor import MAX_CONCURRENT_BATCHES, ColorizeActor
from jobs.archive.config import ArchiveConfig
from jobs.archive.rows import FIRST, read_staged
from jobs.run.progress import ClusterCounter


class FakeCounter:
    """Takes the place of `ClusterCounter`, which starts an actor of Ray."""

    def __init__(self) -> None:
        self.batches: list[Mapping[str, float]] = []

    def start(self) -> None:
        pass

    def add(self, number: int) -> None:
        pass

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        self.batches.append(seconds)


class BarrierStorage(LocalStorage):
    """Storage that blocks a write until `MAX_CONCURRENT_BATCHES` writes are waiting."""

    barrier = threading.Barrier(MAX_CONCURRENT_BATCHES)

    def child(self, prefix: str) -> "BarrierStorage":
        return self

    def write(self, key: str, data: bytes, content_type: str | None = None) -> None:
        self.barrier.wait(timeout=60)
        super().write(key, data, content_type)


@pytest.fixture
def rows(photo_paths: list[Path]) -> list[pa.Table]:
    """Batches of one photograph, as `fetch` makes them."""
    files = [(f"{number}.jpg", path.read_bytes()) for number, path in enumerate(photo_paths[:MAX_CONCURRENT_BATCHES])]
    return [
        pa.table(
            {
                "key": [key],
                "data": [data],
                "status": pa.nulls(1, pa.string()),
                "error": [""],
                "sidecar": pa.nulls(1, pa.binary()),
                "settings": pa.nulls(1, pa.string()),
            }
        )
        for key, data in files
    ]


def test_one_batch_is_colorized_while_another_is_written(
    rows: list[pa.Table], tiny_checkpoint: str, tmp_path: Path
) -> None:
    output, counter = BarrierStorage(str(tmp_path)), FakeCounter()
    config = ArchiveConfig(source="x", output=str(tmp_path), checkpoint=tiny_checkpoint)
    actor = ColorizeActor(config, output, cast(ClusterCounter, counter), FIRST, 0)
    with ThreadPoolExecutor(MAX_CONCURRENT_BATCHES) as pool:
        done = pa.concat_tables(pool.map(actor, rows))
    staged = read_staged(LocalStorage(str(tmp_path)), FIRST, 0)
    assert staged is not None
    assert staged.column("status").to_pylist() == ["ok"] * MAX_CONCURRENT_BATCHES
    images = [path for path in tmp_path.iterdir() if path.is_file()]
    assert sorted(path.name for path in images) == sorted(staged.column("output_key").to_pylist())
    assert sum(done.column("images").to_pylist()) == MAX_CONCURRENT_BATCHES
    assert sum(done.column("output_bytes").to_pylist()) == sum(path.stat().st_size for path in images)
    assert all({"decode", "infer", "encode", "put"} <= batch.keys() for batch in counter.batches)
