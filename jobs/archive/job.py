"""`colorize archive`: colorize an archive of gray photographs with Ray Data."""

import json
import logging
import os
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from cluster.config.command_line import DONE, TOO_MANY_FAILED
from cluster.session import ray_session
from cluster.storage.stores import Entry, LocalStorage, Storage, open_storage, reach
from colorize_core.errors import UserError
from colorize_core.inference.engines import require_engine
from colorize_core.photo.formats import IMAGE_SUFFIXES
from colorize_core.runtime.stage_timer import STAGES
from jobs.archive import rows
from jobs.archive.config import FETCH_CPUS, IMAGES, ArchiveConfig
from jobs.archive.estimate import describe_estimate, earlier_throughput, measure_throughput
from jobs.archive.pipeline import ArchiveContext
from jobs.archive.report import write_archive_report
from jobs.archive.settings import settings_of_columns
from jobs.archive.summary import exceeds_limit, say_nothing_to_do, summarize, write_failed
from jobs.archive.work import Survey, process_parts, selected_count, survey
from jobs.doctor.preflight import check_start
from jobs.inputs.corrections import Corrections, merge_settings, read_corrections
from jobs.inputs.listing import FOLDER as MANIFEST
from jobs.inputs.listing import LISTING, Listing, read_part, require_photographs, sample_inputs, write_manifest
from jobs.run.checkpoints import check_checkpoint, checkpoint_keys, checkpoint_reads, describe_checkpoints
from jobs.run.credentials import open_content_credentials
from jobs.run.lock import OutputLock
from jobs.run.prometheus import active
from jobs.run.record import RUN_FILE, check_run, now, write_record
from jobs.run.report_files import report_at_end
from jobs.run.requirements import Requirements

CONFIG = ArchiveConfig
_ESTIMATE_MIN_INPUTS = 10_000
_ESTIMATE_SAMPLE = 8

_log = logging.getLogger(__name__)


def plan(config: ArchiveConfig) -> str:
    """Describe what would run and estimate time and storage: lists the source, and colorizes a few photographs."""
    source, output, _ = check_inputs(config)
    _corrections(config)
    listing, sample = sample_inputs(source, IMAGE_SUFFIXES, config.listing, config.storage, _ESTIMATE_SAMPLE)
    count = selected_count(config, listing)
    throughput = earlier_throughput(output, config) or measure_throughput(config, sample)
    return (
        f"archive would colorize {count} of the {listing.count} photographs in {source.uri} with "
        f"{describe_checkpoints(config.checkpoint)} and write to {output.uri}/{IMAGES}\n"
        f"estimate: {describe_estimate(throughput, count, config)}"
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
    corrections = _corrections(config)
    with OutputLock(output) as lock:
        throughput = earlier_throughput(output, config)
        if config.new_run:
            _discard_run(output)
        record = check_run(output, "archive", config, checkpoints, new_run=config.new_run)
        listing = _list_once(config, source, output)
        context = ArchiveContext(config, source, output, lock, listing, throughput, corrections)
        found = survey(context)
        if _is_finished(output) and found.is_merged and not found.todo:
            say_nothing_to_do(found.counts, output)
            return TOO_MANY_FAILED if exceeds_limit(found.counts, config) else DONE
        is_continued = output.exists(RUN_FILE)
        write_record(output, record)
        _announce(context, found)
        start = time.monotonic()
        with ExitStack() as session:
            if found.todo:
                session.enter_context(ray_session(config.ray, verbose=verbose))
                session.enter_context(active(output.uri))
                check_start(requirements(config))
            counts = process_parts(context)
        if is_continued:
            output.delete_half_written()
        seconds = time.monotonic() - start
        if context.processed and context.throughput:
            context.throughput = replace(context.throughput, start_up=round(seconds - context.seconds, 1))
        facts: dict[str, Any] = {
            "counts": dict(counts),
            "excluded": context.listing.excluded,
            "seconds": round(seconds, 1),
            "worked": context.processed,
            "images_per_second": context.images_per_second,
            "stages": {stage: round(context.stages[stage], 2) for stage in STAGES if stage in context.stages},
            "pace": asdict(context.throughput) if context.throughput else None,
        }
        write_record(output, record | {"status": "done", "finished": now(), **facts})
    page = report_at_end("archive", output, lambda: write_archive_report(output, source)) if config.report else None
    summarize(context, counts, write_failed(output), seconds, page)
    return TOO_MANY_FAILED if exceeds_limit(counts, config) else DONE


def _corrections(config: ArchiveConfig) -> Corrections:
    """Read the corrections files of a run; raises UserError."""
    return merge_settings([read_corrections(each, config.storage) for each in config.corrections])


def check_inputs(config: ArchiveConfig) -> tuple[Storage, Storage, dict[str, str]]:
    """Validate everything that can be validated without Ray.

    Returns:
        Source, output, and the SHA-256 of the weights of each checkpoint by its key.
    """
    require_engine(config.engine, gpu=config.actors.gpus > 0)
    source, output = reach(config.storage, config.source, config.output)
    require_photographs(source, IMAGE_SUFFIXES, config.listing, config.storage)
    if _is_inside(source, output) or _is_inside(output, source):
        raise UserError(f"source {source.uri} and output {output.uri} overlap; use an output outside of the source")
    open_content_credentials(config.content_credentials, config.storage)
    checkpoints = checkpoint_keys(config.checkpoint)
    return source, output, {key: check_checkpoint(each, config.storage) for key, each in checkpoints.items()}


def requirements(config: ArchiveConfig) -> Requirements:
    """Return the processes, locations and weights that a run requires."""
    source, output = (open_storage(location, config.storage) for location in (config.source, config.output))
    return Requirements(
        config.actors.processes(reserved=FETCH_CPUS),
        reads={"source": (source, None), **checkpoint_reads(checkpoint_keys(config.checkpoint), config.storage)},
        writes={"output": output},
    )


def _is_inside(inner: Storage, outer: Storage) -> bool:
    first, second = (
        f"{os.path.realpath(each.root) if isinstance(each, LocalStorage) else each.uri}/" for each in (inner, outer)
    )
    return first.startswith(second)


def _is_finished(output: Storage) -> bool:
    """Return True if the record of the run in the output says that it ended."""
    return output.exists(RUN_FILE) and json.loads(output.read(RUN_FILE)).get("status") == "done"


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
    listing = write_manifest(source, output, IMAGE_SUFFIXES, config.listing, config.storage, settings_of_columns)
    output.write(LISTING, json.dumps(asdict(listing)).encode(), "application/json")
    return listing


def _announce(context: ArchiveContext, found: Survey) -> None:
    """Log what is done and what is left, and an estimate if that is much."""
    selected, listed = selected_count(context.config, context.listing), context.listing.count
    of = f"{selected} of {listed}" if selected < listed else f"{listed}"
    done = f"{found.done} done before, " if found.done else ""
    repeated = [f"{found.retried} of them failed before"] * bool(found.retried)
    repeated += [f"{found.corrected} of them corrected"] * bool(found.corrected)
    again = f" ({', '.join(repeated)})" if repeated else ""
    _log.info("%s photographs in %s: %s%d to do%s", of, context.source.uri, done, found.todo, again)
    if found.todo >= _ESTIMATE_MIN_INPUTS:
        first = read_part(context.output, 0).slice(0, _ESTIMATE_SAMPLE).to_pylist()
        throughput = context.throughput or measure_throughput(
            context.config, [Entry(row["key"], row["size"]) for row in first]
        )
        _log.info("estimate: %s", describe_estimate(throughput, found.todo, context.config))
