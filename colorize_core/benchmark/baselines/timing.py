"""CPU time of the kernels that coloring one photograph consists of."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum

from colorize_core.runtime.stage_timer import DECODE, ENCODE, INFER, PAINT, SHRINK


class Kernel(StrEnum):
    """Steps that every implementation needs to color a photograph, in order."""

    JPEG_DECODE = "JPEG decode"
    LIGHTNESS = "lightness"
    RESIZE = "resize"
    MODEL = "model"
    CHROMA = "chroma"
    TO_SRGB = "Lab to sRGB"
    JPEG_ENCODE = "JPEG encode"


STAGE_OF = {
    Kernel.JPEG_DECODE: DECODE,
    Kernel.LIGHTNESS: SHRINK,
    Kernel.RESIZE: SHRINK,
    Kernel.MODEL: INFER,
    Kernel.CHROMA: PAINT,
    Kernel.TO_SRGB: PAINT,
    Kernel.JPEG_ENCODE: ENCODE,
}
"""Stage of an archive job that each kernel belongs to."""


class KernelTimer:
    """CPU seconds of this process, summed over its threads, by kernel."""

    def __init__(self) -> None:
        """Start with empty totals."""
        self._core_seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def time(self, kernel: Kernel) -> Iterator[None]:
        """Add the CPU time of a block to a kernel."""
        start = time.process_time()
        yield
        self._core_seconds[kernel.value] += time.process_time() - start

    def milliseconds(self, images: int) -> dict[str, float]:
        """Return CPU milliseconds per image by kernel."""
        return {kernel: seconds / images * 1000 for kernel, seconds in self._core_seconds.items()}


def by_stage(kernels: Mapping[str, float]) -> dict[str, float]:
    """Sum times by kernel to times by stage."""
    stages: dict[str, float] = defaultdict(float)
    for kernel, value in kernels.items():
        stages[STAGE_OF[Kernel(kernel)]] += value
    return dict(stages)


def core_milliseconds(function: Callable[[], object], repeats: int) -> float:
    """Return the median CPU milliseconds of a call in this process, after one warm-up call."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000
