"""`colorize benchmark archive`: the real job beside the loops of known projects and the limit of the kernels."""

import json
import os
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.storage import open_storage, reach
from colorize_core.errors import UserError
from colorize_core.stages import INFER, STAGES
from jobs.archive_config import IMAGES, ArchiveConfig
from jobs.benchmark_advice import archive_advice
from jobs.benchmark_config import ArchiveBenchmark
from jobs.benchmark_runs import Run, require_this_machine, run_verb, work_folder, write_figures
from jobs.cli import DONE
from jobs.console import say

if TYPE_CHECKING:
    from colorize_core.benchmark.peers import Loop, Pace

_PHOTOGRAPHS, _COLORED, _CHECKPOINT = "photographs", "colored", "checkpoint"
_BATCH = 32
_ALONE = 32
REST = "Ray, fetch, put"
"""What a job takes beyond the Colorizer."""


@dataclass(frozen=True)
class Round:
    """What one round measured."""

    images_per_second: float
    """Of the job, without start-up."""
    core_ms: float
    """Of all processes of the job for each picture, without start-up."""
    start_up_seconds: float
    """From the command to the first picture."""
    peak_memory_bytes: int
    driver_memory_bytes: int
    alone: Mapping[str, float]
    """Core ms of the Colorizer by itself, by stage."""
    limit: Mapping[str, float]
    """Core ms of the cheapest kernels, by kernel."""
    peers: Mapping[str, "tuple[Pace, Pace]"]
    """Of other loops by name: with one thread, and with as many as there are cores."""


def plan(config: ArchiveBenchmark) -> str:
    """What would run."""
    _require(config)
    what = config.source or "sample photographs of 640x480"
    return (
        f"benchmark would colour {config.photographs} of {what} {config.rounds} times, with "
        f"{config.checkpoint or config.model}, and write to {Path(config.output).absolute()}"
    )


def run(config: ArchiveBenchmark, verbose: bool) -> int:
    """Make the inputs, measure round by round, write the figures."""
    from colorize_core.benchmark.machine import describe_machine, in_words
    from colorize_core.benchmark.peers import has_opencv
    from colorize_core.memory import keep_freed_memory

    _require(config)
    machine = describe_machine()
    say(f"benchmark: {in_words(machine)}")
    keep_freed_memory()  # as the job's actors do: the loops of others gain by it too
    if not has_opencv():
        say("benchmark: OpenCV is not installed (pip install opencv-python-headless); its loop is left out")
    with work_folder(config.output) as work:
        count = _write_photographs(config, work / _PHOTOGRAPHS)
        checkpoint = config.checkpoint or _untrained(config.model, work / _CHECKPOINT)
        rounds = []
        for number in range(1, config.rounds + 1):
            say(f"benchmark: round {number} of {config.rounds}, {count} photographs")
            rounds.append(_round(config, checkpoint, work, machine["cores"]))
    figures = summarize(rounds, machine["cores"])
    record = {"kind": "archive", "machine": machine, "config": config.model_dump(mode="json"), "photographs": count}
    figures = record | figures | {"rounds": [asdict(each) for each in rounds]}
    advice = archive_advice(figures)
    tables = "\n".join([in_words(machine), "", *_tables(figures), "", *(f"- {line}" for line in advice)])
    write_figures(config.output, figures, tables, _picture(figures), _facts(figures))
    return DONE


def _require(config: ArchiveBenchmark) -> None:
    """Raise UserError for what can be found before anything starts."""
    from colorize_core.checkpoint import load_checkpoint
    from colorize_core.models import build_model

    require_this_machine(config.ray)
    if config.checkpoint:
        store = open_storage(config.checkpoint, config.storage)
        load_checkpoint(store.path(), store.filesystem)
    else:
        build_model(config.model)


def _write_photographs(config: ArchiveBenchmark, folder: Path) -> int:
    """Put the photographs into a folder; returns their number."""
    from colorize_core.benchmark.photographs import DISTINCT, sample_photographs

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
    from colorize_core.photo import IMAGE_SUFFIXES, PhotoError, decode
    from jobs.fetch import fetch_all
    from jobs.manifest import ListingSection, require_photographs, survey

    (source,) = reach(config.storage, location)
    require_photographs(source, IMAGE_SUFFIXES, ListingSection(), config.storage)
    _, drawn = survey(source, IMAGE_SUFFIXES, ListingSection(), config.storage, some=config.photographs)
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

    from colorize_core.checkpoint import save_checkpoint
    from colorize_core.models import build_model

    torch.manual_seed(0)
    save_checkpoint(folder, build_model(name), working_size=256)
    return str(folder)


