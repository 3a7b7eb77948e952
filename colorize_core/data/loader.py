"""Training batches from Lab shards, in a reproducible order that can be resumed at any batch.

Seed and epoch permute the row groups, which are divided among the ranks as ranges of equally many rows; each rank then
shuffles its rows in a buffer. The order depends on nothing else, so an interrupted run continues exactly where it was.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow.parquet as pq
from pyarrow import fs

from colorize_core.data.shards import group_columns, is_tensor
from colorize_core.runtime.files import shard_errors

_FOOTER_THREADS = 16
_READER_THREADS = 4

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Shard:
    """A shard file with its Parquet footer, which is read only once."""

    path: str
    footer: pq.FileMetaData


@dataclass(frozen=True)
class _RowRange:
    """A range of rows of one row group."""

    shard: Shard
    group: int
    start: int
    stop: int


def open_shards(paths: Sequence[str], filesystem: fs.FileSystem) -> list[Shard]:
    """Read the footers of shard files; raises UserError if one is missing or damaged."""

    def read(path: str) -> Shard:
        with shard_errors(path), filesystem.open_input_file(path) as source:
            return Shard(path, pq.read_metadata(source))

    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        return list(pool.map(read, paths))


@dataclass(frozen=True)
class ShardLoader:
    """Reader of one rank's share of the shards, epoch by epoch."""

    shards: Sequence[Shard]
    filesystem: fs.FileSystem
    columns: Sequence[str]
    batch_size: int
    shuffle_buffer: int
    """Rows in the shuffle buffer; 0 keeps the stored order within a row group."""
    seed: int
    rank: int = 0
    world_size: int = 1

    @property
    def batches(self) -> int:
        """Number of batches per epoch, equal on all ranks.

        Rows that do not fill a batch are dropped; they differ from epoch to epoch.
        """
        return self._rows // self.batch_size

    @property
    def _rows(self) -> int:
        return sum(shard.footer.num_rows for shard in self.shards) // self.world_size

    def epoch(self, number: int, skip: int = 0) -> Iterator[dict[str, Any]]:
        """Read the batches of an epoch, without the first `skip`.

        Yields:
            Columns by name: tensors as (B, C, S, S) uint8 arrays, strings as lists.

        Raises:
            UserError: a shard is missing or damaged.
        """
        random = np.random.default_rng([self.seed % 2**32, number, self.rank])
        rows = self._read(self._assign_rows(number))
        pool: list[dict[str, Any]] = []
        for batch in range(self.batches):
            # The buffer fills while the first batches are in use: rows are stored in random order anyway.
            ready = min(self.shuffle_buffer, 2 * self.batch_size * (batch + 1))
            while len(pool) < max(ready, self.batch_size) and (row := next(rows, None)):
                pool.append(row)
            chosen = _draw(pool, self.batch_size, random if self.shuffle_buffer else None)
            if batch >= skip:
                yield {name: _join([row[name] for row in chosen]) for name in self.columns}

    def _assign_rows(self, epoch: int) -> Iterator[_RowRange]:
        """Yield this rank's range of the rows of all row groups, in the epoch's order."""
        groups = [(shard, group) for shard in self.shards for group in range(shard.footer.num_row_groups)]
        order = np.random.default_rng([self.seed % 2**32, epoch]).permutation(len(groups))
        first, last, position = self.rank * self._rows, (self.rank + 1) * self._rows, 0
        for shard, group in (groups[i] for i in order):
            rows = shard.footer.row_group(group).num_rows
            start, stop = max(first - position, 0), min(last - position, rows)
            if start < stop:
                yield _RowRange(shard, group, start, stop)
            position += rows

    def _read(self, ranges: Iterable[_RowRange]) -> Iterator[dict[str, Any]]:
        for group in _map_ahead(self._read_range, ranges, _READER_THREADS):
            for number in range(len(group[self.columns[0]])):
                # Copied, because a view in the shuffle buffer would keep the memory of its whole row group.
                yield {
                    name: values[number].copy() if is_tensor(values) else values[number]
                    for name, values in group.items()
                }

    def _read_range(self, rows: _RowRange) -> dict[str, Any]:
        with shard_errors(rows.shard.path), self.filesystem.open_input_file(rows.shard.path) as source:
            file = pq.ParquetFile(source, metadata=rows.shard.footer, pre_buffer=True)
            table = file.read_row_group(rows.group, columns=list(self.columns), use_threads=False)
        return group_columns(table.slice(rows.start, rows.stop - rows.start), self.columns)


def prefetch(items: Iterable[Item], make: Callable[[Item], Made], depth: int) -> Iterator[Made]:
    """Yield `make(item)` for each item, computed by a thread up to `depth` items ahead; re-raises its exceptions."""
    made: queue.Queue[tuple[Made | None, BaseException | None, bool]] = queue.Queue(depth)
    ended = threading.Event()

    def put(entry: tuple[Made | None, BaseException | None, bool]) -> bool:
        while not ended.is_set():
            with suppress(queue.Full):
                made.put(entry, timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((make(item), None, False)):
                    return
            put((None, None, True))
        except BaseException as error:
            put((None, error, True))

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            value, error, last = made.get()
            if error:
                raise error
            if last:
                return
            yield value  # type: ignore[misc]
    finally:
        ended.set()


def _map_ahead(function: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Iterator[Made]:
    """Yield results in the order of the items, computed by threads up to 2 x `threads` items ahead."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Any] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _draw(pool: list[dict[str, Any]], count: int, random: np.random.Generator | None) -> list[dict[str, Any]]:
    """Remove `count` rows from a pool, at random or, without a generator, from its beginning."""
    if random is None:
        chosen, pool[:] = pool[:count], pool[count:]
        return chosen
    chosen = []
    for _ in range(count):
        place = int(random.integers(len(pool)))
        pool[place], pool[-1] = pool[-1], pool[place]
        chosen.append(pool.pop())
    return chosen


def _join(values: list[Any]) -> Any:
    return np.stack(values) if is_tensor(values[0]) else values
