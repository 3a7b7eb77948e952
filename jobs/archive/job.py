"""`colorize archive`: colorize an archive of gray photographs with Ray Data."""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from random import Random
from typing import TYPE_CHECKING, Any

from cluster.config.command_line import DONE, TOO_MANY_FAILED
from cluster.session import ray_session
from cluster.storage.stores import Entry, LocalStorage, Storage, open_storage, reach
from colorize_core.errors import UserError
from colorize_core.formatting import format_duration
from colorize_core.photo.formats import IMAGE_SUFFIXES
from colorize_core.runtime.stage_timer import STAGES
from colorize_core.status import FAILURES
from jobs.archive import rows
from jobs.archive.config import IMAGES, RESERVED_CPUS, ArchiveConfig
from jobs.archive.estimate import describe_estimate, earlier_throughput, measure_throughput
from jobs.archive.pipeline import ArchiveContext, colorize_inputs
from jobs.archive.report import write_archive_report
from jobs.command.console import summary
from jobs.doctor.preflight import check_start
from jobs.inputs.listing import FOLDER as MANIFEST
from jobs.inputs.listing import LISTING, Listing, read_part, require_photographs, sample_inputs, write_manifest
from jobs.run.checkpoints import check_checkpoint, checkpoint_keys, checkpoint_reads, describe_checkpoints
from jobs.run.lock import OutputLock
from jobs.run.record import RUN_FILE, begin_run, now, write_record
from jobs.run.report_files import report_at_end
from jobs.run.requirements import Requirements

if TYPE_CHECKING:
    import pyarrow as pa

CONFIG = ArchiveConfig
_ESTIMATE_MIN_INPUTS = 10_000
_ESTIMATE_SAMPLE = 8

_log = logging.getLogger(__name__)


def plan(config: ArchiveConfig) -> str:
    """Describe what would run and estimate time and storage: lists the source, and colorizes a few photographs."""
    source, output, _ = check_inputs(config)
    listing, sample = sample_inputs(source, IMAGE_SUFFIXES, config.listing, config.storage, _ESTIMATE_SAMPLE)
    count = _selected_count(config, listing)
    throughput = earlier_throughput(output, config) or measure_throughput(config, sample)
    return (
        f"archive would colorize {count} of the {listing.count} photographs in {source.uri} with "
        f"{describe_checkpoints(config.checkpoint)} and write to {output.uri}/{IMAGES}\n"
        f"{describe_estimate(throughput, count, config)}"
    )


def run(config: ArchiveConfig, verbose: bool = False) -> int:
    """Start or continue a run: list the inputs once, colorize those without a row, retry failures if configured.

    Args:
        config: configuration of the run.
        verbose: show Ray's log.

    Returns:
        DONE, or TOO_MANY_FAILED if more inputs failed than `max_failed_fraction`.

    Raises:
        UserError: the source, the output or the checkpoint cannot be used, or the output holds a different run.
        ClusterError: Ray or the storage failed, or there was no progress for `stall_seconds`.
    """
    source, output, checkpoints = check_inputs(config)
    with OutputLock(output) as lock:
        throughput = earlier_throughput(output, config)
        if config.new_run:
            _discard_run(output)
        record = begin_run(output, "archive", config, checkpoints, new_run=config.new_run)
        context = ArchiveContext(config, source, output, lock, _list_once(config, source, output), throughput)
        _announce(context)
        start = time.monotonic()
        with ray_session(config.ray, verbose=verbose):
            check_start(requirements(config))
            processed, counts = _process_parts(context)
        seconds = time.monotonic() - start
        facts: dict[str, Any] = {
            "counts": dict(counts),
            "excluded": context.listing.excluded,
            "seconds": round(seconds, 1),
            "worked": processed,
            "stages": {stage: round(context.stages[stage], 2) for stage in STAGES if stage in context.stages},
            "pace": asdict(context.throughput) if context.throughput else None,
        }
        write_record(output, record | {"status": "done", "finished": now(), **facts})
    page = report_at_end("archive", output, lambda: write_archive_report(output, source)) if config.report else None
    failed = sum(counts[status] for status in FAILURES)
    _summarize(context, counts, failed, processed, seconds, page)
    return TOO_MANY_FAILED if failed > config.max_failed_fraction * counts.total() else DONE


def check_inputs(config: ArchiveConfig) -> tuple[Storage, Storage, dict[str, str]]:
    """Validate everything that can be validated without Ray.

    Returns:
        Source, output, and the SHA-256 of the weights of each checkpoint by its key.
    """
    source, output = reach(config.storage, config.source, config.output)
    require_photographs(source, IMAGE_SUFFIXES, config.listing, config.storage)
    if _is_inside(source, output) or _is_inside(output, source):
        raise UserError(f"source {source.uri} and output {output.uri} overlap; use an output outside of the source")
    checkpoints = checkpoint_keys(config.checkpoint)
    return source, output, {key: check_checkpoint(each, config.storage) for key, each in checkpoints.items()}


