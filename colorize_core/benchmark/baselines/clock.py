"""Time of processors, by what it was spent on."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from colorize_core.runtime.stage_timer import DECODE, ENCODE, INFER, PAINT, SHRINK

JPEG_DECODE, LIGHTNESS, RESIZE, MODEL, CHROMA, TO_SRGB, JPEG_ENCODE = (
    "JPEG decode",
    "lightness",
    "resize",
    "model",
    "chroma",
    "Lab to sRGB",
    "JPEG encode",
)
KERNELS = (JPEG_DECODE, LIGHTNESS, RESIZE, MODEL, CHROMA, TO_SRGB, JPEG_ENCODE)
"""What has to be done for a picture, in order, whoever does it."""

STAGE_OF = {
    JPEG_DECODE: DECODE,
    LIGHTNESS: SHRINK,
    RESIZE: SHRINK,
    MODEL: INFER,
    CHROMA: PAINT,
    TO_SRGB: PAINT,
    JPEG_ENCODE: ENCODE,
}
"""The stage of an archive job that each belongs to."""


class Clock:
    """Core seconds of this process, all its threads together, by kernel."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.core_seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, kernel: str) -> Iterator[None]:
        """Add what a block takes."""
        start = time.process_time()
        yield
        self.core_seconds[kernel] += time.process_time() - start

    def milliseconds(self, pictures: int) -> dict[str, float]:
        """Core ms for each of so many pictures."""
        return {kernel: seconds / pictures * 1000 for kernel, seconds in self.core_seconds.items()}


def by_stage(kernels: dict[str, float]) -> dict[str, float]:
    """Times by kernel to times by stage."""
    stages: dict[str, float] = defaultdict(float)
    for kernel, value in kernels.items():
        stages[STAGE_OF[kernel]] += value
    return dict(stages)


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each value over rounds with equal keys."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def core_milliseconds(function: Callable[[], object], repeats: int) -> float:
    """Median core ms of a call of this process, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000
