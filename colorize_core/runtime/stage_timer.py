"""Core-seconds spent in each stage of coloring photographs."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

FETCH, DECODE, SHRINK, INFER, PAINT, SCORE, ENCODE, PUT = STAGES = (
    "fetch",
    "decode",
    "shrink",
    "infer",
    "paint",
    "score",
    "encode",
    "put",
)
"""Stages in processing order: read bytes from the storage; decode to pixels; resize lightness to the working size;
run the model; enlarge chroma to full size and compose pixel values; compute PSNR and SSIM for color inputs; encode;
write bytes to the storage."""


class StageTimer:
    """Accumulates seconds by stage, across threads.

    Seconds are core-seconds: two threads that decode for one second add two. `INFER` on a CPU counts once for each of
    torch's compute threads, on a GPU once. `FETCH` and `PUT` are mostly waiting: a batch counts once, however many
    requests are in flight.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Start with empty totals; `clock` may be e.g. `time.process_time`, to exclude other processes."""
        self._clock = clock
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def time(self, stage: str, cores: int = 1) -> Iterator[None]:
        """Add the duration of the block times `cores` to a stage, also if the block raises."""
        start = self._clock()
        try:
            yield
        finally:
            spent = (self._clock() - start) * cores
            with self._lock:
                self._seconds[stage] = self._seconds.get(stage, 0.0) + spent

    def pop(self) -> dict[str, float]:
        """Return seconds by stage since the last call, in the order of `STAGES`, and reset the totals."""
        with self._lock:
            seconds, self._seconds = self._seconds, {}
        return add_stages([seconds])


def add_stages(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Sum seconds by stage, in the order of `STAGES`; stages without seconds are omitted."""
    sums: dict[str, float] = {}
    for part in parts:
        for stage, seconds in part.items():
            sums[stage] = sums.get(stage, 0.0) + seconds
    return {stage: sums[stage] for stage in STAGES if stage in sums}