def requirements(config: ArchiveConfig) -> Requirements:
    """Return the processes, locations and weights that a run requires."""
    source, output = (open_storage(location, config.storage) for location in (config.source, config.output))
    return Requirements(
        config.actors.processes(reserved=RESERVED_CPUS),
        reads={"source": (source, None), **checkpoint_reads(checkpoint_keys(config.checkpoint), config.storage)},
        writes={"output": output},
    )


def _is_inside(inner: Storage, outer: Storage) -> bool:
    first, second = (
        f"{os.path.realpath(each.root) if isinstance(each, LocalStorage) else each.uri}/" for each in (inner, outer)
    )
    return first.startswith(second)


def _discard_run(output: Storage) -> None:
    """Delete the rows and the state of an archive run in the output, if there is one."""
    if not output.exists(RUN_FILE) or json.loads(output.read(RUN_FILE)).get("verb") != "archive":
        return
    output.delete(LISTING)  # first: a listing whose manifest is gone could not be continued
    for name in (rows.METRICS, rows.FIRST, rows.RETRIED, MANIFEST):
        folder = output.child(name)
        for entry in list(folder.list()):
            folder.delete(entry.key)


def _list_once(config: ArchiveConfig, source: Storage, output: Storage) -> Listing:
    """Return the listing of this run; the first attempt makes it."""
    if output.exists(LISTING):
        return Listing(**json.loads(output.read(LISTING)))
    listing = write_manifest(source, output, IMAGE_SUFFIXES, config.listing, config.storage)
    output.write(LISTING, json.dumps(asdict(listing)).encode(), "application/json")
    return listing


def _announce(context: ArchiveContext) -> None:
    """Log the number of inputs, and an estimate if there are many."""
    count = _selected_count(context.config, context.listing)
    _log.info("%d of %d photographs in %s", count, context.listing.count, context.source.uri)
    if count < _ESTIMATE_MIN_INPUTS:
        return
    left = count - rows.count_rows(context.output)
    if left >= _ESTIMATE_MIN_INPUTS:
        first = read_part(context.output, 0).slice(0, _ESTIMATE_SAMPLE).to_pylist()
        throughput = context.throughput or measure_throughput(
            context.config, [Entry(row["key"], row["size"]) for row in first]
        )
        _log.info("%d remaining; %s", left, describe_estimate(throughput, left, context.config))


def _selected_count(config: ArchiveConfig, listing: Listing) -> int:
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


def _process_parts(context: ArchiveContext) -> tuple[int, Counter[str]]:
    """Colorize inputs without a row part by part, then retry failed inputs if configured.

    Returns:
        The number of inputs processed by this attempt, and the number of rows by status after it.
    """
    output, parts = context.output, range(context.listing.parts)
    select = input_filter(context.config, context.listing.count)
    counts: dict[int, Counter[str]] = {}
    processed = 0
    for part in parts:
        inputs = read_part(output, part)
        finished = rows.read_merged(output, part, ["key", "status"])
        counts[part] = rows.count_statuses(finished)
        processed += _process(context, counts, rows.FIRST, part, inputs, rows.without(select(inputs), finished))
    statuses = context.config.retried_statuses()
    # Rows of an interrupted retry are merged in any case: their color images are already written.
    if statuses or next(output.child(rows.RETRIED).list(), None) is not None:
        retried = 0
        for part in parts:
            if counts[part]:
                inputs, finished = read_part(output, part), rows.read_merged(output, part, ["key", "status"])
                failed = rows.with_status(inputs, finished, statuses)
                retried += _process(context, counts, rows.RETRIED, part, inputs, failed)
        processed += retried
        _log.info("%d failed photographs processed again", retried)
    return processed, sum(counts.values(), Counter())


def _process(
    context: ArchiveContext,
    counts: dict[int, Counter[str]],
    folder: str,
    part: int,
    inputs: "pa.Table",
    todo: "pa.Table",
) -> int:
    """Colorize those of `todo` that an earlier attempt has not staged, then merge the rows of the part.

    Returns:
        The number of inputs processed; `counts` of the part is updated.
    """
    todo = rows.without(todo, rows.read_staged(context.output, folder, part, ["key"]))
    if len(todo):
        colorize_inputs(context, folder, part, todo)
    if (merged := rows.merge(context.output, folder, part, inputs)) is not None:
        counts[part] = rows.count_statuses(merged)
    return len(todo)


def _summarize(
    context: ArchiveContext, counts: Counter[str], failed: int, processed: int, seconds: float, page: str | None
) -> None:
    total, output = counts.total(), context.output.uri
    facts: list[tuple[str, object]] = [(status, count) for status, count in counts.most_common()]
    facts.append(("failed", f"{failed} of {total} ({failed / max(total, 1):.1%})"))
    if excluded := context.listing.describe_excluded():
        facts.append(("excluded", excluded))
    if processed:
        facts.append(("time", f"{format_duration(seconds)}, {processed / seconds:.1f} images/s including start-up"))
    facts.append(("images", f"{output}/{IMAGES}"))
    facts.append(("metrics", f"{output}/{rows.METRICS} (one Parquet row per input)"))
    facts += [("report", page)] if page else []
    if (left := context.listing.count - total) > 0:
        estimate = describe_estimate(context.throughput, left, context.config)
        facts.append((f"{left} more", estimate.removeprefix("estimate: ")))
    summary("archive in color", facts)
