"""Ray Data pipeline of `archive`: keys -> file contents -> color images and rows."""

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster.storage.stores import Storage
from colorize_core.formatting import counted
from colorize_core.runtime.stage_timer import add_stages
from jobs.archive.config import FETCH_CPUS, ArchiveConfig
from jobs.archive.estimate import Throughput
from jobs.inputs.corrections import Corrections
from jobs.inputs.listing import Listing
from jobs.run.actors import count_actors
from jobs.run.lock import OutputLock

if TYPE_CHECKING:
    import pyarrow as pa

_ACTORS_PER_READER = 4
"""Actors without a GPU that one process with 16 requests at a time can supply with photographs."""


@dataclass
class ArchiveContext:
    """A run: its configuration and locations, and what has been measured so far."""

    config: ArchiveConfig
    source: Storage
    output: Storage
    lock: OutputLock
    listing: Listing
    throughput: Throughput | None
    """Latest measurement; None before the first one."""
    corrections: Corrections = field(default_factory=Corrections)
    stages: dict[str, float] = field(default_factory=dict)
    """Core seconds by stage of this attempt, summed over all workers."""
    processed: int = 0
    """Inputs processed by this attempt."""
    seconds: float = 0.0
    """Seconds in which this attempt processed them, without start-up."""

    @property
    def images_per_second(self) -> float | None:
        """Inputs per second of this attempt, without start-up; None if it processed none."""
        return self.processed / self.seconds if self.seconds else None


def block_sizes(count: int, largest: int, batch: int, actors: int) -> list[int]:
    """Return the number of inputs of each block, decreasing so that the actors finish at about the same time.

    Guided self-scheduling (Polychronopoulos and Kuck 1987): each block is half of an equal share of the remaining
    inputs, in whole batches.

    Args:
        count: number of inputs.
        largest: maximum inputs per block.
        batch: inputs per batch of an actor.
        actors: number of actors that share the inputs.
    """
    sizes: list[int] = []
    while count:
        share = max(count // (2 * actors) // batch, 1) * batch
        sizes.append(min(share, largest, count))
        count -= sizes[-1]
    return sizes


def colorize_inputs(context: ArchiveContext, folder: str, part: int, inputs: "pa.Table") -> None:
    """Colorize inputs of a part of the manifest: write their color images, and stage their rows in `folder`.

    File contents pass through the object store, pixels do not. The driver receives a few numbers per batch, after its
    rows are written. The measurements of the context are updated.

    Raises:
        ClusterError: there was no progress for `stall_seconds`, or another run has taken over the output.
    """
    import ray

    from jobs.archive.actor import MAX_CONCURRENT_BATCHES, ColorizeActor
    from jobs.archive.tasks import fetch
    from jobs.run.progress import ClusterCounter

    config, output = context.config, context.output
    counter = ClusterCounter()
    batches = math.ceil(len(inputs) / config.batch_size)
    actors = count_actors(config.actors, config.ray, reserved=FETCH_CPUS, batches=batches)
    ray.data.DataContext.get_current().execution_options.preserve_order = False
    sizes = block_sizes(len(inputs), config.block_size, config.batch_size, actors * MAX_CONCURRENT_BATCHES)
    starts = itertools.accumulate(sizes[:-1], initial=0)
    blocks = [inputs.slice(start, size) for start, size in zip(starts, sizes, strict=True)]
    rows = (
        ray.data.from_blocks(blocks)
        .map_batches(
            fetch,
            batch_size=config.batch_size,
            batch_format="pyarrow",
            fn_kwargs={
                "source": context.source,
                "counter": counter,
                "run": output.uri,
                "sidecars": config.xmp_sidecars,
            },
            compute=ray.data.TaskPoolStrategy(None if config.actors.gpus else -(-actors // _ACTORS_PER_READER)),
            num_cpus=FETCH_CPUS,
        )
        .map_batches(
            ColorizeActor,
            batch_size=config.batch_size,
            batch_format="pyarrow",
            fn_constructor_kwargs={
                "config": config,
                "output": output,
                "counter": counter,
                "folder": folder,
                "part": part,
            },
            compute=ray.data.ActorPoolStrategy(
                size=actors, max_concurrent_calls_per_actor=MAX_CONCURRENT_BATCHES, enable_true_multi_threading=True
            ),
            num_cpus=config.actors.cpus,
            num_gpus=config.actors.gpus,
        )
    )
    output_bytes = images = 0
    starting = f"starting {counted(actors, 'actor')}"
    advice = "the same command continues"
    with counter.follow(rows, "colorized", len(inputs), config.stall_seconds, advice, starting) as line:
        for block in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
            images += sum(block.column("images").to_pylist())
            output_bytes += sum(block.column("output_bytes").to_pylist())
            context.lock.check()
        context.stages = add_stages([context.stages, counter.seconds()])
    context.processed += len(inputs)
    context.seconds += line.seconds or 0.0
    if line.rate and images:
        measured = f"measured on {counted(len(inputs), 'photograph')}"
        context.throughput = Throughput(actors / line.rate, output_bytes / images, config.actors.gpus, measured)
