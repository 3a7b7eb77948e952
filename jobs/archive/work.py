"""What an archive run has to do, and doing it: one part of the manifest after the other."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from jobs.archive import rows
from jobs.archive.config import ArchiveConfig
from jobs.archive.pipeline import ArchiveContext, colorize_inputs
from jobs.inputs.listing import Listing, read_part

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class Survey:
    """What earlier attempts of a run have done, and what is left."""

    counts: Counter[str]
    """Number of rows by status, including those that are staged."""
    first: int = 0
    """Selected inputs without a row."""
    retried: int = 0
    """Failed inputs to process again."""
    is_merged: bool = True
    """False if rows are staged, which the next attempt merges."""

    @property
    def done(self) -> int:
        """Number of rows that stay as they are."""
        return self.counts.total() - self.retried

    @property
    def todo(self) -> int:
        """Number of inputs to process."""
        return self.first + self.retried


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
    output, statuses = context.output, context.config.retried_statuses()
    select = input_filter(context.config, context.listing.count)
    found = Survey(Counter())
    for part in range(context.listing.parts):
        inputs = read_part(output, part)
        merged = rows.read_merged(output, part, ["key", "status"])
        staged = rows.read_staged(output, rows.FIRST, part, ["key", "status"])
        retried = rows.read_staged(output, rows.RETRIED, part, ["key"])
        found.is_merged &= staged is None and retried is None
        found.counts += rows.count_statuses(merged)
        if staged is not None:
            found.counts += rows.count_statuses(rows.without(rows.one_per_key(staged), merged))
        found.first += len(rows.without(select(inputs), merged, staged))
        if merged is not None and statuses:
            found.retried += len(rows.without(rows.with_status(inputs, merged, statuses), retried))
    return found


def process_parts(context: ArchiveContext) -> Counter[str]:
    """Colorize inputs without a row part by part, then retry failed inputs if configured; return rows by status."""
    output, parts = context.output, range(context.listing.parts)
    select = input_filter(context.config, context.listing.count)
    counts: dict[int, Counter[str]] = {}
    for part in parts:
        inputs = read_part(output, part)
        finished = rows.read_merged(output, part, ["key", "status"])
        counts[part] = rows.count_statuses(finished)
        _process(context, counts, rows.FIRST, part, inputs, rows.without(select(inputs), finished))
    statuses = context.config.retried_statuses()
    # Rows of an interrupted retry are merged in any case: their color images are already written.
    if statuses or next(output.child(rows.RETRIED).list(), None) is not None:
        for part in parts:
            if counts[part]:
                inputs, finished = read_part(output, part), rows.read_merged(output, part, ["key", "status"])
                failed = rows.with_status(inputs, finished, statuses)
                _process(context, counts, rows.RETRIED, part, inputs, failed)
    return sum(counts.values(), Counter())


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
        colorize_inputs(context, folder, part, todo)
    if (merged := rows.merge(context.output, folder, part, inputs)) is not None:
        counts[part] = rows.count_statuses(merged)
