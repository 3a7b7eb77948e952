"""`colorize benchmark prepare`: the job compared with loops that use scikit-image."""

import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cluster.config.command_line import DONE
from jobs.benchmark.config import PrepareBenchmark
from jobs.benchmark.processes import VerbProcess, require_this_machine, run_verb
from jobs.benchmark.rounds import Figures, run_rounds, write_figures
from jobs.prepare.config import PrepareConfig

_ALL, _QUARTER = "all", "quarter"

CONFIG = PrepareBenchmark


def plan(config: PrepareBenchmark) -> str:
    """Return what would be measured, for --dry-run."""
    require_this_machine(config.ray)
    return f"benchmark would prepare {config.photographs} sample photographs at {config.size} px, {config.rounds} times"


def run(config: PrepareBenchmark, verbose: bool = False) -> int:
    """Measure in rounds, write and print the figures."""
    from colorize_core.benchmark.tables import figure_table

    require_this_machine(config.ray)
    record = run_rounds("prepare", config, partial(_set_up, config))
    rows = [("colorize prepare", record["core_ms_per_image"], record["images_per_second"])]
    rows += [(name, core_ms, None) for name, core_ms in record["peer_core_ms_per_image"].items()]
    table = figure_table((f"{config.size} px", "core ms per photograph", "images/s"), rows)
    write_figures(config.output, record, table, _facts(record))
    return DONE


def _set_up(config: PrepareBenchmark, work: Path) -> Callable[[], Figures]:
    """Write the photographs, and a folder with links to a quarter of them."""
    from colorize_core.benchmark.sample_photos import sample_photographs

    for name in (_ALL, _QUARTER):
        (work / name).mkdir()
    for number, data in enumerate(sample_photographs(config.photographs, gray=False)):
        file = work / _ALL / f"{number:06d}.jpg"
        file.write_bytes(data)
        if number < config.photographs // 4:
            os.link(file, work / _QUARTER / file.name)
    return partial(_measure, config, work)


def _measure(config: PrepareBenchmark, work: Path) -> Figures:
    """Measure the job on a quarter and on all photographs, then the loops; the difference excludes the start-up."""
    import torch

    from colorize_core.benchmark.baselines.preparation import LOOPS, loop_milliseconds

    short, long = (_prepare(config, work, name) for name in (_QUARTER, _ALL))
    more = config.photographs - config.photographs // 4
    rate = more / max(long.seconds - short.seconds, 1e-3)
    core_ms = (long.core_seconds - short.core_seconds) / more * 1000
    sample = [file.read_bytes() for file in sorted((work / _ALL).iterdir())[: config.peer_photographs]]
    torch.set_num_threads(1)
    peers = {name: loop_milliseconds(loop, sample, config.size) for name, loop in LOOPS.items()}
    stored = sum(file.stat().st_size for file in (work / "shards").rglob("part-*.parquet"))
    return {
        "images_per_second": rate,
        "core_ms_per_image": core_ms,
        "peer_core_ms_per_image": peers,
        "ratio_to_peer": {name: value / core_ms for name, value in peers.items()},
        "shard_bytes_per_image": stored / config.photographs,
        "start_up_seconds": long.seconds - config.photographs / rate,
        "peak_memory_bytes": long.usage.peak_memory,
    }


def _prepare(config: PrepareBenchmark, work: Path, source: str) -> VerbProcess:
    shutil.rmtree(work / "shards", ignore_errors=True)
    values = {
        "source": str(work / source),
        "output": str(work / "shards"),
        "size": config.size,
        "val_fraction": 0,
        "test_fraction": 0,
        "ray": config.ray.model_dump(),
    }
    return run_verb("prepare", PrepareConfig.part(values, "benchmark"), work)


def _facts(figures: Mapping[str, Any]) -> list[tuple[str, object]]:
    return [
        ("CPU time", f"{figures['core_ms_per_image']:.1f} core ms per photograph"),
        *((f"relative to {name}", f"{ratio:.1f} times") for name, ratio in figures["ratio_to_peer"].items()),
        ("shards", f"{figures['shard_bytes_per_image'] / 1e3:.0f} kB per photograph"),
    ]
