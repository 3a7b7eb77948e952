"""`colorize benchmark model`: forward passes and training steps of the models alone, without Ray."""

import itertools
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from cluster.config.command_line import DONE
from colorize_core.errors import UserError
from jobs.benchmark.config import ModelBenchmark
from jobs.benchmark.rounds import start_record, work_folder, write_figures

if TYPE_CHECKING:
    from colorize_core.benchmark.model_speed import Setting

_log = logging.getLogger(__name__)

CONFIG = ModelBenchmark


def plan(config: ModelBenchmark) -> str:
    """Return what would be measured, for --dry-run."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "the CPU (torch finds no GPU)"
    settings = _settings(config)
    models = dict.fromkeys(each.model for each in settings)
    return f"benchmark would measure {', '.join(models)} in {len(settings) // len(models)} settings each on {device}"


def run(config: ModelBenchmark, verbose: bool = False) -> int:
    """Measure every setting, write and print the figures."""
    from colorize_core.benchmark.model_speed import measure_all, speed_table

    settings = _settings(config)
    record = start_record("model", config)
    if not record["machine"]["gpu"]:
        _log.warning("torch finds no GPU: the figures are those of the CPU")
    with work_folder(config.output):
        rows, peaks = measure_all(settings, config.repeats)
    record |= {"peak_flops": peaks, "speeds": [asdict(row) for row in rows]}
    fastest = max((row for row in rows if row.work == "forward"), key=lambda row: row.images_per_second)
    facts: list[tuple[str, object]] = [
        (f"matrix product, {precision}", f"{peak / 1e12:.3g} TFLOP/s") for precision, peak in peaks.items()
    ]
    facts.append(("fastest forward pass", f"{fastest.model}, batch {fastest.batch}, {fastest.precision}"))
    write_figures(config.output, record, speed_table(rows), facts)
    return DONE


def _settings(config: ModelBenchmark) -> "list[Setting]":
    """Return every combination; raises UserError for an unknown model, or for a mode that needs a missing GPU."""
    import torch

    from colorize_core.benchmark.model_speed import Setting
    from colorize_core.models import model_names

    if unknown := [name for name in config.models if name not in model_names()]:
        raise UserError(f"models: {unknown[0]!r} is unknown; choose from {', '.join(model_names())}")
    if "graph" in config.modes and not torch.cuda.is_available():
        raise UserError("modes: graph needs a GPU, and torch finds none on this machine")
    models = config.models or model_names()
    return [
        Setting(*each)
        for each in itertools.product(models, config.sizes, config.batches, config.precisions, config.modes)
    ]
