"""Tasks of `prepare`, called without Ray."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.storage.stores import StorageOptions, open_storage
from jobs.prepare.config import PrepareConfig
from jobs.prepare.tasks import inspect_rows


class Counter:
    def __init__(self) -> None:
        self.added: list[int] = []

    def add(self, number: int) -> None:
        self.added.append(number)


def test_progress_moves_within_a_block(photo_paths: list[Path]) -> None:
    paths = photo_paths[:19]
    counter: Any = Counter()
    config = PrepareConfig(source=str(paths[0].parent), output="unused", size=32)
    source = open_storage(config.source, StorageOptions())
    rows = inspect_rows(pa.table({"key": [path.name for path in paths]}), config, source, counter)
    assert rows.num_rows == 19
    assert counter.added == [8, 8, 3]
