"""Work for the other cores while one is measured: cores share caches, memory and power, and alone each is faster."""

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
    """Keep `count` cores coloring photographs during a block, each by a process with one thread.

    Args:
        count: of cores, without the one that is measured.
        checkpoint: directory, on `filesystem` where that is given.
        filesystem: an opened pyarrow file system.
        photographs: files, colored again and again.

    Raises:
        threading.BrokenBarrierError: one could not begin.
    """
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(count + 1)
    arguments = (ready, checkpoint, filesystem, list(photographs))
    processes = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        ready.wait(_START_SECONDS)
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(ready: Any, checkpoint: str, filesystem: fs.FileSystem | None, photographs: Sequence[bytes]) -> None:
    retain_freed_memory()
    torch.set_num_threads(1)
    colorizer = Colorizer.load(checkpoint, "cpu", filesystem)
    colorizer.colorize(photographs, "jpeg")
    ready.wait(_START_SECONDS)
    while True:
        colorizer.colorize(photographs, "jpeg")
