"""`colorize benchmark train`: the real job beside the tutorials' loop and the bare step."""

import csv
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cluster.config.command_line import DONE
from colorize_core.errors import UserError
from jobs.benchmark.config import TrainBenchmark
from jobs.benchmark.processes import begin, require_this_machine, run_verb, work_folder, write_figures
from jobs.command.console import say
from jobs.prepare.config import PrepareConfig
from jobs.train.config import TrainConfig

_WARM_EPOCHS = 1
_VALIDATION = 8  # photographs


@dataclass(frozen=True)
class Round:
    """What one round measured: images/s, and more of the job."""

    job: float
    data_wait_ms: float
    """That a step of the job waited for its batches."""
    start_up_seconds: float
    """From the command to the first step's epoch, as all that is not an epoch."""
    peak_memory_bytes: int
    tutorial: float
    bare: float
    without: Mapping[str, float]
    """The bare step without one of its levers, by the lever's name."""


def plan(config: TrainBenchmark) -> str:
    """What would run."""
    _require(config)
    return (
        f"benchmark would train {config.model} for {config.steps} steps of {config.batch_size} photographs, "
        f"{config.rounds} times each way, and write to {Path(config.output).absolute()}"
    )


def run(config: TrainBenchmark, verbose: bool) -> int:
    """Make shards, measure round by round, write the figures."""
    from colorize_core.benchmark.baselines.training import WARM_UP
    from colorize_core.benchmark.tables import markdown_table

    _require(config)
    record = begin("train", config)
    cores = record["machine"]["cores"]
    with work_folder(config.output) as work:
        _write_photographs(work / "photographs", (config.steps + WARM_UP) * config.batch_size)
        say("benchmark: shards")
        source, shards = str(work / "photographs"), str(work / "shards")
        values = {"source": source, "output": shards, "size": config.size, "split": "folders"}
        run_verb("prepare", PrepareConfig.part(values | {"ray": config.ray.model_dump()}, "benchmark"), work)
        rounds = []
        for number in range(1, config.rounds + 1):
            say(f"benchmark: round {number} of {config.rounds}")
            rounds.append(_round(config, work, cores))
    record |= {**summarize(rounds), "rounds": [asdict(each) for each in rounds]}
    table = markdown_table(
        ("", "images/s"),
        [
            ("colorize train", record["images_per_second"]),
            (f"tutorials' loop, {cores} loaders", record["tutorial_images_per_second"]),
            ("bare step", record["bare_images_per_second"]),
            *((f"bare step without {name}", pace) for name, pace in record["without_images_per_second"].items()),
        ],
    )
    what = f"{config.model}, {config.size} px, batch {config.batch_size}"
    write_figures(config.output, record, f"{what}\n\n{table}", _facts(record))
    return DONE


def _require(config: TrainBenchmark) -> None:
    """Raise UserError for what can be found before anything starts."""
    import torch

    from colorize_core.models import build_model

    require_this_machine(config.ray)
    build_model(config.model)
    _job(config, Path(config.output), cores=1)
    if config.gpu and not torch.cuda.is_available():
        raise UserError("gpu=true: torch finds no GPU on this machine")


def _write_photographs(folder: Path, count: int) -> None:
    """Photographs in color, in train/ and val/."""
    from colorize_core.benchmark.sample_photos import sample_photographs

    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
    for number, data in enumerate(sample_photographs(count + _VALIDATION, gray=False)):
        (folder / ("train" if number < count else "val") / f"{number:06d}.jpg").write_bytes(data)


def _job(config: TrainBenchmark, work: Path, cores: int) -> TrainConfig:
    """The run that is measured; raises UserError for a mistake in its keys."""
    values = {
        "shards": str(work / "shards"),
        "output": str(work / "run"),
        "model": {"name": config.model},
        "loss": {"l1": 1.0},
        "optim": {"epochs": _WARM_EPOCHS + 1, "batch_size": config.batch_size, "lr": 1e-4, **config.optim},
        "workers": {"cpus": cores, "gpu": config.gpu},
        "ray": config.ray.model_dump(),
    }
    return TrainConfig.part(values, "benchmark")


def _round(config: TrainBenchmark, work: Path, cores: int) -> Round:
    import torch

    from colorize_core.benchmark.baselines.training import Levers, bare_pace, tutorial_pace
    from colorize_core.models import build_model
    from colorize_core.runtime.child_process import run_in_subprocess
    from colorize_core.runtime.precision import resolve_precision

    job_config = _job(config, work, cores)
    job = run_verb("train", job_config, work)
    output = Path(job_config.output)
    with (output / "metrics.csv").open(encoding="utf-8", newline="") as file:
        epochs = list(csv.DictReader(file))
    shutil.rmtree(output)
    files = sorted((work / "photographs" / "train").iterdir())
    model, size, batch, steps = build_model(config.model), config.size, config.batch_size, config.steps
    device = torch.device("cuda" if config.gpu else "cpu")
    tutorial = run_in_subprocess(tutorial_pace, model, files, size, batch, steps, cores=cores, device=device)
    pace = partial(bare_pace, model, size, batch, steps, cores=cores, device=device)
    levers = Levers(resolve_precision(job_config.optim.precision, device), compiled=job_config.optim.compile)
    return Round(
        job=float(epochs[-1]["images_per_second"]),
        data_wait_ms=float(epochs[-1]["data_wait_ms"]),
        start_up_seconds=job.seconds - sum(float(row["seconds"]) for row in epochs),
        peak_memory_bytes=job.watch.peak_memory,
        tutorial=tutorial,
        bare=run_in_subprocess(pace, levers=levers),
        without={name: run_in_subprocess(pace, levers=less) for name, less in levers.without_each().items()},
    )


def summarize(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians over rounds, and ratios within them, under the keys of benchmark.json."""
    from colorize_core.benchmark.baselines.clock import medians

    return {
        "images_per_second": statistics.median(each.job for each in rounds),
        "tutorial_images_per_second": statistics.median(each.tutorial for each in rounds),
        "bare_images_per_second": statistics.median(each.bare for each in rounds),
        "without_images_per_second": medians([each.without for each in rounds]),
        "ratio_to_peer": statistics.median(each.job / each.tutorial for each in rounds),
        "fraction_of_bare_step": statistics.median(each.job / each.bare for each in rounds),
        "data_wait_ms": statistics.median(each.data_wait_ms for each in rounds),
        "start_up_seconds": statistics.median(each.start_up_seconds for each in rounds),
        "peak_memory_bytes": max(each.peak_memory_bytes for each in rounds),
    }


def _facts(figures: Mapping[str, Any]) -> list[tuple[str, object]]:
    return [
        ("pace", f"{figures['images_per_second']:.1f} images/s"),
        ("beside the tutorials' loop", f"{figures['ratio_to_peer']:.1f} times as fast"),
        ("of the bare step", f"{figures['fraction_of_bare_step']:.0%}"),
        ("wait for data", f"{figures['data_wait_ms']:.1f} ms for a step"),
        ("start and end", f"{figures['start_up_seconds']:.0f} s beside the epochs"),
        ("memory at most", f"{figures['peak_memory_bytes'] / 1e9:.1f} GB, all processes together"),
    ]
