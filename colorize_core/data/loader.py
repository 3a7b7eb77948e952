"""The photographs of an epoch as batches: in another order each time, the same on every machine, from any batch on.

Row groups are permuted by seed and epoch, and dealt to the ranks as equally long stretches of rows; each rank then
shuffles its rows in a buffer. The order depends on nothing else, so that a run that was cut off continues as if
nothing had happened.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from colorize_core.data.shards import group_columns, is_tensor
from colorize_core.errors import UserError

_FOOTER_THREADS = 16
_READER_THREADS = 4

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Shard:
    """A file and what its footer says, so that it is read once."""

    path: str
    footer: pq.FileMetaData


@dataclass(frozen=True)
class _Stretch:
    """Rows of a row group."""

    shard: Shard
    group: int
    start: int
    stop: int


def open_shards(paths: Sequence[str], filesystem: fs.FileSystem) -> list[Shard]:
    """Read the footers of shard files; raises UserError for one that is missing or damaged."""

    def read(path: str) -> Shard:
        with _reading(path), filesystem.open_input_file(path) as source:
            return Shard(path, pq.read_metadata(source))

    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        return list(pool.map(read, paths))


@dataclass(frozen=True)
class ShardLoader:
    """What one rank reads of shards, epoch by epoch."""

    shards: Sequence[Shard]
    filesystem: fs.FileSystem
    columns: Sequence[str]
    batch_size: int
    buffer: int
    """Rows to shuffle among; 0 keeps the order they are stored in within a row group."""
    seed: int
    rank: int = 0
    ranks: int = 1

    @property
    def batches(self) -> int:
        """In an epoch, the same number on every rank; what fills no batch is left out, in each epoch something else."""
        return self._rows // self.batch_size

    @property
    def _rows(self) -> int:
        return sum(shard.footer.num_rows for shard in self.shards) // self.ranks

    def epoch(self, number: int, skip: int = 0) -> Iterator[dict[str, Any]]:
        """Batches of an epoch, without the first `skip`.

        Yields:
            Columns by name: tensors as (B, C, S, S) uint8 arrays, strings as lists.

        Raises:
            UserError: a shard is missing or damaged.
        """
        random = np.random.default_rng([self.seed % 2**32, number, self.rank])
        rows = self._read(self._assign_rows(number))
        pool: list[dict[str, Any]] = []
        for batch in range(self.batches):
            # The buffer fills while the first batches are learned from: rows are stored in random order anyway.
            ready = min(self.buffer, 2 * self.batch_size * (batch + 1))
            while len(pool) < max(ready, self.batch_size) and (row := next(rows, None)):
                pool.append(row)
            chosen = _draw(pool, self.batch_size, random if self.buffer else None)
            if batch >= skip:
                yield {name: _join([row[name] for row in chosen]) for name in self.columns}

    def _assign_rows(self, epoch: int) -> Iterator[_Stretch]:
        """This rank's stretch of the rows of all row groups, in the epoch's order."""
        groups = [(shard, group) for shard in self.shards for group in range(shard.footer.num_row_groups)]
        order = np.random.default_rng([self.seed % 2**32, epoch]).permutation(len(groups))
        first, last, position = self.rank * self._rows, (self.rank + 1) * self._rows, 0
        for shard, group in (groups[i] for i in order):
            rows = shard.footer.row_group(group).num_rows
            start, stop = max(first - position, 0), min(last - position, rows)
            if start < stop:
                yield _Stretch(shard, group, start, stop)
            position += rows

    def _read(self, stretches: Iterable[_Stretch]) -> Iterator[dict[str, Any]]:
        for group in _ahead(self._read_stretch, stretches, _READER_THREADS):
            for number in range(len(group[self.columns[0]])):
                # Copies: a row that waits in the buffer would else keep the memory of its whole row group.
                yield {
                    name: values[number].copy() if is_tensor(values) else values[number]
                    for name, values in group.items()
                }

    def _read_stretch(self, stretch: _Stretch) -> dict[str, Any]:
        with _reading(stretch.shard.path), self.filesystem.open_input_file(stretch.shard.path) as source:
            file = pq.ParquetFile(source, metadata=stretch.shard.footer, pre_buffer=True)
            table = file.read_row_group(stretch.group, columns=list(self.columns), use_threads=False)
        return group_columns(table.slice(stretch.start, stretch.stop - stretch.start), self.columns)


def prefetch(items: Iterable[Item], make: Callable[[Item], Made], depth: int) -> Iterator[Made]:
    """`make` of each item, up to `depth` of them in advance, in a thread; its exceptions are raised here."""
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


def _ahead(function: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Iterator[Made]:
    """Results in the order of the items, by threads that are at most twice their number ahead."""
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
    """Take rows out of a pool, at random or from its beginning."""
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


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Faults of a shard's contents are the user's to mend; those of the network stay as they are."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: the shard is missing; run `prepare` again") from error
    except (pa.ArrowInvalid, OSError) as error:
        # What Parquet's reader finds has no number of the operating system's, and no error of S3's in it.
        if isinstance(error, pa.ArrowInvalid) or (error.errno is None and "AWS Error" not in str(error)):
            raise UserError(f"{path}: damaged shard ({str(error).splitlines()[0][:100]})") from error
        raise
