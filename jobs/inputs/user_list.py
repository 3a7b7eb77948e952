"""Lists of inputs that users bring: Parquet or CSV with a column `key`, and S3 Inventory."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from cluster.storage.stores import Entry, S3Storage, Storage, StorageOptions, open_storage
from colorize_core.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_INVENTORY = "manifest.json"
_UNKNOWN_SIZE = -1


def read_user_list(location: str, source: Storage, options: StorageOptions) -> Iterator[Entry]:
    """Inputs that a file names, in its order; memory does not grow with their number.

    Args:
        location: path or s3:// URI of a .parquet or .csv file, or s3:// URI of the manifest.json of an S3 Inventory.
        source: keys are relative to it; an inventory names whole keys, and those outside the source are passed over.
        options: for S3.

    Raises:
        UserError: the file cannot be read, has no column `key`, or is of another kind.
    """
    folder, _, name = location.rpartition("/")
    store = open_storage(folder or ".", options)
    if name == _INVENTORY:
        yield from _read_inventory(location, store, source, options)
        return
    if not name.endswith((".parquet", ".csv")):
        raise UserError(f"{location}: listing.manifest must be a .parquet or .csv file, or an inventory's {_INVENTORY}")
    for batch in _batches(store, name):
        if "key" not in batch.schema.names:
            raise UserError(f"{location}: has no column key (it has: {', '.join(batch.schema.names)})")
        keys = batch.column("key").cast("string").to_pylist()
        known = "size" in batch.schema.names
        sizes = batch.column("size").cast("int64").to_pylist() if known else [_UNKNOWN_SIZE] * len(keys)
        for key, size in zip(keys, sizes, strict=True):
            if key:
                yield Entry(key, _UNKNOWN_SIZE if size is None else size)


def _batches(store: Storage, name: str, columns: list[str] | None = None) -> Iterator["pa.RecordBatch"]:
    """Rows of a .parquet, .csv or .csv.gz file; `columns` names those of a CSV file without a header."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    where = f"{store.uri}/{name}"
    try:
        if name.endswith(".parquet"):
            with store.filesystem.open_input_file(store.path(name)) as file:
                yield from pq.ParquetFile(file).iter_batches()
            return
        text = pa.csv.ConvertOptions(column_types=dict.fromkeys(columns or ["key"], pa.string()))
        packed = "gzip" if name.endswith(".gz") else None
        with store.filesystem.open_input_stream(store.path(name), compression=packed) as stream:
            yield from pa.csv.open_csv(stream, pa.csv.ReadOptions(column_names=columns), convert_options=text)
    except pa.ArrowInvalid as error:
        raise UserError(f"{where}: not a readable table of keys ({str(error).splitlines()[0]})") from error
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or str(error).splitlines()[0]})") from error


def _read_inventory(location: str, store: Storage, source: Storage, options: StorageOptions) -> Iterator[Entry]:
    """Objects of an S3 Inventory below the source (Amazon S3 User Guide, "Locating your inventory list")."""
    try:
        inventory: dict[str, Any] = json.loads(store.read(_INVENTORY))
        kind, files = inventory["fileFormat"].lower(), [file["key"] for file in inventory["files"]]
        destination = inventory["destinationBucket"].removeprefix("arn:aws:s3:::")
        columns = [name.strip() for name in inventory["fileSchema"].split(",")] if kind == "csv" else None
        bucket = inventory["sourceBucket"]
    except OSError as error:
        raise UserError(f"{location}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{location}: not the manifest of an S3 Inventory ({error})") from error
    if kind not in ("csv", "parquet"):
        raise UserError(f"{location}: an inventory in {kind}; have it written as CSV or Parquet")
    if not isinstance(source, S3Storage) or source.bucket != bucket:
        raise UserError(f"{location}: an inventory of the bucket {bucket}, but the source is {source.uri}")
    below = f"{source.prefix}/" if source.prefix else ""
    listed = open_storage(f"s3://{destination}", options)
    for file in files:
        for batch in _batches(listed, file, columns):
            yield from _objects(batch, below, url_encoded=kind == "csv")


def _objects(batch: "pa.RecordBatch", below: str, url_encoded: bool) -> Iterator[Entry]:
    by_name = {name.lower().replace("_", ""): batch.column(name) for name in batch.schema.names}
    keys = by_name["key"].to_pylist()
    sizes = by_name["size"].to_pylist() if "size" in by_name else [None] * len(keys)
    for written, size in zip(keys, sizes, strict=True):
        key = unquote_plus(written) if url_encoded else written
        if key.startswith(below) and not key.endswith("/"):
            yield Entry(key[len(below) :], _UNKNOWN_SIZE if size in (None, "") else int(size))