def _round(config: ArchiveBenchmark, checkpoint: str, work: Path, cores: int) -> Round:
    """The job, then everything else in this process, on the same photographs."""
    from colorize_core.benchmark import limit
    from colorize_core.benchmark.peers import Network, has_opencv, run, with_opencv, with_skimage
    from colorize_core.checkpoint import load_checkpoint
    from colorize_core.colorizer import Colorizer

    files = sorted((work / _PHOTOGRAPHS).iterdir())
    job, pictures = _run_job(config, checkpoint, work, cores, len(files))
    some = [file.read_bytes() for file in files[: config.peer_photographs]]
    store = open_storage(checkpoint, config.storage)
    model, described = load_checkpoint(store.path(), store.filesystem)
    network = Network(model.eval(), described.working_size)
    loops: Mapping[str, Loop] = {"peer": with_skimage} | ({"peer_opencv": with_opencv} if has_opencv() else {})
    peers = {name: (run(loop, network, some, 1), run(loop, network, some, cores)) for name, loop in loops.items()}
    batch = [file.read_bytes() for file in files[:_ALONE]]
    cheapest = limit.limit(model, described.working_size, some)
    alone = limit.colorizer_alone(Colorizer.load(store.path(), "cpu", store.filesystem), batch)
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
    """Colour all photographs as users do; also the moments at which the pictures were written."""
    colored = work / _COLORED
    values = {
        "source": str(work / _PHOTOGRAPHS),
        "output": str(colored),
        "checkpoint": checkpoint,
        "batch_size": _batch(photographs, cores),
        "block_size": max(min(256, photographs // (2 * cores)), 1),
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


def summarize(rounds: Sequence[Round], cores: int) -> dict[str, Any]:
    """Medians over rounds, and ratios within them, under the keys of benchmark.json."""
    from colorize_core.benchmark.clock import medians

    stages = medians([each.alone for each in rounds])
    total = statistics.median(each.core_ms for each in rounds)
    cheapest = medians([each.limit for each in rounds])
    names = rounds[0].peers
    return {
        "images_per_second": statistics.median(each.images_per_second for each in rounds),
        "core_ms_per_image": stages | {REST: total - sum(stages.values()), "total": total},
        "core_ms_outside_model": total - stages[INFER],
        "ratio_to_peer": _ratio(rounds, "peer"),
        "ratio_to_peer_opencv": _ratio(rounds, "peer_opencv") if "peer_opencv" in names else None,
        "fraction_of_limit": statistics.median(
            each.images_per_second * sum(each.limit.values()) / 1000 / cores for each in rounds
        ),
        "start_up_seconds": statistics.median(each.start_up_seconds for each in rounds),
        "peak_memory_bytes": max(each.peak_memory_bytes for each in rounds),
        "driver_memory_bytes": max(each.driver_memory_bytes for each in rounds),
        "limit": {"images_per_second": 1000 * cores / sum(cheapest.values()), **_by(cheapest)},
        "peer": _peer([each.peers["peer"] for each in rounds], total),
        "peer_opencv": _peer([each.peers["peer_opencv"] for each in rounds], total) if "peer_opencv" in names else None,
        "threads": {"job": f"{cores} actors, 1 thread each", "peers": f"1 and {cores}, the faster counts", "limit": 1},
    }


def _ratio(rounds: Sequence[Round], peer: str) -> float:
    return statistics.median(each.images_per_second * min(pace.seconds for pace in each.peers[peer]) for each in rounds)


def _by(kernels: dict[str, float]) -> dict[str, Any]:
    from colorize_core.benchmark.clock import by_stage

    return {"core_ms_per_image": by_stage(kernels) | {"total": sum(kernels.values())}, "kernels": kernels}


def _peer(paces: "Sequence[tuple[Pace, Pace]]", total: float) -> dict[str, Any]:
    """Images/s of the faster form; core ms of the one with one thread, which wastes none."""
    from colorize_core.benchmark.clock import medians

    seconds = statistics.median(min(pace.seconds for pace in each) for each in paces)
    kernels = medians([single.kernels for single, _ in paces])
    return {"images_per_second": 1 / seconds, "core_ratio": sum(kernels.values()) / total, **_by(kernels)}


_NAMES = {"peer": "loop with scikit-image", "peer_opencv": "loop with OpenCV", "limit": "limit of the kernels"}


def _tables(figures: Mapping[str, Any]) -> list[str]:
    """Markdown: the contenders, then the kernels."""
    from colorize_core.benchmark.clock import KERNELS
    from colorize_core.benchmark.tables import markdown_table

    others = [(title, figures[name]) for name, title in _NAMES.items() if figures[name]]
    columns = [("colorize archive", figures), *others]
    stages = [stage for stage in (*STAGES, REST) if any(stage in each["core_ms_per_image"] for _, each in columns)]
    rows: list[Sequence[object]] = [("images/s", *(each["images_per_second"] for _, each in columns))]
    rows += [(f"{stage}, core ms", *(each["core_ms_per_image"].get(stage) for _, each in columns)) for stage in stages]
    rows.append(("all, core ms", *(each["core_ms_per_image"]["total"] for _, each in columns)))
    kernels = [(kernel, *(each["kernels"][kernel] for _, each in others)) for kernel in KERNELS]
    return [
        markdown_table(("for a picture", *(title for title, _ in columns)), rows),
        "",
        markdown_table(("kernel, core ms", *(title for title, _ in others)), kernels),
    ]


def _picture(figures: Mapping[str, Any]) -> bytes:
    from colorize_core.benchmark.tables import stacked_bars

    contenders = {"colorize archive": figures} | {title: figures[name] for name, title in _NAMES.items()}
    bars = {
        title: {stage: value for stage, value in each["core_ms_per_image"].items() if stage != "total" and value > 0}
        for title, each in contenders.items()
        if each
    }
    return stacked_bars(bars, (*STAGES, REST), "core ms for a picture")


def _facts(figures: Mapping[str, Any]) -> list[tuple[str, object]]:
    opencv = figures["ratio_to_peer_opencv"]
    return [
        (
            "pace",
            f"{figures['images_per_second']:.1f} images/s, first picture after {figures['start_up_seconds']:.1f} s",
        ),
        ("outside the model", f"{figures['core_ms_outside_model']:.1f} core ms for a picture"),
        ("beside scikit-image", f"{figures['ratio_to_peer']:.1f} times as fast"),
        ("beside OpenCV", f"{opencv:.1f} times as fast" if opencv else "not measured: OpenCV is not installed"),
        ("of the limit", f"{figures['fraction_of_limit']:.0%}"),
        ("memory at most", f"{figures['peak_memory_bytes'] / 1e9:.1f} GB, all processes together"),
    ]
