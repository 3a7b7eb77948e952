"""`colorize benchmark model`: forward passes and training steps of the models by themselves."""

from dataclasses import asdict
from pathlib import Path

from cluster.config.command_line import DONE
from colorize_core.errors import UserError
from jobs.benchmark.config import ModelBenchmark
from jobs.benchmark.processes import begin, work_folder, write_figures
from jobs.command.console import say


def plan(config: ModelBenchmark) -> str:
    """What would run."""
    names = _names(config)
    settings = len(config.sizes) * len(config.batches) * len(config.precisions) * len(config.modes)
    return (
        f"benchmark would measure {', '.join(names)} in {settings} settings each, on {_device()}, and write to "
        f"{Path(config.output).absolute()}"
    )


def run(config: ModelBenchmark, verbose: bool) -> int:
    """Measure every setting, write the figures."""
    from colorize_core.benchmark.model_speed import measure_all, speed_table

    names = _names(config)
    record = begin("model", config)
    if not record["machine"]["gpu"]:
        say("benchmark: no GPU is at hand; the figures are of the processor")
    with work_folder(config.output):
        rows, peaks = measure_all(
            names,
            config.sizes,
            config.batches,
            config.precisions,
            config.modes,
            repeats=config.repeats,
            say=say,
        )
    record |= {"peak_flops": peaks, "speeds": [asdict(row) for row in rows]}
    fastest = max((row for row in rows if row.work == "forward"), key=lambda row: row.images_per_second)
    facts: list[tuple[str, object]] = [
        (f"matrix products, {precision}", f"{peak / 1e12:.3g} TFLOP/s") for precision, peak in peaks.items()
    ]
    facts.append(("fastest forward", f"{fastest.model}, batch {fastest.batch}, {fastest.precision}"))
    write_figures(config.output, record, speed_table(rows), facts)
    return DONE


def _names(config: ModelBenchmark) -> list[str]:
    """The architectures; raises UserError for what cannot be measured here."""
    import torch

    from colorize_core.models import model_names

    if unknown := [name for name in config.models if name not in model_names()]:
        raise UserError(f"models: {unknown[0]!r} is unknown; there are {', '.join(model_names())}")
    if "graph" in config.modes and not torch.cuda.is_available():
        raise UserError("modes: graph needs a GPU, and torch finds none on this machine")
    return config.models or model_names()


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "the processor (torch finds no GPU)"
