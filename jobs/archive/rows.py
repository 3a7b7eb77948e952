"""Rows of an archive run: staged while a part of the manifest is processed, then merged into one file per part.

OUTPUT/metrics/part-*.parquet contain exactly one row per input of every finished part, in the order of the manifest.
Rows are staged in small files, one for each batch of an actor, below OUTPUT/_state/rows (and _state/retried while
failed inputs are processed again). Inputs that are processed twice, after a crash, have two staged rows; merging keeps
one.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

from cluster.storage.stores import Storage
from colorize_core.status import FAILURES
from jobs.run.parquet import count_parquet_rows, parquet_bytes, read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

METRICS = "metrics"
FIRST, RETRIED = "_state/rows", "_state/retried"
_THREADS = 16


def stage(output: Storage, folder: str, part: int, rows: "pa.Table") -> None:
    """Write rows of a part as one file with a unique name."""
    output.write(f"{folder}/{_name(part)}/{uuid4().hex}.parquet", parquet_bytes(rows))


def read_staged(output: Storage, folder: str, part: int, columns: Sequence[str] | None = None) -> "pa.Table | None":
    """Return all rows staged for a part, possibly with repeated keys; None if there are none."""
    files = output.child(f"{folder}/{_name(part)}")
    # These files are small: one request for the whole file is faster than requests for its footer and its columns.
    with ThreadPoolExecutor(_THREADS) as pool:
        tables = list(pool.map(lambda entry: read_parquet(files, entry.key), files.list()))
    if columns:
        tables = [table.select(list(columns)) for table in tables]
    return _concat(tables) if tables else None


def read_merged(output: Storage, part: int, columns: Sequence[str] | None = None) -> "pa.Table | None":
    """Return the rows of a finished part; None if it is not finished."""
    return read_parquet(output, _merged(part), columns) if output.exists(_merged(part)) else None


def merge(output: Storage, folder: str, part: int, inputs: "pa.Table") -> "pa.Table | None":
    """Merge the staged rows of a part into OUTPUT/metrics, and delete the staged files.

    A staged row replaces the merged row of the same input. Among staged rows of the same input, a success replaces a
    failure.

    Args:
        output: location of the run.
        folder: FIRST or RETRIED.
        part: number of the part.
        inputs: index and key of the manifest, for the order.

    Returns:
        The merged rows; None if nothing was staged.
    """
    import pandas as pd
    import pyarrow as pa

    staged = read_staged(output, folder, part)
    if staged is None:
        return None
    merged = read_merged(output, part)
    rows = staged if merged is None else _concat([staged, merged])
    frame = pd.DataFrame({"key": rows.column("key").to_pandas(), "status": rows.column("status").to_pandas()})
    frame["age"] = [0] * len(staged) + [1] * (len(rows) - len(staged))
    frame["failed"] = frame.status.isin(FAILURES)
    order = pd.Series(inputs.column("index").to_numpy(), index=inputs.column("key").to_pandas())
    frame["index"] = frame.key.map(order)
    kept = frame.sort_values(["index", "age", "failed"], kind="stable").drop_duplicates("key").index
    rows = rows.take(pa.array(kept))
    output.write(_merged(part), parquet_bytes(rows))
    files = output.child(f"{folder}/{_name(part)}")
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda entry: files.delete(entry.key), list(files.list())))
    return rows


def one_per_key(rows: "pa.Table") -> "pa.Table":
    """Return the first row of each key."""
    import pandas as pd
    import pyarrow as pa

    return rows.filter(pa.array(~pd.Series(rows.column("key").to_pandas()).duplicated()))


def without(inputs: "pa.Table", *done: "pa.Table | None") -> "pa.Table":
    """Return the inputs of a part that have no row in any of the tables."""
    import pyarrow.compute as pc

    for rows in done:
        if rows is not None:
            inputs = inputs.filter(pc.invert(pc.is_in(inputs.column("key"), value_set=_keys(rows))))
    return inputs


def with_status(inputs: "pa.Table", rows: "pa.Table", statuses: Sequence[str]) -> "pa.Table":
    """Return the inputs of a part whose row has one of the statuses."""
    import pyarrow.compute as pc

    return inputs.filter(pc.is_in(inputs.column("key"), value_set=_keys(of_status(rows, statuses))))


def of_status(rows: "pa.Table", statuses: Sequence[str]) -> "pa.Table":
    """Return the rows that have one of the statuses."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return rows.filter(pc.is_in(rows.column("status"), value_set=pa.array(map(str, statuses), pa.string())))


def count_statuses(rows: "pa.Table | None") -> Counter[str]:
    """Return the number of rows by status."""
    import pyarrow.compute as pc

    if rows is None:
        return Counter()
    return Counter({entry["values"]: entry["counts"] for entry in pc.value_counts(rows.column("status")).to_pylist()})


def count_rows(output: Storage) -> int:
    """Return the number of rows of all finished parts, from the footers of their files."""
    files = output.child(METRICS)
    return sum(count_parquet_rows(files, entry.key) for entry in files.list())


def read_rows(output: Storage, columns: Sequence[str] | None = None) -> "Iterator[pa.Table]":
    """Yield the rows of every finished part, one table per part."""
    files = output.child(METRICS)
    return (read_parquet(files, entry.key, columns) for entry in files.list())


def read_unmerged(output: Storage) -> "Iterator[pa.Table]":
    """Yield the rows staged for parts that are not finished, one table per part, one row per input."""
    parts = {entry.key.partition("/")[0] for entry in output.child(FIRST).list()}
    for part in sorted(int(name.removeprefix("part-")) for name in parts):
        if not output.exists(_merged(part)) and (rows := read_staged(output, FIRST, part)) is not None:
            yield one_per_key(rows)


def _concat(tables: "Sequence[pa.Table]") -> "pa.Table":
    """Join tables; columns that rows of an earlier version do not have are null there."""
    import pyarrow as pa

    return pa.concat_tables(tables, promote_options="default")


def _keys(rows: "pa.Table") -> "pa.Array":
    return rows.column("key").combine_chunks()


def _name(part: int) -> str:
    return f"part-{part:05d}"


def _merged(part: int) -> str:
    return f"{METRICS}/{_name(part)}.parquet"
