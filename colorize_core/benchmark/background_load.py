"""Load on the other cores while one core is measured.

Cores share caches, memory bandwidth and power: one core alone is faster than the same core during a job.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pyarrow import fs

from colorize_core.colorizer import Colorizer
from colorize_core.runtime.memory import retain_freed_memory

_START_SECONDS = 120


@contextmanager
def background_load(
    count: int, checkpoint: str, filesystem: fs.FileSystem | None, photographs: Sequence[bytes]
) -> Iterator[None]:
    """Run `count` single-threaded processes that color photographs until the block ends.

    Args:
        count: number of processes; usually the cores without the measured one.
        checkpoint: directory, on `filesystem` if given.
        filesystem: pyarrow file system.
        photographs: files that are colored repeatedly.

    Raises:
        threading.BrokenBarrierError: a process did not start within two minutes.
    """
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(count + 1)
    arguments = (ready, checkpoint, filesystem, list(photographs))
    processes = [context.Process(target=_color_repeatedly, args=arguments, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        ready.wait(_START_SECONDS)
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _color_repeatedly(
    ready: Any, checkpoint: str, filesystem: fs.FileSystem | None, photographs: Sequence[bytes]
) -> None:
    retain_freed_memory()
    torch.set_num_threads(1)
    colorizer = Colorizer.load(checkpoint, "cpu", filesystem)
    colorizer.colorize(photographs, "jpeg")
    ready.wait(_START_SECONDS)
    while True:
        colorizer.colorize(photographs, "jpeg")
