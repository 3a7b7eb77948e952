"""`colorize benchmark archive`: the real job beside the loops of known projects and the limit of the kernels."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.config.command_line import DONE
from cluster.storage.stores import reach
from colorize_core.errors import UserError
from jobs.archive.config import IMAGES, ArchiveConfig
from jobs.benchmark.advice import archive_advice
from jobs.benchmark.archive_figures import Round, archive_facts, archive_picture, archive_tables, summarize
from jobs.benchmark.config import ArchiveBenchmark
from jobs.benchmark.processes import Run, begin, require_this_machine, run_verb, work_folder, write_figures
from jobs.command.console import say
from jobs.run.checkpoints import open_checkpoint, read_checkpoint

if TYPE_CHECKING:
    from colorize_core.benchmark.baselines.inference import Loop

_PHOTOGRAPHS, _COLORED, _CHECKPOINT = "photographs", "colored", "checkpoint"
_BATCH = 32
_ALONE = 32


def plan(config: ArchiveBenchmark) -> str:
    """What would run."""
    _require(config)
    what = config.source or "sample photographs of 640x480"
    return (
        f"benchmark would color {config.photographs} of {what} {config.rounds} times, with "
        f"{config.checkpoint or config.model}, and write to {Path(config.output).absolute()}"
    )


def run(config: ArchiveBenchmark, verbose: bool) -> int:
    """Make the inputs, measure round by round, write the figures."""
    from colorize_core.benchmark.baselines.inference import has_opencv
    from colorize_core.runtime.memory import retain_freed_memory

    _require(config)
    record = begin("archive", config)
    cores = record["machine"]["cores"]
    retain_freed_memory()  # as the job's actors do: the loops of others gain by it too
    if not has_opencv():
        say("benchmark: OpenCV is not installed (pip install opencv-python-headless); its loop is left out")
    with work_folder(config.output) as work:
        count = _write_photographs(config, work / _PHOTOGRAPHS)
        checkpoint = config.checkpoint or _untrained(config.model, work / _CHECKPOINT)
        rounds = []
        for number in range(1, config.rounds + 1):
            say(f"benchmark: round {number} of {config.rounds}, {count} photographs")
            rounds.append(_round(config, checkpoint, work, cores))
    record |= {"photographs": count, **summarize(rounds, cores), "rounds": [asdict(each) for each in rounds]}
    advice = "\n".join(f"- {line}" for line in archive_advice(record))
    write_figures(
        config.output, record, f"{archive_tables(record)}\n\n{advice}", archive_facts(record), archive_picture(record)
    )
    return DONE


def _require(config: ArchiveBenchmark) -> None:
    """Raise UserError for what can be found before anything starts."""
    from colorize_core.models import build_model

    require_this_machine(config.ray)
    if config.checkpoint:
        read_checkpoint(config.checkpoint, config.storage)
    else:
        build_model(config.model)


def _write_photographs(config: ArchiveBenchmark, folder: Path) -> int:
    """Put the photographs into a folder; returns their number."""
    from colorize_core.benchmark.sample_photos import DISTINCT, sample_photographs

    folder.mkdir()
    if config.source:
        return _draw_photographs(config, config.source, folder)
    files = []
    for number, data in enumerate(sample_photographs(min(DISTINCT, config.photographs), gray=True)):
        files.append(folder / f"{number:06d}.jpg")
        files[-1].write_bytes(data)
    for number in range(len(files), config.photographs):  # the same again, by another name
        os.link(files[number % len(files)], folder / f"{number:06d}.jpg")
    return config.photographs


def _draw_photographs(config: ArchiveBenchmark, location: str, folder: Path) -> int:
    """Some of the user's, of 8 bits, as others' loops know no more."""
    from colorize_core.photo.decode import PhotoError, decode
    from colorize_core.photo.formats import IMAGE_SUFFIXES
    from jobs.inputs.fetch import fetch_all
    from jobs.inputs.listing import ListingOptions, require_photographs, survey

    (source,) = reach(config.storage, location)
    require_photographs(source, IMAGE_SUFFIXES, ListingOptions(), config.storage)
    _, drawn = survey(source, IMAGE_SUFFIXES, ListingOptions(), config.storage, some=config.photographs)
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
        raise UserError(f"{location}: {count} photographs of 8 bits can be read; peer_photographs wants more")
    return count


def _untrained(name: str, folder: Path) -> str:
    import torch

    from colorize_core.checkpoint.weights import save_checkpoint
    from colorize_core.models import build_model

    torch.manual_seed(0)
    save_checkpoint(folder, build_model(name), working_size=256)
    return str(folder)


def _round(config: ArchiveBenchmark, checkpoint: str, work: Path, cores: int) -> Round:
    """The job, then everything else in this process, on the same photographs."""
    from colorize_core.benchmark.background_load import background_load
    from colorize_core.benchmark.baselines import kernels as limit
    from colorize_core.benchmark.baselines.inference import Network, has_opencv, run, with_opencv, with_skimage
    from colorize_core.colorizer import Colorizer

    files = sorted((work / _PHOTOGRAPHS).iterdir())
    job, pictures = _run_job(config, checkpoint, work, cores, len(files))
    some = [file.read_bytes() for file in files[: config.peer_photographs]]
    store = open_checkpoint(checkpoint, config.storage)
    model, described = read_checkpoint(checkpoint, config.storage)
    network = Network(model.eval(), described.working_size)
    loops: Mapping[str, Loop] = {"peer": with_skimage} | ({"peer_opencv": with_opencv} if has_opencv() else {})
    peers = {name: (run(loop, network, some, 1), run(loop, network, some, cores)) for name, loop in loops.items()}
    batch = [file.read_bytes() for file in files[:_ALONE]]
    with background_load(cores - 1, store.path(), store.filesystem, batch):
        cheapest = limit.limit(model, described.working_size, some)
        alone = limit.colorizer_without_ray(Colorizer.load(store.path(), "cpu", store.filesystem), batch)
    first, last, counted = job_window(pictures, cores * _batch(len(files), cores))
    return Round(
        images_per_second=counted / (last - first),
        core_ms=job.watch.core_seconds(first, last) / counted * 1000,
        start_up_seconds=min(pictures) - job.start,
        peak_memory_bytes=job.watch.peak_memory,
        driver_memory_bytes=job.watch.peak_root_memory,
        alone=alone,
        limit=cheapest,
        peers=peers,
    )


def _batch(photographs: int, cores: int) -> int:
    """Photographs that an actor works on at once: as in any job, but that each has several batches to do."""
    return max(min(_BATCH, photographs // (4 * cores)), 1)


def _run_job(
    config: ArchiveBenchmark, checkpoint: str, work: Path, cores: int, photographs: int
) -> tuple[Run, list[float]]:
    """Color all photographs as users do; also the moments at which the pictures were written."""
    colored = work / _COLORED
    values = {
        "source": str(work / _PHOTOGRAPHS),
        "output": str(colored),
        "checkpoint": checkpoint,
        "batch_size": _batch(photographs, cores),
        "max_failed_fraction": 1.0,
        "report": False,
        "ray": config.ray.model_dump(),
        "storage": config.storage.model_dump(),
    }
    job = run_verb("archive", ArchiveConfig.part(values, "benchmark"), work)
    pictures = [file.stat().st_mtime for file in (colored / IMAGES).iterdir()]
    if len(pictures) < photographs:
        counts = json.loads((colored / "run.json").read_text())["counts"]
        raise UserError(f"archive: {len(pictures)} of {photographs} photographs have a picture ({counts})")
    shutil.rmtree(colored)
    return job, pictures


def job_window(moments: Sequence[float], warm: int) -> tuple[float, float, int]:
    """When the job had warmed up, when it wrote its last picture, and how many pictures lie between.

    Args:
        moments: at which pictures were written.
        warm: pictures that do not count, at most half of all.
    """
    ordered = sorted(moments)
    warm = min(warm, len(ordered) // 2)
    return ordered[warm - 1], ordered[-1], len(ordered) - warm
