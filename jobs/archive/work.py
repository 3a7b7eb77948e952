"""What an archive run has to do, and doing it: one part of the manifest after the other."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from jobs.archive import rows
from jobs.archive.config import ArchiveConfig
from jobs.archive.pipeline import ArchiveContext, colorize_inputs
from jobs.archive.settings import SettingsResolver, changed_inputs, with_settings
from jobs.inputs.corrections import Corrections
from jobs.inputs.listing import Listing, read_part

if TYPE_CHECKING:
    import pyarrow as pa

_SURVEYED = ("key", "status", "settings")


@dataclass
class Survey:
    """What earlier attempts of a run have done, and what is left."""

    counts: Counter[str]
    """Number of rows by status, including those that are staged."""
    first: int = 0
    """Selected inputs without a row."""
    retried: int = 0
    """Failed inputs to process again."""
    corrected: int = 0
    """Inputs to process again with other settings."""
    is_merged: bool = True
    """False if rows are staged, which the next attempt merges."""

    @property
    def done(self) -> int:
        """Number of rows that stay as they are."""
        return self.counts.total() - self.retried - self.corrected

    @property
    def todo(self) -> int:
        """Number of inputs to process."""
        return self.first + self.retried + self.corrected


def selected_count(config: ArchiveConfig, listing: Listing) -> int:
    """Return the number of inputs that `limit` or `sample` select."""
    return min(listing.count, config.limit or config.sample or listing.count)


def input_filter(config: ArchiveConfig, count: int) -> "Callable[[pa.Table], pa.Table]":
    """Return a function that keeps those rows of the manifest that `limit` or `sample` select from `count` inputs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if config.limit:
        return lambda inputs: inputs.filter(pc.less(inputs.column("index"), config.limit))
    if config.sample and config.sample < count:
        drawn = pa.array(sorted(draw(count, config.sample)), pa.int64())
        return lambda inputs: inputs.filter(pc.is_in(inputs.column("index"), value_set=drawn))
    return lambda inputs: inputs


def draw(count: int, size: int) -> set[int]:
    """Draw distinct numbers below `count`; a smaller sample is a subset of every larger one."""
    random = Random(0)
    drawn: set[int] = set()
    while len(drawn) < min(size, count):
        drawn.add(random.randrange(count))
    return drawn


def survey(context: ArchiveContext) -> Survey:
    """Read which inputs have rows, without Ray; one part of the manifest is in memory at a time."""
    output = context.output
    select = input_filter(context.config, context.listing.count)
    found = Survey(Counter())
    for part in range(context.listing.parts):
        inputs = read_part(output, part)
        merged = rows.read_merged(output, part, _SURVEYED)
        staged = rows.read_staged(output, rows.FIRST, part, ["key", "status"])
        retried = rows.read_staged(output, rows.RETRIED, part, ["key"])
        found.is_merged &= staged is None and retried is None
        found.counts += rows.count_statuses(merged)
        if staged is not None:
            found.counts += rows.count_statuses(rows.without(rows.one_per_key(staged), merged))
        found.first += len(rows.without(select(inputs), merged, staged))
        if merged is not None:
            failed, corrected = _repeated(context, inputs, merged)
            found.retried += len(rows.without(failed, retried))
            found.corrected += len(rows.without(corrected, failed, retried))
    return found


def process_parts(context: ArchiveContext) -> Counter[str]:
    """Colorize inputs without a row part by part, then again those that failed or that have other settings now.

    Returns:
        Number of rows by status.
    """
    import pyarrow as pa

    output, parts = context.output, range(context.listing.parts)
    select = input_filter(context.config, context.listing.count)
    counts: dict[int, Counter[str]] = {}
    for part in parts:
        inputs = read_part(output, part)
        finished = rows.read_merged(output, part, ["key", "status"])
        counts[part] = rows.count_statuses(finished)
        _process(context, counts, rows.FIRST, part, inputs, rows.without(select(inputs), finished))
    # Rows of an interrupted retry are merged in any case: their color images are already written.
    repeats = context.config.retried_statuses() or context.corrections != Corrections()
    if repeats or next(output.child(rows.RETRIED).list(), None) is not None:
        for part in parts:
            if counts[part]:
                inputs, finished = read_part(output, part), rows.read_merged(output, part, _SURVEYED)
                failed, corrected = _repeated(context, inputs, finished)
                todo = pa.concat_tables([failed, rows.without(corrected, failed)])
                _process(context, counts, rows.RETRIED, part, inputs, todo)
    return sum(counts.values(), Counter())


def _repeated(context: ArchiveContext, inputs: "pa.Table", finished: "pa.Table") -> "tuple[pa.Table, pa.Table]":
    """Return the inputs of a part to process again: those that failed, and those whose settings were corrected."""
    failed = rows.with_status(inputs, finished, context.config.retried_statuses())
    resolver = SettingsResolver.of(context.config)
    return failed, changed_inputs(inputs, finished, resolver, context.corrections)


def _process(
    context: ArchiveContext,
    counts: dict[int, Counter[str]],
    folder: str,
    part: int,
    inputs: "pa.Table",
    todo: "pa.Table",
) -> None:
    """Colorize those of `todo` that an earlier attempt has not staged, then merge and count the rows of the part."""
    todo = rows.without(todo, rows.read_staged(context.output, folder, part, ["key"]))
    if len(todo):
        colorize_inputs(context, folder, part, with_settings(todo, context.corrections))
    if (merged := rows.merge(context.output, folder, part, inputs)) is not None:
        counts[part] = rows.count_statuses(merged)
