"""Reading and writing of Parquet files in any storage."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster.storage.stores import Storage

if TYPE_CHECKING:
    import pyarrow as pa


def parquet_bytes(table: "pa.Table") -> bytes:
    """Return a table as the bytes of a Parquet file, for storage that writes whole files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def read_parquet(storage: Storage, key: str, columns: Sequence[str] | None = None) -> "pa.Table":
    """Read a file; with `columns`, only those are transferred and decoded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if columns is None:
        return pq.read_table(pa.BufferReader(storage.read(key)))
    with storage.filesystem.open_input_file(storage.path(key)) as file:
        return pq.ParquetFile(file).read(list(columns))


def count_parquet_rows(storage: Storage, key: str) -> int:
    """Return the number of rows of a file from its footer."""
    import pyarrow.parquet as pq

    with storage.filesystem.open_input_file(storage.path(key)) as file:
        return int(pq.read_metadata(file).num_rows)
