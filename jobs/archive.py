"""`colorize archive`: an archive of gray photographs to colour, with Ray Data."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from cluster.session import ray_session
from cluster.storage import LocalStorage, Storage, open_storage, reach
from colorize_core.errors import UserError
from jobs.cli import DONE, TOO_MANY_FAILED, run_job
from jobs.config import Section, StorageJobConfig
from jobs.console import ProgressLine, duration, say, summary
from jobs.manifest import FOLDER, Listing, require_photographs, write_manifest
from jobs.run_record import begin_run, now, write_record

IMAGES, METRICS = "images", "metrics"
_LISTING = "_state/listing.json"
_DONE_KEYS = "_state/done"
_NOT_FAILED = ("ok", "skipped_color")
_CHANGEABLE = (
    "storage.",
    "ray.",
    "actors.",
    "limit",
    "batch_size",
    "block_size",
    "max_failed_fraction",
    "stall_seconds",
)


class ActorsSection(Section):
    """The processes that hold the model."""

    count: int = Field(1, ge=1)
    """How many; with GPUs, one for each is usual."""
    gpus: float = Field(0, ge=0)
    """GPUs each; 0 works on the CPU, fractions share one."""
    cpus: float = Field(1, gt=0)
    """Logical CPUs each. Their sum must stay below the cluster's: reading and writing need some too."""


class ArchiveConfig(StorageJobConfig):
    """Colour an archive of gray photographs. The same command continues a run that was interrupted.

    OUTPUT/images mirrors the source at full size with the original lightness; OUTPUT/metrics holds one Parquet row
    per input, whatever became of it; run.json holds the configuration and the counts.
    """

    source: str
    """Folder or s3:// prefix of the archive."""
    output: str
    """Where images, metrics and run.json go."""
    checkpoint: str
    """Directory of the model, such as RUN/best."""
    format: Literal["same", "jpeg", "png", "webp", "tiff"] = "same"
    """Of the colour images; same follows the input's file name ending (PNG for those that cannot be written)."""
    quality: int = Field(95, ge=1, le=100)
    """Of JPEG (4:2:0) and WebP."""
    on_color: Literal["colorize", "skip", "copy"] = "colorize"
    """Inputs already in colour: colorize them too and score against the original, skip, or copy the file."""
    limit: int | None = Field(None, ge=1)
    """Only the first inputs of the listing, for a first look; may be raised or lifted to go on."""
    max_failed_fraction: float = Field(0.05, ge=0, le=1)
    """Share of inputs that may fail before the exit code is 3."""
    max_pixels: int = Field(200_000_000, ge=1)
    """Larger photographs get the status too_large before they are decoded."""
    actors: ActorsSection = Field(default_factory=ActorsSection)
    """The processes that hold the model."""
    batch_size: int = Field(32, ge=1)
    """Photographs an actor works on at once."""
    block_size: int = Field(256, ge=1)
    """Photographs per unit of resuming: after a crash at most the blocks in flight are done again."""
    stall_seconds: int = Field(600, ge=10)
    """Give up when nothing has moved for so long."""


def plan(config: ArchiveConfig) -> str:
    """What would run."""
    source, output, _ = _check_inputs(config)
    return (
        f"archive would colour the photographs below {source.uri} with {config.checkpoint} on {config.actors.count} "
        f"actors and write to {output.uri}/{IMAGES}"
    )


def run(config: ArchiveConfig, verbose: bool) -> int:
    """Begin or continue the run, list once, colour what is not done, summarise."""
    source, output, weights = _check_inputs(config)
    record = begin_run(output, "archive", config.model_dump(mode="json"), {"checkpoint": weights}, _CHANGEABLE)
    listing = _list_once(source, output)
    total = min(listing.count, config.limit or listing.count)
    say(f"archive: {total} of {listing.count} photographs in {source.uri}")
    start = time.monotonic()
    with ray_session(config.ray, verbose=verbose):
        done_before = sum(count_statuses(output).values())
        if done_before < total:
            _colorize(config, source, output, total, done_before)
    seconds = time.monotonic() - start
    counts = count_statuses(output)
    if sum(counts.values()) < total:
        raise RuntimeError(f"{output.uri}/{METRICS} holds {sum(counts.values())} rows for {total} inputs")
    failed = sum(count for status, count in counts.items() if status not in _NOT_FAILED)
    facts = {"counts": dict(counts), "ignored": listing.ignored, "seconds": round(seconds, 1)}
    write_record(output, record | {"status": "done", "finished": now(), **facts})
    _summarize(output, counts, failed, total - done_before, seconds)
    return TOO_MANY_FAILED if failed > config.max_failed_fraction * sum(counts.values()) else DONE


