"""`colorize benchmark archive`: the job compared with loops of known projects and with the limit of the kernels."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.config.command_line import DONE
from cluster.storage.stores import reach
from colorize_core.errors import UserError
from colorize_core.inference.engines import require_engine
from jobs.archive.config import IMAGES, ArchiveConfig
from jobs.benchmark.advice import archive_advice
from jobs.benchmark.archive_figures import archive_chart, archive_facts, archive_tables, derive_figures
from jobs.benchmark.config import ArchiveBenchmark
from jobs.benchmark.processes import VerbProcess, require_this_machine, run_verb
from jobs.benchmark.rounds import Figures, run_rounds, write_figures
from jobs.run.checkpoints import open_checkpoint, read_checkpoint

if TYPE_CHECKING:
    from colorize_core.benchmark.baselines.inference import Loop

_BATCH = 32
_DISTINCT = 64  # sample photographs; further ones are links to these
_log = logging.getLogger(__name__)

CONFIG = ArchiveBenchmark


def plan(config: ArchiveBenchmark) -> str:
    """Return what would be measured, for --dry-run."""
    _check(config)
    return (
        f"benchmark would color {config.photographs} of {config.source or 'the 640x480 sample photographs'} "
        f"{config.rounds} times with {config.checkpoint or config.model}"
    )


def run(config: ArchiveBenchmark, verbose: bool = False) -> int:
    """Measure in rounds, write the figures and print them with advice."""
    from colorize_core.benchmark.baselines.inference import has_opencv
    from colorize_core.runtime.memory import retain_freed_memory

    _check(config)
    retain_freed_memory()  # as in the actors of the job; the baseline loops benefit too
    if not has_opencv():
        _log.warning("OpenCV is not installed (pip install opencv-python-headless); its loop is not measured")
    record = derive_figures(run_rounds("archive", config, partial(_set_up, config)))
    advice = "\n".join(f"- {line}" for line in archive_advice(record))
    tables = f"{archive_tables(record)}\n\n{advice}"
    write_figures(config.output, record, tables, archive_facts(record), archive_chart(record))
    return DONE


def _check(config: ArchiveBenchmark) -> None:
    """Raise UserError if the job would run elsewhere, or the model cannot be loaded."""
    from colorize_core.models import build_model

    require_this_machine(config.ray)
    require_engine(config.engine, gpu=False)
    if config.checkpoint:
        read_checkpoint(config.checkpoint, config.storage)
    else:
        build_model(config.model)


def _set_up(config: ArchiveBenchmark, work: Path) -> Callable[[], Figures]:
    """Write the photographs and the checkpoint."""
    folder = work / "photographs"
    folder.mkdir()
    (_copy_photographs if config.source else _write_samples)(config, folder)
    checkpoint = config.checkpoint or _untrained(config.model, work / "checkpoint")
    return partial(_measure, config, checkpoint, work, sorted(folder.iterdir()))


def _write_samples(config: ArchiveBenchmark, folder: Path) -> None:
    from colorize_core.benchmark.sample_photos import sample_photographs

    files = [folder / f"{number:06d}.jpg" for number in range(config.photographs)]
    for file, data in zip(files, sample_photographs(min(_DISTINCT, config.photographs), gray=True), strict=False):
        file.write_bytes(data)
    for number, file in enumerate(files[_DISTINCT:]):
        os.link(files[number % _DISTINCT], file)


def _copy_photographs(config: ArchiveBenchmark, folder: Path) -> None:
    """Copy a sample of the user's photographs; only those of 8 bits, since the other loops read no more."""
    from colorize_core.photo.decode import PhotoError, decode
    from colorize_core.photo.formats import IMAGE_SUFFIXES
    from jobs.inputs.fetch import fetch_all
    from jobs.inputs.listing import ListingOptions, require_photographs, sample_inputs

    (source,) = reach(config.storage, config.source or "")
    require_photographs(source, IMAGE_SUFFIXES, ListingOptions(), config.storage)
    _, drawn = sample_inputs(source, IMAGE_SUFFIXES, ListingOptions(), config.storage, config.photographs)
    count = 0
    for entry, file in zip(drawn, fetch_all(source, [entry.key for entry in drawn]), strict=True):
        try:
            usable = decode(file.data).bit_depth == 8
        except PhotoError:
            continue
        if usable:
            (folder / f"{count:06d}{Path(entry.key).suffix}").write_bytes(file.data)
            count += 1
    if count < config.peer_photographs:
        raise UserError(
            f"{config.source}: only {count} readable photographs of 8 bits; "
            f"peer_photographs={config.peer_photographs} needs more"
        )


