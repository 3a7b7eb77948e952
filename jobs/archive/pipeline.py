"""The Ray Data graph of `archive`: keys, bytes, pictures, rows."""

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.storage.stores import Storage
from jobs.archive.config import FETCH_CPUS, RESERVED_CPUS, WRITE_CPUS, ArchiveConfig
from jobs.archive.estimate import Pace
from jobs.run.actors import count_actors
from jobs.run.lock import OutputLock

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Work:
    """How work on some inputs went."""

    pace: Pace | None
    """Without start-up; None where there was too little to tell."""
    stages: dict[str, float]
    """Seconds of cores by stage, of all workers together."""


def block_sizes(count: int, largest: int, batch: int, actors: int) -> list[int]:
    """How many inputs each block has: fewer toward the end, so that the actors finish at about the same time.

    Guided self-scheduling (Polychronopoulos and Kuck 1987): each takes half of what would be an equal share of the
    rest, in whole batches.

    Args:
        count: of all inputs.
        largest: that a block may have.
        batch: inputs that an actor works on at once.
        actors: that share the work.
    """
    sizes: list[int] = []
    while count:
        share = max(count // (2 * actors) // batch, 1) * batch
        sizes.append(min(share, largest, count))
        count -= sizes[-1]
    return sizes


def colorize_inputs(
    config: ArchiveConfig,
    source: Storage,
    output: Storage,
    lock: OutputLock,
    *,
    folder: str,
    part: int,
    inputs: "pa.Table",
) -> Work:
    """Color inputs of a part of the manifest: write their pictures and stage their rows in `folder`.

    Bytes cross the object store, pixels do not. The driver sees a few numbers for each block of rows that is safe.

    Raises:
        ClusterError: nothing has moved for `stall_seconds`, or another run took the output over.
    """
    import ray

    from jobs.archive.actor import MAX_CONCURRENT_BATCHES, ColorizeActor
    from jobs.archive.tasks import fetch, stage_rows
    from jobs.run.progress import Progress

    progress = Progress()
    batches = math.ceil(len(inputs) / config.batch_size)
    actors = count_actors(config.actors, config.ray, reserved=RESERVED_CPUS, batches=batches)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = False
    sizes = block_sizes(len(inputs), config.block_size, config.batch_size, actors * MAX_CONCURRENT_BATCHES)
    starts = itertools.accumulate(sizes[:-1], initial=0)
    blocks = [inputs.slice(start, size) for start, size in zip(starts, sizes, strict=True)]
    rows = (
        ray.data.from_blocks(blocks)
        .map_batches(
            fetch,
            batch_size=config.batch_size,
            batch_format="pyarrow",
            fn_kwargs={"source": source, "progress": progress, "run": output.uri},
            num_cpus=FETCH_CPUS,
        )
        .map_batches(
            ColorizeActor,
            batch_size=config.batch_size,
            batch_format="pyarrow",
            fn_constructor_kwargs={"config": config, "output": output, "progress": progress},
            compute=ray.data.ActorPoolStrategy(
                size=actors, max_concurrent_calls_per_actor=MAX_CONCURRENT_BATCHES, enable_true_multi_threading=True
            ),
            num_cpus=config.actors.cpus,
            num_gpus=config.actors.gpus,
        )
        .map_batches(
            stage_rows,
            batch_size=None,
            batch_format="pyarrow",
            fn_kwargs={"output": output, "folder": folder, "part": part},
            num_cpus=WRITE_CPUS,
        )
    )
    written = images = 0
    with progress.follow(rows, "colorized", len(inputs), config.stall_seconds, "the same command continues") as line:
        for block in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
            images += sum(block.column("images").to_pylist())
            written += sum(block.column("output_bytes").to_pylist())
            lock.check()
        stages = progress.seconds()
    if line.rate is None or not images:
        return Work(None, stages)
    measured = f"measured on {len(inputs)} photographs"
    return Work(Pace(actors / line.rate, written / images, config.actors.gpus, measured), stages)
