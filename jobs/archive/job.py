"""`colorize archive`: an archive of gray photographs to color, with Ray Data."""

import json
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from cluster.config.command_line import DONE, TOO_MANY_FAILED
from cluster.session import ray_session
from cluster.storage.stores import Entry, LocalStorage, Storage, open_storage, reach
from colorize_core.errors import UserError
from colorize_core.photo.formats import IMAGE_SUFFIXES
from colorize_core.runtime.stage_timer import STAGES, add_stages
from jobs.archive import rows
from jobs.archive.config import IMAGES, RESERVED_CPUS, ArchiveConfig
from jobs.archive.estimate import Pace, describe_estimate, earlier_pace, probe
from jobs.archive.report import write_archive_report
from jobs.command.console import duration, say, summary
from jobs.doctor.preflight import check_start
from jobs.inputs.listing import FOLDER as MANIFEST
from jobs.inputs.listing import Listing, read_part, require_photographs, survey, write_manifest
from jobs.run.checkpoints import check_checkpoint, checkpoint_reads
from jobs.run.lock import OutputLock
from jobs.run.record import RUN_FILE, begin_run, now, write_record
from jobs.run.report_files import report_at_end
from jobs.run.requirements import Requirements

if TYPE_CHECKING:
    import pyarrow as pa

CONFIG = ArchiveConfig
_LISTING = "_state/listing.json"
_WORTH_AN_ESTIMATE = 10_000
_CHANGEABLE = (
    "storage.",
    "ray.",
    "actors.",
    "limit",
    "sample",
    "retry_failed",
    "new_run",
    "batch_size",
    "block_size",
    "max_failed_fraction",
    "stall_seconds",
    "report",
)


@dataclass(frozen=True)
class _Run:
    """What the steps of a run share."""

    config: ArchiveConfig
    source: Storage
    output: Storage
    lock: OutputLock
    listing: Listing
    paces: list[Pace]
    """Measured on the way, the newest last."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of cores by stage of this attempt, of all workers together."""


def plan(config: ArchiveConfig) -> str:
    """What would run, and what it would take: lists the source and colors a few photographs without keeping them."""
    source, output, _ = check_inputs(config)
    listing, some = survey(source, IMAGE_SUFFIXES, config.listing, config.storage)
    count = _chosen_count(config, listing)
    pace = earlier_pace(output, config) or probe(config, some)
    return (
        f"archive would color {count} of the {listing.count} photographs in {source.uri} with {config.checkpoint} and "
        f"write to {output.uri}/{IMAGES}\n{describe_estimate(pace, count, config)}"
    )


def run(config: ArchiveConfig, verbose: bool = False) -> int:
    """Begin or continue the run, list once, color what is not done, try failures again if asked, summarize."""
    source, output, weights = check_inputs(config)
    with OutputLock(output) as lock:
        pace = earlier_pace(output, config)
        if config.new_run:
            _forget(output)
        values = config.model_dump(mode="json")
        record = begin_run(output, "archive", values, {"checkpoint": weights}, _CHANGEABLE, anew=config.new_run)
        job = _Run(config, source, output, lock, _list_once(config, source, output), [pace] if pace else [])
        _announce(job)
        start = time.monotonic()
        with ray_session(config.ray, verbose=verbose):
            check_start(requirements(config))
            done = _colorize(job) + _retry(job)
        seconds = time.monotonic() - start
        counts = rows.count_statuses(rows.read_rows(output))
        failed = sum(count for status, count in counts.items() if status not in rows.SUCCEEDED)
        facts: dict[str, Any] = {
            "counts": dict(counts),
            "ignored": job.listing.ignored,
            "seconds": round(seconds, 1),
            "worked": done,
        }
        facts["stages"] = {stage: round(job.stages[stage], 2) for stage in STAGES if stage in job.stages}
        facts["pace"] = asdict(job.paces[-1]) if job.paces else None
        write_record(output, record | {"status": "done", "finished": now(), **facts})
    page = report_at_end("archive", output, lambda: write_archive_report(output, source)) if config.report else None
    _summarize(job, counts, failed, done, seconds, page)
    return TOO_MANY_FAILED if failed > config.max_failed_fraction * sum(counts.values()) else DONE


def check_inputs(config: ArchiveConfig) -> tuple[Storage, Storage, str]:
    """Source, output and the SHA-256 of the weights; every mistake that can be found before Ray is started."""
    source, output = reach(config.storage, config.source, config.output)
    require_photographs(source, IMAGE_SUFFIXES, config.listing, config.storage)
    if _inside(source, output) or _inside(output, source):
        raise UserError(f"source {source.uri} and output {output.uri} overlap; the output must lie elsewhere")
    return source, output, check_checkpoint(config.checkpoint, config.storage)


def requirements(config: ArchiveConfig) -> Requirements:
    """What a run needs of the machines it runs on."""
    source, output = (open_storage(location, config.storage) for location in (config.source, config.output))
    return Requirements(
        config.actors.processes(reserved=RESERVED_CPUS),
        reads={"source": (source, None), **checkpoint_reads({"checkpoint": config.checkpoint}, config.storage)},
        writes={"output": output},
    )


def _inside(inner: Storage, outer: Storage) -> bool:
    first, second = (
        f"{os.path.realpath(store.root) if isinstance(store, LocalStorage) else store.uri}/" for store in (inner, outer)
    )
    return first.startswith(second)


