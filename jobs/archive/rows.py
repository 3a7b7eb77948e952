"""The rows of an archive run: staged while a part of the manifest is at work, then merged into one file per part.

OUTPUT/metrics/part-*.parquet hold exactly one row per input of every finished part, in the order of the manifest.
Rows are staged in small files, each written whole, below OUTPUT/_state/rows (and _state/retried while failed inputs
are tried again). Work that is done twice, after a crash, stages its rows twice; merging keeps one of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from cluster.storage.stores import Storage
from jobs.run.parquet import parquet_bytes

if TYPE_CHECKING:
    import pyarrow as pa

METRICS = "metrics"
FIRST, RETRIED = "_state/rows", "_state/retried"
SUCCEEDED = ("ok", "skipped_color")


def stage(output: Storage, folder: str, part: int, rows: "pa.Table") -> None:
    """Write rows of a part, as one file with a name of its own."""
    output.write(f"{folder}/{_name(part)}/{uuid4().hex}.parquet", parquet_bytes(rows))


def staged(output: Storage, folder: str, part: int) -> "pa.Table | None":
    """All rows staged for a part, perhaps some twice; None where there are none."""
    import pyarrow as pa

    store = output.child(f"{folder}/{_name(part)}")
    tables = [_read(store, entry.key) for entry in store.list()]
    return pa.concat_tables(tables) if tables else None


def merged(output: Storage, part: int) -> "pa.Table | None":
    """The rows of a finished part; None before it is finished."""
    name = f"{METRICS}/{_name(part)}.parquet"
    return _read(output, name) if output.exists(name) else None


def merge(output: Storage, folder: str, part: int, inputs: "pa.Table") -> "pa.Table | None":
    """Make the staged rows of a part part of OUTPUT/metrics, and forget that they were staged.

    A staged row replaces an earlier one of its input, and a success a failure staged beside it.

    Args:
        output: of the run.
        folder: FIRST or RETRIED.
        part: number of the part.
        inputs: index and key of the manifest, for the order.

    Returns:
        The rows of the part; None where there are none yet.
    """
    import pandas as pd
    import pyarrow as pa

    fresh, old = staged(output, folder, part), merged(output, part)
    if fresh is None:
        return old
    rows = fresh if old is None else pa.concat_tables([fresh, old])
    frame = pd.DataFrame({"key": rows.column("key").to_pandas(), "status": rows.column("status").to_pandas()})
    frame["age"] = [0] * len(fresh) + [1] * (len(rows) - len(fresh))
    frame["failed"] = ~frame.status.isin(SUCCEEDED)
    order = pd.Series(inputs.column("index").to_numpy(), index=inputs.column("key").to_pandas())
    frame["index"] = frame.key.map(order)
    kept = frame.sort_values(["index", "age", "failed"], kind="stable").drop_duplicates("key").index
    rows = rows.take(pa.array(kept))
    output.write(f"{METRICS}/{_name(part)}.parquet", parquet_bytes(rows))
    store = output.child(f"{folder}/{_name(part)}")
    for entry in list(store.list()):
        store.delete(entry.key)
    return rows


def without(inputs: "pa.Table", *done: "pa.Table | None") -> "pa.Table":
    """The inputs of a part that have no row in any of the tables."""
    import pyarrow.compute as pc

    for rows in done:
        if rows is not None:
            inputs = inputs.filter(pc.invert(pc.is_in(inputs.column("key"), value_set=_keys(rows))))
    return inputs


def failed(inputs: "pa.Table", rows: "pa.Table", statuses: Sequence[str]) -> "pa.Table":
    """The inputs of a part whose row has one of the statuses."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lost = rows.filter(pc.is_in(rows.column("status"), value_set=pa.array(statuses, pa.string())))
    return inputs.filter(pc.is_in(inputs.column("key"), value_set=_keys(lost)))


def count_statuses(tables: Iterable["pa.Table"]) -> Counter[str]:
    """Rows by status."""
    import pyarrow.compute as pc

    counts: Counter[str] = Counter()
    for table in tables:
        for entry in pc.value_counts(table.column("status")).to_pylist():
            counts[entry["values"]] += entry["counts"]
    return counts


def read_rows(output: Storage) -> Iterable["pa.Table"]:
    """The rows of every finished part, one table at a time."""
    store = output.child(METRICS)
    return (_read(store, entry.key) for entry in store.list())


def read_unmerged(output: Storage) -> Iterable["pa.Table"]:
    """The rows staged for parts that are not finished, one table per part, one row per input."""
    import pandas as pd
    import pyarrow as pa

    parts = {entry.key.partition("/")[0] for entry in output.child(FIRST).list()}
    for part in sorted(int(name.removeprefix("part-")) for name in parts):
        if merged(output, part) is None and (rows := staged(output, FIRST, part)) is not None:
            twice = pd.Series(rows.column("key").to_pandas()).duplicated()
            yield rows.filter(pa.array(~twice))


def _read(store: Storage, key: str) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(store.read(key)))


def _keys(rows: "pa.Table") -> "pa.Array":
    return rows.column("key").combine_chunks()


def _name(part: int) -> str:
    return f"part-{part:05d}"