def _check_inputs(config: ArchiveConfig) -> tuple[Storage, Storage, str]:
    """Source, output and the SHA-256 of the weights; every mistake that can be found before Ray is started."""
    from colorize_core.checkpoint import load_checkpoint
    from colorize_core.photo import IMAGE_SUFFIXES

    source, output = reach(config.storage, config.source, config.output)
    require_photographs(source, IMAGE_SUFFIXES)
    if _inside(source, output) or _inside(output, source):
        raise UserError(f"source {source.uri} and output {output.uri} overlap; the output must lie elsewhere")
    checkpoint = open_storage(config.checkpoint, config.storage)
    _, loaded = load_checkpoint(checkpoint.path(), checkpoint.filesystem)
    return source, output, loaded.weights_sha256


def _inside(inner: Storage, outer: Storage) -> bool:
    first, second = (
        f"{os.path.realpath(store.root) if isinstance(store, LocalStorage) else store.uri}/" for store in (inner, outer)
    )
    return first.startswith(second)


def _list_once(source: Storage, output: Storage) -> Listing:
    """The listing of this run: made at its beginning, read ever after."""
    from colorize_core.photo import IMAGE_SUFFIXES

    if output.exists(_LISTING):
        return Listing(**json.loads(output.read(_LISTING)))
    listing = write_manifest(source, output, IMAGE_SUFFIXES)
    output.write(_LISTING, json.dumps({"count": listing.count, "ignored": listing.ignored}).encode())
    return listing


def _colorize(config: ArchiveConfig, source: Storage, output: Storage, total: int, done_before: int) -> None:
    """The Ray Data graph: manifest, bytes, pictures and rows.

    Ray's row checkpoint commits ids with each metrics file, so rows come exactly once; pictures are written whole
    under keys derived from the input's, so writing one again does no harm.
    """
    import ray
    from ray.data.checkpoint import CheckpointConfig

    from jobs.archive_stages import ColorizeActor, fetch
    from jobs.progress import Progress

    progress = Progress()
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = False
    context.execution_no_progress_timeout_s = config.stall_seconds
    context.checkpoint_config = CheckpointConfig(
        id_column="key",
        checkpoint_path=output.path(_DONE_KEYS),
        override_filesystem=output.filesystem,
        delete_checkpoint_on_success=False,
    )
    manifest = output.child(FOLDER)
    try:
        rows = ray.data.read_parquet(manifest.path(), filesystem=manifest.filesystem)
        if config.limit:
            rows = rows.filter(expr=ray.data.expressions.col("index") < config.limit)
        rows = (
            rows.repartition(target_num_rows_per_block=config.block_size)
            .map_batches(
                fetch,
                batch_size=config.batch_size,
                batch_format="pyarrow",
                fn_kwargs={"source": source},
                num_cpus=0.5,
            )
            .map_batches(
                ColorizeActor,
                batch_size=config.batch_size,
                batch_format="pyarrow",
                fn_constructor_kwargs={"config": config, "output": output.child(IMAGES), "progress": progress},
                compute=ray.data.ActorPoolStrategy(size=config.actors.count),
                num_cpus=config.actors.cpus,
                num_gpus=config.actors.gpus,
            )
        )
        with ProgressLine("colorized", total - done_before, progress.done):
            rows.write_parquet(output.path(METRICS), filesystem=output.filesystem)
    finally:
        context.checkpoint_config = None


def count_statuses(output: Storage) -> Counter[str]:
    """Rows of OUTPUT/metrics by status, read file by file.

    A file that a killed run left half written is passed over: continuing the run replaces it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts: Counter[str] = Counter()
    system = output.filesystem
    for entry in output.child(METRICS).list():
        try:
            statuses = pq.read_table(output.path(f"{METRICS}/{entry.key}"), columns=["status"], filesystem=system)
        except pa.ArrowInvalid:
            continue
        counts.update(statuses.column("status").to_pylist())
    return counts


def _summarize(output: Storage, counts: Counter[str], failed: int, done_now: int, seconds: float) -> None:
    total = sum(counts.values())
    facts: list[tuple[str, object]] = [(status, count) for status, count in counts.most_common()]
    facts.append(("failed", f"{failed} of {total} ({failed / max(total, 1):.1%})"))
    if done_now > 0:
        facts.append(("time", f"{duration(seconds)}, {done_now / seconds:.1f} images/s with start-up"))
    facts.append(("images", f"{output.uri}/{IMAGES}"))
    facts.append(("metrics", f"{output.uri}/{METRICS} (one Parquet row per input)"))
    summary("archive in colour", facts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    return run_job("archive", ArchiveConfig, run, plan, arguments)


if __name__ == "__main__":
    sys.exit(main())