def _forget(output: Storage) -> None:
    """Remove the rows and the state of the archive run that the output holds, if it holds one."""
    if not output.exists(RUN_FILE) or json.loads(output.read(RUN_FILE)).get("verb") != "archive":
        return
    output.delete(_LISTING)  # first: a listing without its manifest could not be worked from
    for folder in (rows.METRICS, rows.FIRST, rows.RETRIED, MANIFEST):
        store = output.child(folder)
        for entry in list(store.list()):
            store.delete(entry.key)


def _list_once(config: ArchiveConfig, source: Storage, output: Storage) -> Listing:
    """The listing of this run: made at its beginning, read ever after."""
    if output.exists(_LISTING):
        return Listing(**json.loads(output.read(_LISTING)))
    listing = write_manifest(source, output, IMAGE_SUFFIXES, config.listing, config.storage)
    output.write(_LISTING, json.dumps(asdict(listing)).encode(), "application/json")
    return listing


def _announce(job: _Run) -> None:
    """Say what is about to happen, and of long runs what it will take."""
    count = _chosen_count(job.config, job.listing)
    say(f"archive: {count} of {job.listing.count} photographs in {job.source.uri}")
    left = count - sum(map(len, rows.read_rows(job.output)))
    if left >= _WORTH_AN_ESTIMATE:
        few = read_part(job.output, 0).slice(0, 8).to_pylist()
        pace = job.paces[-1] if job.paces else probe(job.config, [Entry(e["key"], e["size"]) for e in few])
        say(f"archive: {left} to do; {describe_estimate(pace, left, job.config)}")


def _chosen_count(config: ArchiveConfig, listing: Listing) -> int:
    return min(listing.count, config.limit or config.sample or listing.count)


def _choose(config: ArchiveConfig, listing: Listing, inputs: "pa.Table") -> "pa.Table":
    """The inputs of a part that `limit` or `sample` leave in."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if config.limit:
        return inputs.filter(pc.less(inputs.column("index"), config.limit))
    if config.sample and config.sample < listing.count:
        drawn = draw(listing.count, config.sample)
        return inputs.filter(pc.is_in(inputs.column("index"), value_set=pa.array(sorted(drawn), pa.int64())))
    return inputs


def draw(count: int, wanted: int) -> set[int]:
    """Distinct numbers below `count`; those drawn for a smaller `wanted` are among those for a larger one."""
    random = Random(0)
    drawn: set[int] = set()
    while len(drawn) < min(wanted, count):
        drawn.add(random.randrange(count))
    return drawn


def _colorize(job: _Run) -> int:
    """Do what is not done, part by part; returns the number of inputs worked on."""
    worked = 0
    for part in range(job.listing.parts):
        inputs = read_part(job.output, part)
        todo = rows.without(_choose(job.config, job.listing, inputs), rows.merged(job.output, part))
        worked += _work(job, rows.FIRST, part, inputs, todo)
    return worked


def _retry(job: _Run) -> int:
    """Try failed inputs again where that is asked for; returns their number.

    Rows of an earlier retry that was cut off are taken over in any case: their pictures are there already.
    """
    statuses = job.config.retried_statuses()
    if not statuses and next(iter(job.output.child(rows.RETRIED).list()), None) is None:
        return 0
    worked = 0
    for part in range(job.listing.parts):
        if (done := rows.merged(job.output, part)) is not None:
            inputs = read_part(job.output, part)
            worked += _work(job, rows.RETRIED, part, inputs, rows.failed(inputs, done, statuses))
    if statuses:
        say(f"archive: {worked} failed photographs tried again")
    return worked


def _work(job: _Run, folder: str, part: int, inputs: "pa.Table", todo: "pa.Table") -> int:
    """Color what an earlier attempt has not staged, then merge the rows of the part."""
    from jobs.archive.pipeline import colorize_inputs

    todo = rows.without(todo, rows.staged(job.output, folder, part))
    if len(todo):
        work = colorize_inputs(job.config, job.source, job.output, job.lock, folder=folder, part=part, inputs=todo)
        job.paces.extend([work.pace] if work.pace else [])
        job.stages.update(add_stages([job.stages, work.stages]))
    rows.merge(job.output, folder, part, inputs)
    return len(todo)


def _summarize(job: _Run, counts: Counter[str], failed: int, done_now: int, seconds: float, page: str | None) -> None:
    total = sum(counts.values())
    facts: list[tuple[str, object]] = [(status, count) for status, count in counts.most_common()]
    facts.append(("failed", f"{failed} of {total} ({failed / max(total, 1):.1%})"))
    if done_now > 0:
        facts.append(("time", f"{duration(seconds)}, {done_now / seconds:.1f} images/s with start-up"))
    facts.append(("images", f"{job.output.uri}/{IMAGES}"))
    facts.append(("metrics", f"{job.output.uri}/{rows.METRICS} (one Parquet row per input)"))
    facts += [("report", page)] if page else []
    if (left := job.listing.count - total) > 0:
        pace = job.paces[-1] if job.paces else None
        facts.append((f"{left} more", describe_estimate(pace, left, job.config).removeprefix("estimate: ")))
    summary("archive in color", facts)
