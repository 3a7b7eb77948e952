"""The manifest: every input of a job, listed once into Parquet and then worked from."""

import fnmatch
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cluster.config.loading import Section
from cluster.storage.stores import Entry, LocalStorage, Storage, StorageOptions
from colorize_core.errors import UserError
from jobs.run.parquet import parquet_bytes

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "_state/manifest"
ROWS_PER_PART = 500_000
"""Inputs per file of the manifest: the most that a driver holds at once."""
_LISTING_THREADS = 32


class ListingOptions(Section):
    """Which files are inputs."""

    manifest: str | None = None
    """List of inputs instead of a listing of the source: a Parquet or CSV file with a column key (relative to the
    source; a column size is used where there is one), or the manifest.json of an S3 Inventory."""
    include: list[str] = Field(default_factory=list)
    """Patterns (*, ?, [abc]) of which a key must match one, such as 1920s/*.tif; all keys when empty."""
    exclude: list[str] = Field(default_factory=list)
    """Patterns of which a key must match none."""
    extensions: list[str] = Field(default_factory=list)
    """Endings of names, such as .jpg; those of all formats that can be read when empty."""
    min_bytes: int = Field(0, ge=0)
    """Smaller files are left out."""
    max_bytes: int | None = Field(None, ge=1)
    """Larger files are left out."""

    def selects(self, entry: Entry, known_endings: Sequence[str]) -> bool:
        """Whether a file is an input. Sizes that a manifest does not tell (-1) pass."""
        endings = tuple(ending.lower() for ending in self.extensions) or tuple(known_endings)
        if not entry.key.lower().endswith(endings):
            return False
        if entry.size >= 0 and not self.min_bytes <= entry.size <= (self.max_bytes or entry.size):
            return False
        if self.include and not any(fnmatch.fnmatchcase(entry.key, pattern) for pattern in self.include):
            return False
        return not any(fnmatch.fnmatchcase(entry.key, pattern) for pattern in self.exclude)


@dataclass(frozen=True)
class Listing:
    """What a listing found."""

    count: int
    """Files that are inputs."""
    ignored: int
    """Files that were left out."""
    bytes: int
    """Size of the inputs together."""
    parts: int
    """Files of the manifest."""


def write_manifest(
    source: Storage, output: Storage, known_endings: Sequence[str], rule: ListingOptions, options: StorageOptions
) -> Listing:
    """List the inputs of a source into OUTPUT/_state/manifest/part-*.parquet.

    Columns are `index` (int64, consecutive), `key` and `size` (-1 where a given manifest does not tell). Memory does
    not grow with the listing beyond one part.
    """
    target = output.child(FOLDER)
    count = ignored = size = parts = 0
    rows: list[dict[str, Any]] = []
    seen: set[int] | None = set() if rule.manifest else None  # a listing names nothing twice
    for entry in find_inputs(source, rule, options):
        if not rule.selects(entry, known_endings) or (seen is not None and hash(entry.key) in seen):
            ignored += 1
            continue
        if seen is not None:
            seen.add(hash(entry.key))
        rows.append({"index": count, "key": entry.key, "size": entry.size})
        count += 1
        size += max(entry.size, 0)
        if len(rows) == ROWS_PER_PART:
            _write_part(target, parts, rows)
            parts, rows = parts + 1, []
    if rows:
        _write_part(target, parts, rows)
        parts += 1
    return Listing(count, ignored, size, parts)


def survey(
    source: Storage, known_endings: Sequence[str], rule: ListingOptions, options: StorageOptions, some: int = 8
) -> tuple[Listing, list[Entry]]:
    """List the inputs of a source without writing; also a few of them, drawn evenly (reservoir sampling)."""
    random = Random(0)
    count = ignored = size = 0
    drawn: list[Entry] = []
    for entry in find_inputs(source, rule, options):
        if not rule.selects(entry, known_endings):
            ignored += 1
            continue
        count += 1
        size += max(entry.size, 0)
        place = random.randrange(count)
        if len(drawn) < some:
            drawn.append(entry)
        elif place < some:
            drawn[place] = entry
    return Listing(count, ignored, size, -(-count // ROWS_PER_PART)), drawn


def read_part(output: Storage, part: int) -> "pa.Table":
    """One file of the manifest: index, key, size."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(output.read(f"{FOLDER}/{_part_name(part)}")))


def _write_part(target: Storage, part: int, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    schema = pa.schema([("index", pa.int64()), ("key", pa.string()), ("size", pa.int64())])
    target.write(_part_name(part), parquet_bytes(pa.Table.from_pylist(rows, schema)))


def _part_name(part: int) -> str:
    return f"part-{part:05d}.parquet"


def require_photographs(
    source: Storage, known_endings: Sequence[str], rule: ListingOptions, options: StorageOptions
) -> None:
    """Raise UserError unless the source exists and holds an input; lists up to the first."""
    if isinstance(source, LocalStorage) and not os.path.isdir(source.root):
        what = "not a directory" if os.path.exists(source.root) else "no such directory"
        raise UserError(f"{source.root}: {what}; source must be a folder or an s3:// prefix")
    ignored = 0
    for entry in find_inputs(source, rule, options, threads=1):
        if rule.selects(entry, known_endings):
            return
        ignored += 1
    narrowed = rule != ListingOptions(manifest=rule.manifest)
    endings = "" if rule.extensions else f"; endings looked for: {', '.join(known_endings)}"
    why = f" ({ignored} files are left out by {'listing.*' if narrowed else 'their endings'})" if ignored else ""
    raise UserError(f"{rule.manifest or source.uri}: no photographs found{why}{endings}")


def find_inputs(
    source: Storage, rule: ListingOptions, options: StorageOptions, threads: int = _LISTING_THREADS
) -> Iterable[Entry]:
    """What the source holds, or what the given manifest says it holds."""
    if rule.manifest:
        from jobs.inputs.user_list import read_user_list

        return read_user_list(rule.manifest, source, options)
    return source.list_parallel(threads) if threads > 1 else source.list()
