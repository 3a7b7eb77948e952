"""The manifest: all inputs of a job, listed once into Parquet files that the job then works from."""

import fnmatch
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cluster.config.loading import Section
from cluster.storage.stores import LINK, Entry, LocalStorage, Storage, StorageOptions
from colorize_core.errors import UserError
from jobs.inputs.user_list import ListedEntry, read_user_list
from jobs.run.parquet import parquet_bytes, read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "_state/manifest"
LISTING = "_state/listing.json"
"""File of an output with the `Listing` of its manifest, written when the manifest is complete."""
ROWS_PER_PART = 500_000
"""Inputs per file of the manifest, which is also the most that a driver holds in memory at once."""
_LISTING_THREADS = 32
# Files and folders that macOS, Windows, photograph viewers and network storage write beside photographs. AppleDouble
# files (._scan.jpg) have the endings of photographs and hold none.
_SYSTEM_FILES = re.compile(
    r"""(^|/)(
        \._[^/]* | \.DS_Store | Thumbs\.db | ehthumbs\.db | desktop\.ini
      | (@eaDir | \#recycle | @Recycle | \$RECYCLE\.BIN | System\ Volume\ Information
      | __MACOSX | \.AppleDouble | \.Spotlight-V100 | \.Trash[^/]* | \.thumbnails)/.*
    )$""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_MAX_ENDING = 10
"""Characters of a file name ending; what follows a dot in longer names is no ending."""
_MAX_REASONS = 1000
_SETTINGS = "settings"
_SHOWN_REASONS = 8


class ListingOptions(Section):
    """Selection of the inputs."""

    manifest: str | None = None
    """List of inputs to use instead of a listing of the source: a Parquet or CSV file with a column `key` (relative to
    the source), optionally `size`, and for `archive` the settings of each photograph, such as `strength`; or the
    manifest.json of an S3 Inventory."""
    include: list[str] = Field(default_factory=list)
    """Patterns (*, ?, [abc]) for keys, such as 1920s/*.tif. A key must match at least one; all keys when empty."""
    exclude: list[str] = Field(default_factory=list)
    """Patterns for keys. A key must not match any of them."""
    extensions: list[str] = Field(default_factory=list)
    """File name endings, such as .jpg; those of all readable formats when empty."""
    min_bytes: int = Field(0, ge=0)
    """Minimum file size in bytes."""
    max_bytes: int | None = Field(None, ge=1)
    """Maximum file size in bytes; no limit when empty."""
    system_files: bool = False
    """Do not exclude the files that operating systems and network storage write beside photographs, such as ._* of
    macOS, Thumbs.db, and folders named @eaDir."""
    follow_links: bool = False
    """List the folders that symbolic links in a local source name, too."""

    def exclusion(self, entry: Entry, known_endings: Sequence[str]) -> str:
        """Return why a file is not an input; empty if it is one.

        An unknown size (-1, in a given manifest) meets any size limit. A folder that cannot be read is an input that
        will fail: its photographs must not be missing unnoticed.
        """
        if entry.not_listed == LINK:
            return f"{LINK} (listing.follow_links)"
        if not self.system_files and _SYSTEM_FILES.search(entry.key):
            return "system files (listing.system_files)"
        endings = tuple(ending.lower() for ending in self.extensions) or tuple(known_endings)
        if not entry.not_listed and not entry.key.lower().endswith(endings):
            return _ending(entry.key)
        if entry.size >= 0 and not self.min_bytes <= entry.size <= (self.max_bytes or entry.size):
            return "size (listing.min_bytes, listing.max_bytes)"
        if self.include and not entry.not_listed and not _matches(entry.key, self.include):
            return "not in listing.include"
        return "in listing.exclude" if _matches(entry.key, self.exclude) else ""


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def _ending(key: str) -> str:
    name, dot, ending = key.rpartition("/")[2].rpartition(".")
    return f".{ending.lower()}" if name and dot and len(ending) <= _MAX_ENDING else "other file names"


@dataclass(frozen=True)
class Listing:
    """Result of a listing."""

    count: int
    """Number of inputs."""
    excluded: dict[str, int]
    """Number of files that are not inputs, by reason: the ending of the name, or a key of the configuration."""
    bytes: int
    """Total size of the inputs."""
    parts: int
    """Number of files of the manifest."""

    def describe_excluded(self) -> str:
        """Return the number of excluded files by reason, the most frequent first; empty if there are none."""
        return describe_excluded(self.excluded)


def describe_excluded(excluded: Mapping[str, int]) -> str:
    """Return the number of excluded files by reason, the most frequent first."""
    ordered = sorted(excluded.items(), key=lambda item: -item[1])
    shown = [f"{count:,} {reason}" for reason, count in ordered[:_SHOWN_REASONS]]
    rest = sum(count for _, count in ordered[_SHOWN_REASONS:])
    return ", ".join([*shown, f"{rest:,} others"] if rest else shown)


class InputSelection:
    """Iterable over the inputs of a source; counts what it yields and what it skips.

    A key that a given manifest repeats is an input once. To detect repetitions, all selected keys of a given manifest
    are kept in memory: about 150 bytes for a key of 50 characters, so 1.5 GB for ten million. A listing of the source
    has no repetitions and needs no such memory.
    """

    def __init__(
        self,
        source: Storage,
        known_endings: Sequence[str],
        options: ListingOptions,
        storage: StorageOptions,
        threads: int = _LISTING_THREADS,
    ) -> None:
        """Select from the files in `source`, or from those that `options.manifest` names; nothing is read yet.

        Args:
            source: location of the inputs.
            known_endings: file name endings to use where `options` has none.
            options: which files are inputs.
            storage: access to S3.
            threads: number of concurrent listing requests.
        """
        self._source, self._endings, self._options, self._storage = source, known_endings, options, storage
        self._threads = threads
        self.count = self.bytes = 0
        self.excluded: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Entry]:
        """Yield the inputs in the order of the listing or of the given manifest."""
        seen: set[str] = set()
        for entry in self._entries():
            reason = "repeated" if entry.key in seen else self._options.exclusion(entry, self._endings)
            if reason:
                self.excluded[reason if reason in self.excluded or len(self.excluded) < _MAX_REASONS else "others"] += 1
                continue
            if self._options.manifest:
                seen.add(entry.key)
            self.count += 1
            self.bytes += max(entry.size, 0)
            yield entry

    def _entries(self) -> Iterable[Entry]:
        if self._options.manifest:
            return read_user_list(self._options.manifest, self._source, self._storage)
        if isinstance(self._source, LocalStorage):
            return self._source.walk(follow_links=self._options.follow_links)
        return self._source.list_parallel(self._threads) if self._threads > 1 else self._source.list()

    def listing(self) -> Listing:
        """Return the totals of what was yielded and skipped so far."""
        return Listing(self.count, dict(self.excluded), self.bytes, -(-self.count // ROWS_PER_PART))


def write_manifest(
    source: Storage,
    output: Storage,
    known_endings: Sequence[str],
    options: ListingOptions,
    storage: StorageOptions,
    settings: Callable[[str, Mapping[str, Any]], str | None] | None = None,
) -> Listing:
    """List the inputs of a source into OUTPUT/_state/manifest/part-*.parquet.

    Columns are `index` (int64, consecutive), `key`, `size` (-1 if unknown) and `settings`. One part is held in memory,
    and in addition the keys of a given manifest (`InputSelection`).

    Args:
        source: location of the inputs.
        output: location of the manifest.
        known_endings: as of `InputSelection`.
        options: as of `InputSelection`.
        storage: as of `InputSelection`.
        settings: function of the key and the other columns of a given manifest, whose result is the column `settings`.
    """
    selection = InputSelection(source, known_endings, options, storage)
    parts = 0
    rows: list[dict[str, Any]] = []
    for index, entry in enumerate(selection):
        columns = entry.columns if isinstance(entry, ListedEntry) else {}
        own = settings(entry.key, columns) if settings and columns else None
        rows.append({"index": index, "key": entry.key, "size": entry.size, "settings": own})
        if len(rows) == ROWS_PER_PART:
            _write_part(output, parts, rows)
            parts, rows = parts + 1, []
    if rows:
        _write_part(output, parts, rows)
    return selection.listing()


def sample_inputs(
    source: Storage, known_endings: Sequence[str], options: ListingOptions, storage: StorageOptions, size: int = 8
) -> tuple[Listing, list[Entry]]:
    """List the inputs of a source without writing; return the totals and a uniform sample (reservoir sampling)."""
    random = Random(0)
    selection = InputSelection(source, known_endings, options, storage)
    sample: list[Entry] = []
    for entry in selection:
        position = random.randrange(selection.count)
        if len(sample) < size:
            sample.append(entry)
        elif position < size:
            sample[position] = entry
    return selection.listing(), sample


def part_key(part: int) -> str:
    """Return the key of a file of the manifest, relative to the output."""
    return f"{FOLDER}/part-{part:05d}.parquet"


def read_part(output: Storage, part: int) -> "pa.Table":
    """Read one file of the manifest: index, key, size, settings (null in manifests of earlier versions)."""
    import pyarrow as pa

    inputs = read_parquet(output, part_key(part))
    return (
        inputs
        if _SETTINGS in inputs.column_names
        else inputs.append_column(_SETTINGS, pa.nulls(len(inputs), pa.string()))
    )


def _write_part(output: Storage, part: int, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    schema = pa.schema([("index", pa.int64()), ("key", pa.string()), ("size", pa.int64()), ("settings", pa.string())])
    output.write(part_key(part), parquet_bytes(pa.Table.from_pylist(rows, schema)))


def require_photographs(
    source: Storage, known_endings: Sequence[str], options: ListingOptions, storage: StorageOptions
) -> None:
    """Raise UserError unless the source exists and contains an input; the listing stops at the first one."""
    if isinstance(source, LocalStorage) and not os.path.isdir(source.root):
        what = "not a directory" if os.path.exists(source.root) else "no such directory"
        raise UserError(f"{source.root}: {what}; source must be a folder or a URI (s3://, gs://, az://)")
    selection = InputSelection(source, known_endings, options, storage, threads=1)
    if next(iter(selection), None) is not None:
        return
    excluded = f" (excluded: {describe_excluded(selection.excluded)})" if selection.excluded else ""
    endings = "" if options.extensions else f"; accepted file name endings: {', '.join(known_endings)}"
    raise UserError(f"{options.manifest or source.uri}: no photographs found{excluded}{endings}")
