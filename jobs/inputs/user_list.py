"""Lists of inputs provided by users: Parquet or CSV with a column `key`, and S3 Inventory."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from cluster.storage.stores import Entry, S3Storage, Storage, StorageOptions, open_storage
from colorize_core.errors import UserError
from colorize_core.formatting import first_line

if TYPE_CHECKING:
    import pyarrow as pa

_INVENTORY = "manifest.json"
_UNKNOWN_SIZE = -1


@dataclass(frozen=True)
class ListedEntry(Entry):
    """An input with what its row of the file says beside key and size."""

    columns: Mapping[str, Any] = field(default_factory=dict)
    """Values of the other columns, without nulls."""


def read_user_list(location: str, source: Storage, options: StorageOptions) -> Iterator[Entry]:
    """Yield the inputs that a file lists, in its order, without holding them in memory.

    Args:
        location: path or s3:// URI of a .parquet or .csv file, or s3:// URI of the manifest.json of an S3 Inventory.
        source: location that keys are relative to. An inventory lists full keys; those outside the source are skipped.
        options: access to S3.

    Raises:
        UserError: the file cannot be read, has no column `key`, or has an unsupported format.
    """
    folder, _, name = location.rpartition("/")
    storage = open_storage(folder or ".", options)
    if name == _INVENTORY:
        yield from _read_inventory(location, storage, source, options)
        return
    if not name.endswith((".parquet", ".csv")):
        raise UserError(
            f"{location}: listing.manifest must be a .parquet or .csv file, or an S3 Inventory's {_INVENTORY}"
        )
    for batch in _batches(storage, name):
        if "key" not in batch.schema.names:
            raise UserError(f"{location}: the column key is missing (columns: {', '.join(batch.schema.names)})")
        keys = batch.column("key").cast("string").to_pylist()
        known = "size" in batch.schema.names
        sizes = batch.column("size").cast("int64").to_pylist() if known else [_UNKNOWN_SIZE] * len(keys)
        others = batch.select([name for name in batch.schema.names if name not in ("key", "size")]).to_pylist()
        for key, size, columns in zip(keys, sizes, others or [{}] * len(keys), strict=True):
            if key:
                given = {name: value for name, value in columns.items() if value is not None}
                yield ListedEntry(key, _UNKNOWN_SIZE if size is None else size, columns=given)


def _batches(storage: Storage, name: str, columns: list[str] | None = None) -> Iterator["pa.RecordBatch"]:
    """Yield the rows of a .parquet, .csv or .csv.gz file; `columns` are the names for a CSV file without a header."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    location = f"{storage.uri}/{name}"
    try:
        if name.endswith(".parquet"):
            with storage.filesystem.open_input_file(storage.path(name)) as file:
                yield from pq.ParquetFile(file).iter_batches()
            return
        as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(columns or ["key"], pa.string()))
        compression = "gzip" if name.endswith(".gz") else None
        with storage.filesystem.open_input_stream(storage.path(name), compression=compression) as stream:
            yield from pa.csv.open_csv(stream, pa.csv.ReadOptions(column_names=columns), convert_options=as_text)
    except pa.ArrowInvalid as error:
        raise UserError(f"{location}: not a readable table ({first_line(error)})") from error
    except OSError as error:
        raise UserError(f"{location}: cannot be read ({error.strerror or first_line(error)})") from error


def _read_inventory(location: str, storage: Storage, source: Storage, options: StorageOptions) -> Iterator[Entry]:
    """Yield the objects of an S3 Inventory below the source (Amazon S3 User Guide, "Locating your inventory list")."""
    try:
        inventory: dict[str, Any] = json.loads(storage.read(_INVENTORY))
        kind, files = inventory["fileFormat"].lower(), [file["key"] for file in inventory["files"]]
        destination = inventory["destinationBucket"].removeprefix("arn:aws:s3:::")
        columns = [name.strip() for name in inventory["fileSchema"].split(",")] if kind == "csv" else None
        bucket = inventory["sourceBucket"]
    except OSError as error:
        raise UserError(f"{location}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{location}: this is not the manifest of an S3 Inventory ({error})") from error
    if kind not in ("csv", "parquet"):
        raise UserError(
            f"{location}: inventories in {kind} are not supported; configure the inventory as CSV or Parquet"
        )
    if not isinstance(source, S3Storage) or source.bucket != bucket:
        raise UserError(f"{location}: this is an inventory of the bucket {bucket}, but the source is {source.uri}")
    prefix = f"{source.prefix}/" if source.prefix else ""
    files_storage = open_storage(f"s3://{destination}", options)
    for file in files:
        for batch in _batches(files_storage, file, columns):
            yield from _objects(batch, prefix, url_encoded=kind == "csv")


def _objects(batch: "pa.RecordBatch", prefix: str, url_encoded: bool) -> Iterator[Entry]:
    by_name = {name.lower().replace("_", ""): batch.column(name) for name in batch.schema.names}
    keys = by_name["key"].to_pylist()
    sizes = by_name["size"].to_pylist() if "size" in by_name else [None] * len(keys)
    for listed_key, size in zip(keys, sizes, strict=True):
        key = unquote_plus(listed_key) if url_encoded else listed_key
        if key.startswith(prefix) and not key.endswith("/"):
            yield Entry(key[len(prefix) :], _UNKNOWN_SIZE if size in (None, "") else int(size))