def _untrained(name: str, folder: Path) -> str:
    import torch

    from colorize_core.checkpoint.weights import save_checkpoint
    from colorize_core.models import build_model

    torch.manual_seed(0)
    save_checkpoint(folder, build_model(name), working_size=256)
    return str(folder)


def _measure(config: ArchiveBenchmark, checkpoint: str, work: Path, files: Sequence[Path]) -> Figures:
    """Measure the job, then the baselines in this process, on the same photographs."""
    from colorize_core.benchmark.background_load import background_load
    from colorize_core.benchmark.baselines import inference
    from colorize_core.benchmark.baselines.kernels import measure_colorizer, measure_kernels
    from colorize_core.benchmark.machine import available_cores
    from colorize_core.colorizer import Colorizer

    cores = available_cores()
    # Several batches per actor, as in any larger job.
    batch_size = max(min(_BATCH, len(files) // (4 * cores)), 1)
    job, written = _run_job(config, checkpoint, work, batch_size, len(files))
    storage = open_checkpoint(checkpoint, config.storage)
    model, described = read_checkpoint(checkpoint, config.storage)
    square_model = inference.SquareModel(model.eval(), described.working_size)
    sample = [file.read_bytes() for file in files[: config.peer_photographs]]

    def time_peer(loop: "Loop") -> Figures:
        single, parallel = (inference.time_loop(loop, square_model, sample, threads) for threads in (1, cores))
        return {"seconds": min(single.seconds, parallel.seconds), "kernels": single.kernels}

    peer = time_peer(inference.with_skimage)
    opencv = time_peer(inference.with_opencv) if inference.has_opencv() else None
    batch = [file.read_bytes() for file in files[:_BATCH]]
    with background_load(cores - 1, storage.path(), storage.filesystem, batch):
        kernels = measure_kernels(model, described.working_size, sample)
        colorizer = Colorizer.load(storage.path(), "cpu", storage.filesystem, engine=config.engine)
        stages = measure_colorizer(colorizer, batch)
    first, last, count = job_window(written, cores * batch_size)
    rate, core_ms = count / (last - first), job.usage.core_seconds(first, last) / count * 1000
    if core_ms == 0:
        raise UserError(f"archive: {count} photographs took too little CPU time to be measured; raise photographs=")
    return {
        "photographs": len(files),
        "images_per_second": rate,
        "core_ms": core_ms,
        "colorizer_core_ms": stages,
        "start_up_seconds": min(written) - job.start,
        "peak_memory_bytes": job.usage.peak_memory,
        "driver_memory_bytes": job.usage.peak_root_memory,
        "ratio_to_peer": rate * peer["seconds"],
        "ratio_to_peer_opencv": rate * opencv["seconds"] if opencv else None,
        "fraction_of_limit": rate * sum(kernels.values()) / 1000 / cores,
        "limit": {"kernels": kernels},
        "peer": peer,
        "peer_opencv": opencv,
    }


def _run_job(
    config: ArchiveBenchmark, checkpoint: str, work: Path, batch_size: int, photographs: int
) -> tuple[VerbProcess, list[float]]:
    """Color all photographs with the verb; return its process and the times at which images were written."""
    colored = work / "colored"
    values = {
        "source": str(work / "photographs"),
        "output": str(colored),
        "checkpoint": checkpoint,
        "batch_size": batch_size,
        "engine": config.engine,
        "max_failed_fraction": 1.0,
        "report": False,
        "ray": config.ray.model_dump(),
        "storage": config.storage.model_dump(),
    }
    job = run_verb("archive", ArchiveConfig.part(values, "benchmark"), work)
    written = [file.stat().st_mtime for file in (colored / IMAGES).iterdir()]
    if len(written) < photographs:
        counts = json.loads((colored / "run.json").read_text())["counts"]
        raise UserError(f"archive: only {len(written)} of {photographs} photographs were colored ({counts})")
    shutil.rmtree(colored)
    return job, written


def job_window(written: Sequence[float], warm_up: int) -> tuple[float, float, int]:
    """Return the end of the warm-up, the time of the last image, and the number of images in between.

    Args:
        written: times at which images were written.
        warm_up: number of images that do not count; at most half of all.

    Raises:
        UserError: all images after the warm-up were written at the same moment.
    """
    ordered = sorted(written)
    warm_up = min(warm_up, len(ordered) // 2)
    first, last, count = ordered[warm_up - 1], ordered[-1], len(ordered) - warm_up
    if first == last:
        raise UserError(f"archive: {count} photographs were written at the same moment; raise photographs=")
    return first, last, count
