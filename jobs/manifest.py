"""The manifest: every input of a job, listed once into Parquet and then worked from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.storage import Entry, LocalStorage, Storage
from colorize_core.errors import UserError

_ROWS_PER_FILE = 100_000
FOLDER = "_state/manifest"


@dataclass(frozen=True)
class Listing:
    """What a listing found."""

    count: int
    """Files that are inputs."""
    ignored: int
    """Files with other endings."""


def write_manifest(source: Storage, output: Storage, suffixes: Sequence[str]) -> Listing:
    """List the files of a source whose names end in one of `suffixes` into OUTPUT/_state/manifest/*.parquet.

    Columns are `index` (int64, in the order of the listing), `key` and `size`. Memory does not grow with the listing.

    Raises:
        UserError: the source does not exist, or holds no such file.
    """
    require_source(source)
    listing = _write_parts(source.list(), output.child(FOLDER), tuple(suffix.lower() for suffix in suffixes))
    if not listing.count:
        other = f" ({listing.ignored} files have other endings)" if listing.ignored else ""
        raise UserError(f"{source.uri}: no photographs found{other}; endings looked for: {', '.join(suffixes)}")
    return listing


def require_source(source: Storage) -> None:
    """Raise UserError when a local source is not a directory; S3 prefixes show when they are listed."""
    import os

    if isinstance(source, LocalStorage) and not os.path.isdir(source.root):
        what = "not a directory" if os.path.exists(source.root) else "no such directory"
        raise UserError(f"{source.root}: {what}; source must be a folder or an s3:// prefix")


def _write_parts(entries: Iterator[Entry], target: Storage, suffixes: tuple[str, ...]) -> Listing:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    count = ignored = part = 0

    def flush() -> None:
        nonlocal part
        sink = pa.BufferOutputStream()
        schema = pa.schema([("index", pa.int64()), ("key", pa.string()), ("size", pa.int64())])
        pq.write_table(pa.Table.from_pylist(rows, schema), sink)
        target.write(f"part-{part:05d}.parquet", sink.getvalue().to_pybytes())
        rows.clear()
        part += 1

    for entry in entries:
        if not entry.key.lower().endswith(suffixes):
            ignored += 1
            continue
        rows.append({"index": count, "key": entry.key, "size": entry.size})
        count += 1
        if len(rows) == _ROWS_PER_FILE:
            flush()
    if rows:
        flush()
    return Listing(count, ignored)
