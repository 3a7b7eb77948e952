"""`colorize benchmark train`: the job compared with a plain PyTorch loop and with the training step alone."""

import csv
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cluster.config.command_line import DONE
from colorize_core.errors import UserError
from colorize_core.formatting import counted
from jobs.benchmark.config import TrainBenchmark
from jobs.benchmark.processes import require_this_machine, run_verb
from jobs.benchmark.rounds import Figures, run_rounds, write_figures
from jobs.prepare.config import PrepareConfig
from jobs.train.config import TrainConfig

_WARM_UP_EPOCHS = 1
_VALIDATION = 8  # photographs

CONFIG = TrainBenchmark


def plan(config: TrainBenchmark) -> str:
    """Return what would be measured, for --dry-run."""
    _check(config)
    return (
        f"benchmark would train {config.model} for {counted(config.steps, 'step')} with batches of "
        f"{config.batch_size}, {config.rounds} times in each way"
    )


def run(config: TrainBenchmark, verbose: bool = False) -> int:
    """Measure in rounds, write and print the figures."""
    from colorize_core.benchmark.tables import figure_table

    _check(config)
    record = run_rounds("train", config, partial(_set_up, config))
    rows = [
        ("colorize train", record["images_per_second"]),
        (f"plain PyTorch loop, {record['machine']['cores']} loaders", record["loop_images_per_second"]),
        ("training step alone", record["step_images_per_second"]),
    ]
    rows += [(f"step without {name}", rate) for name, rate in record["without_images_per_second"].items()]
    title = f"{config.model}, {config.size} px, batch {config.batch_size}"
    write_figures(config.output, record, f"{title}\n\n{figure_table(('', 'images/s'), rows)}", _facts(record))
    return DONE


def _check(config: TrainBenchmark) -> None:
    """Raise UserError if the job would run elsewhere, has an invalid key or model, or needs a missing GPU."""
    import torch

    from colorize_core.models import build_model

    require_this_machine(config.ray)
    build_model(config.model)
    _job_config(config, Path(config.output), cores=1)
    if config.gpu and not torch.cuda.is_available():
        raise UserError("gpu=true: torch finds no GPU on this machine")


def _job_config(config: TrainBenchmark, work: Path, cores: int) -> TrainConfig:
    """Return the configuration of the measured run; raises UserError for an invalid key."""
    values = {
        "shards": str(work / "shards"),
        "output": str(work / "run"),
        "model": {"name": config.model},
        "loss": {"l1": 1.0},
        "optim": {"epochs": _WARM_UP_EPOCHS + 1, "batch_size": config.batch_size, "lr": 1e-4, **config.optim},
        "workers": {"cpus": cores, "gpu": config.gpu},
        "ray": config.ray.model_dump(),
    }
    return TrainConfig.part(values, "benchmark")


def _set_up(config: TrainBenchmark, work: Path) -> Callable[[], Figures]:
    """Write color photographs in train/ and val/, and their shards."""
    from colorize_core.benchmark.baselines.training import WARM_UP
    from colorize_core.benchmark.sample_photos import sample_photographs

    photographs = work / "photographs"
    count = (config.steps + WARM_UP) * config.batch_size
    for split in ("train", "val"):
        (photographs / split).mkdir(parents=True)
    for number, data in enumerate(sample_photographs(count + _VALIDATION, gray=False)):
        (photographs / ("train" if number < count else "val") / f"{number:06d}.jpg").write_bytes(data)
    values = {"source": str(photographs), "output": str(work / "shards"), "size": config.size, "split": "folders"}
    run_verb("prepare", PrepareConfig.part(values | {"ray": config.ray.model_dump()}, "benchmark"), work)
    return partial(_measure, config, work)


def _measure(config: TrainBenchmark, work: Path) -> Figures:
    """Measure the second epoch of the job, then the baselines, each in a new process."""
    import torch

    from colorize_core.benchmark.baselines.training import (
        StepOptions,
        loop_images_per_second,
        step_images_per_second,
    )
    from colorize_core.benchmark.machine import available_cores
    from colorize_core.models import build_model
    from colorize_core.runtime.child_process import run_in_subprocess
    from colorize_core.runtime.precision import resolve_precision

    cores = available_cores()
    job_config = _job_config(config, work, cores)
    job = run_verb("train", job_config, work)
    with (work / "run" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        epochs = list(csv.DictReader(file))
    shutil.rmtree(work / "run")
    rate = float(epochs[-1]["images_per_second"])
    files = sorted((work / "photographs" / "train").iterdir())
    model, (size, batch, steps) = build_model(config.model), (config.size, config.batch_size, config.steps)
    device = torch.device("cuda" if config.gpu else "cpu")
    loop = run_in_subprocess(loop_images_per_second, model, files, size, batch, steps, cores=cores, device=device)
    step = partial(step_images_per_second, model, size, batch, steps, cores=cores, device=device)
    options = StepOptions(resolve_precision(job_config.optim.precision, device), compiled=job_config.optim.compile)
    step_alone = run_in_subprocess(step, options=options)
    return {
        "images_per_second": rate,
        "loop_images_per_second": loop,
        "step_images_per_second": step_alone,
        "without_images_per_second": {
            name: run_in_subprocess(step, options=less) for name, less in options.ablations().items()
        },
        "ratio_to_peer": rate / loop,
        "fraction_of_step": rate / step_alone,
        "data_wait_ms": float(epochs[-1]["data_wait_ms"]),
        "start_up_seconds": job.seconds - sum(float(row["seconds"]) for row in epochs),
        "peak_memory_bytes": job.usage.peak_memory,
    }


def _facts(figures: Mapping[str, Any]) -> list[tuple[str, object]]:
    return [
        ("relative to the loop", f"{figures['ratio_to_peer']:.1f} times as fast"),
        ("relative to the step alone", f"{figures['fraction_of_step']:.0%}"),
        ("waiting for data", f"{figures['data_wait_ms']:.1f} ms per step"),
    ]
