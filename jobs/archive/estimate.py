"""Estimate of time and storage for an archive, from a few photographs or from an earlier run."""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.session import local_cores
from cluster.storage.stores import Entry, Storage, open_storage
from colorize_core.formatting import counted, format_bytes, format_duration
from colorize_core.runtime.child_process import run_in_subprocess
from jobs.archive.config import ArchiveConfig
from jobs.archive.settings import SettingsResolver
from jobs.inputs.fetch import fetch_all
from jobs.run.record import RUN_FILE

_MEASURED_SECONDS = 1.0
# Ray, its actors and the page took 10.1 and 11.5 s of runs of 13.5 and 29.6 s (150 and 1,500 photographs, two cores).
_RAY_SECONDS = 10.0


@dataclass(frozen=True)
class Throughput:
    """Measured speed of one actor, and the mean size of a color image."""

    seconds: float
    """Seconds per photograph of one actor."""
    output_bytes: float
    """Mean bytes per color image."""
    gpus: float
    """GPUs of the measured actor."""
    measured: str
    """How it was measured, as text for the user."""
    start_up: float = 0.0
    """Seconds before the first photograph is colorized."""


def measure_throughput(config: ArchiveConfig, inputs: Sequence[Entry]) -> Throughput | None:
    """Colorize a few photographs without writing them.

    This happens in a subprocess, so that torch and the model do not stay in the driver's memory for the whole run.

    Returns:
        The throughput; None if none of the photographs can be colorized, or if the actors use GPUs and this machine
        has none.
    """
    return run_in_subprocess(_measure, config, list(inputs))


def _measure(config: ArchiveConfig, inputs: Sequence[Entry]) -> Throughput | None:
    start = time.monotonic()
    import torch

    from jobs.archive.actor import colorize, load_colorizer

    if config.actors.gpus and not torch.cuda.is_available():
        return None
    colorizer = load_colorizer(config)
    torch.set_num_threads(max(int(config.actors.cpus), 1))
    keys = [entry.key for entry in inputs]
    contents = [file.data for file in fetch_all(open_storage(config.source, config.storage), keys)]
    resolver = SettingsResolver.of(config)
    settings = [resolver.resolve(key, {}) for key in keys]
    results = colorize(colorizer, config, keys, contents, settings)  # the first pass compiles and allocates
    ready = time.monotonic()
    passes = [_seconds_of(lambda: colorize(colorizer, config, keys, contents, settings))]
    while time.monotonic() - ready < _MEASURED_SECONDS:
        passes.append(_seconds_of(lambda: colorize(colorizer, config, keys, contents, settings)))
    seconds = statistics.median(passes) / max(len(inputs), 1)
    sizes = [len(result.image) for result in results if result.image]
    if not sizes:
        return None
    measured = f"measured with {counted(len(inputs), 'photograph')} on this machine"
    return Throughput(seconds, sum(sizes) / len(sizes), config.actors.gpus, measured, ready - start + _RAY_SECONDS)


def _seconds_of(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def earlier_throughput(output: Storage, config: ArchiveConfig) -> Throughput | None:
    """Return the throughput that an earlier run of this output recorded; None without one, or with other GPUs."""
    if not output.exists(RUN_FILE):
        return None
    pace = json.loads(output.read(RUN_FILE)).get("pace")
    return Throughput(**pace) if pace and pace["gpus"] == config.actors.gpus else None


def describe_estimate(throughput: Throughput | None, count: int, config: ArchiveConfig) -> str:
    """Return one line with time and storage for `count` photographs."""
    if throughput is None:
        return "no estimate yet; sample=100 measures the throughput"
    hours = count * throughput.seconds / 3600
    actors = config.actors.count if isinstance(config.actors.count, int) else local_cores(config.ray)
    duration = f"{hours:.1f} actor hours"
    if actors:
        seconds = hours * 3600 / actors + throughput.start_up
        duration = f"{format_duration(seconds)} on {counted(actors, 'actor')} with start-up"
    gpu_hours = f", {hours * throughput.gpus:.1f} GPU hours" if throughput.gpus else ""
    size = format_bytes(count * throughput.output_bytes)
    return f"about {duration}{gpu_hours}, {size} of images ({throughput.measured})"
