"""What a whole archive would take, from a few photographs or from an earlier run."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.session import local_cores
from cluster.storage.stores import Entry, Storage, open_storage
from colorize_core.runtime.child_process import run_in_subprocess
from jobs.archive.config import ArchiveConfig
from jobs.command.console import duration
from jobs.inputs.fetch import fetch_all
from jobs.run.record import RUN_FILE


@dataclass(frozen=True)
class Pace:
    """How fast photographs become pictures, and how large these are."""

    seconds: float
    """For one photograph, by one actor."""
    output_bytes: float
    """Of one picture."""
    gpus: float
    """GPUs of the actor that was measured."""
    measured: str
    """How it was measured, for people."""


def probe(config: ArchiveConfig, some: Sequence[Entry]) -> Pace | None:
    """Color a few photographs and keep nothing; None where none of them can be colored.

    A process of its own does, whose torch and model do not stay in the driver for as long as the archive takes. An
    actor with a GPU is measured where this machine has one, else nothing can be told.
    """
    return run_in_subprocess(_probe, config, list(some))


def _probe(config: ArchiveConfig, some: Sequence[Entry]) -> Pace | None:
    import torch

    from jobs.archive.actor import colorize, load_colorizer

    if config.actors.gpus and not torch.cuda.is_available():
        return None
    colorizer = load_colorizer(config)
    torch.set_num_threads(max(int(config.actors.cpus), 1))
    sizes, start = [], time.monotonic()
    files = fetch_all(open_storage(config.source, config.storage), [entry.key for entry in some])
    for entry, file in zip(some, files, strict=True):
        result = colorize(colorizer, config, [entry.key], [file.data])[0]
        sizes += [len(result.image)] if result.image else []
    seconds = (time.monotonic() - start) / max(len(some), 1)
    if not sizes:
        return None
    return Pace(seconds, sum(sizes) / len(sizes), config.actors.gpus, f"{len(some)} photographs tried on this machine")


def earlier_pace(output: Storage, config: ArchiveConfig) -> Pace | None:
    """The pace an earlier run of this output wrote down; None without one, or with other actors."""
    if not output.exists(RUN_FILE):
        return None
    pace = json.loads(output.read(RUN_FILE)).get("pace")
    return Pace(**pace) if pace and pace["gpus"] == config.actors.gpus else None


def describe_estimate(pace: Pace | None, count: int, config: ArchiveConfig) -> str:
    """What `count` photographs would take, in a line."""
    if pace is None:
        return "estimate: none yet; limit=100 measures the pace on the cluster"
    hours = count * pace.seconds / 3600
    actors = config.actors.count if isinstance(config.actors.count, int) else local_cores(config.ray)
    time_left = f"{duration(hours * 3600 / actors)} on {actors} actors" if actors else f"{hours:.1f} actor hours"
    gpu_hours = f", {hours * pace.gpus:.1f} GPU hours" if pace.gpus else ""
    size = _size(count * pace.output_bytes)
    return f"estimate: about {time_left}{gpu_hours}, {size} of images ({pace.measured})"


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
