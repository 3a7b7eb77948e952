"""`colorize benchmark prepare`: the real job beside a loop with scikit-image."""

import os
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.config.command_line import DONE
from jobs.benchmark.config import PrepareBenchmark
from jobs.benchmark.processes import (
    JobRound,
    Run,
    begin,
    require_this_machine,
    run_verb,
    summarize_job,
    work_folder,
    write_figures,
)
from jobs.command.console import say
from jobs.prepare.config import PrepareConfig

_SMALLER = 4  # a quarter


@dataclass(frozen=True)
class Round(JobRound):
    """What one round measured."""

    peers: Mapping[str, float]
    """Core ms for each photograph, by the loop's name."""


def plan(config: PrepareBenchmark) -> str:
    """What would run."""
    require_this_machine(config.ray)
    return (
        f"benchmark would prepare {config.photographs} sample photographs at {config.size} px {config.rounds} times "
        f"and write to {Path(config.output).absolute()}"
    )


def run(config: PrepareBenchmark, verbose: bool) -> int:
    """Make photographs, measure round by round, write the figures."""
    from colorize_core.benchmark.sample_photos import sample_photographs
    from colorize_core.benchmark.tables import markdown_table

    require_this_machine(config.ray)
    record = begin("prepare", config)
    fewer = config.photographs // _SMALLER
    with work_folder(config.output) as work:
        for name in ("all", "some"):
            (work / name).mkdir()
        for number, data in enumerate(sample_photographs(config.photographs, gray=False)):
            file = work / "all" / f"{number:06d}.jpg"
            file.write_bytes(data)
            if number < fewer:
                os.link(file, work / "some" / file.name)
        rounds = []
        for number in range(1, config.rounds + 1):
            say(f"benchmark: round {number} of {config.rounds}, {fewer} and {config.photographs} photographs")
            rounds.append(_round(config, work, fewer))
            stored = sum(file.stat().st_size for file in (work / "shards").rglob("part-*.parquet"))
    record |= {
        **summarize(rounds),
        "shard_bytes_per_image": stored / config.photographs,
        "rounds": [asdict(each) for each in rounds],
    }
    rows = [("colorize prepare", record["core_ms_per_image"], record["images_per_second"])]
    rows += [(name, core_ms, None) for name, core_ms in record["peer_core_ms_per_image"].items()]
    table = markdown_table((f"{config.size} px", "core ms for a photograph", "images/s"), rows)
    write_figures(config.output, record, table, _facts(record))
    return DONE


def _round(config: PrepareBenchmark, work: Path, fewer: int) -> Round:
    """The job on fewer and on all photographs, then the loops."""
    import torch

    from colorize_core.benchmark.baselines.preparation import LOOPS
    from colorize_core.benchmark.baselines.preparation import run as run_loop

    short, long = (_prepare(config, work, name) for name in ("some", "all"))
    more = config.photographs - fewer
    pace = more / max(long.seconds - short.seconds, 1e-3)
    some = [file.read_bytes() for file in sorted((work / "all").iterdir())[: config.peer_photographs]]
    torch.set_num_threads(1)
    return Round(
        images_per_second=pace,
        core_ms=(long.core_seconds - short.core_seconds) / more * 1000,
        start_up_seconds=long.seconds - config.photographs / pace,
        peak_memory_bytes=long.watch.peak_memory,
        peers={name: run_loop(loop, some, config.size) for name, loop in LOOPS.items()},
    )


def _prepare(config: PrepareBenchmark, work: Path, source: str) -> Run:
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


def summarize(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians over rounds, and ratios within them, under the keys of benchmark.json."""
    from colorize_core.benchmark.baselines.clock import medians

    peers = medians([each.peers for each in rounds])
    best = min(peers, key=peers.__getitem__)
    return {
        **summarize_job(rounds),
        "core_ms_per_image": statistics.median(each.core_ms for each in rounds),
        "peer_core_ms_per_image": peers,
        "ratio_to_peer": {
            name: statistics.median(each.peers[name] / each.core_ms for each in rounds) for name in peers
        },
        "ratio_to_best_peer": statistics.median(each.peers[best] / each.core_ms for each in rounds),
    }


def _facts(figures: Mapping[str, Any]) -> list[tuple[str, object]]:
    beside = [
        (f"beside {name}", f"{ratio:.1f} times as fast on a core") for name, ratio in figures["ratio_to_peer"].items()
    ]
    return [
        ("pace", f"{figures['images_per_second']:.0f} images/s, {figures['core_ms_per_image']:.1f} core ms each"),
        *beside,
        ("in shards", f"{figures['shard_bytes_per_image'] / 1e3:.0f} kB for a photograph"),
        ("start and end", f"{figures['start_up_seconds']:.0f} s"),
        ("memory at most", f"{figures['peak_memory_bytes'] / 1e9:.1f} GB, all processes together"),
    ]
