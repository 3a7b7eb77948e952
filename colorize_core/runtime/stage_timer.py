"""Where the time goes: seconds by stage of coloring photographs."""

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
"""In the order of the work: bytes from the store; to pixels; lightness at the size the model sees; the model; chroma at
full size and its levels; PSNR and SSIM of inputs in color; to bytes; to the store."""


class StageTimer:
    """Adds up what stages take, by as many threads as there are.

    Seconds are those of cores: two threads that decode for a second spend two. `INFER` counts once for each thread of
    the model's arithmetic on a CPU, and once on a GPU. `FETCH` and `PUT` wait more than they work: a batch counts once,
    however many requests are under way.
    """

    def __init__(self, read: Callable[[], float] = time.perf_counter) -> None:
        """At nothing; `read` is the clock, such as `time.process_time` where other work is not to count."""
        self._read = read
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def time(self, stage: str, cores: int = 1) -> Iterator[None]:
        """Add what a block takes on a number of cores, however it ends."""
        start = self._read()
        try:
            yield
        finally:
            spent = (self._read() - start) * cores
            with self._lock:
                self._seconds[stage] = self._seconds.get(stage, 0.0) + spent

    def take(self) -> dict[str, float]:
        """Seconds by stage since they were last taken, in the order of `STAGES`; begins again at nothing."""
        with self._lock:
            taken, self._seconds = self._seconds, {}
        return add_stages([taken])


def add_stages(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Sums of seconds by stage, in the order of `STAGES`; those without any are left out."""
    sums: dict[str, float] = {}
    for part in parts:
        for stage, seconds in part.items():
            sums[stage] = sums.get(stage, 0.0) + seconds
    return {stage: sums[stage] for stage in STAGES if stage in sums}
