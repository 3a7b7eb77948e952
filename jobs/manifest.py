"""The manifest: every input of a job, listed once into Parquet and then worked from."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.storage import Entry, LocalStorage, Storage
from colorize_core.errors import UserError
from jobs.tables import parquet_bytes

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
    """
    return _write_parts(source.list(), output.child(FOLDER), suffixes)


def require_photographs(source: Storage, suffixes: Sequence[str]) -> None:
    """Raise UserError unless the source exists and holds a file with one of the endings; lists up to the first."""
    if isinstance(source, LocalStorage) and not os.path.isdir(source.root):
        what = "not a directory" if os.path.exists(source.root) else "no such directory"
        raise UserError(f"{source.root}: {what}; source must be a folder or an s3:// prefix")
    ignored = 0
    for entry in source.list():
        if _is_input(entry, suffixes):
            return
        ignored += 1
    other = f" ({ignored} files have other endings)" if ignored else ""
    raise UserError(f"{source.uri}: no photographs found{other}; endings looked for: {', '.join(suffixes)}")


def _is_input(entry: Entry, suffixes: Sequence[str]) -> bool:
    return entry.key.lower().endswith(tuple(suffixes))


def _write_parts(entries: Iterator[Entry], target: Storage, suffixes: Sequence[str]) -> Listing:
    import pyarrow as pa

    schema = pa.schema([("index", pa.int64()), ("key", pa.string()), ("size", pa.int64())])
    rows: list[dict[str, Any]] = []
    count = ignored = part = 0

    def flush() -> None:
        nonlocal part
        target.write(f"part-{part:05d}.parquet", parquet_bytes(pa.Table.from_pylist(rows, schema)))
        rows.clear()
        part += 1

    for entry in entries:
        if not _is_input(entry, suffixes):
            ignored += 1
            continue
        rows.append({"index": count, "key": entry.key, "size": entry.size})
        count += 1
        if len(rows) == _ROWS_PER_FILE:
            flush()
    if rows:
        flush()
    return Listing(count, ignored)
