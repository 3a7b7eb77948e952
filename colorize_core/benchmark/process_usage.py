"""CPU time and memory of a process and its descendants."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import psutil

_INTERVAL_SECONDS = 0.25


@dataclass(frozen=True)
class UsageSample:
    """Resource usage of a process tree at one moment."""

    time: float
    """Seconds since the epoch."""
    core_seconds: float
    """CPU time that all processes have used so far."""
    memory: int
    """Sum of the resident set sizes in bytes; shared pages count once per process."""
    root_memory: int
    """Resident set size of the root process in bytes."""


def sample_usage(root: int) -> UsageSample:
    """Measure a process, given by its id, and its descendants; an ended child counts once its parent waited for it."""
    core_seconds, memory, root_memory = 0.0, 0, 0
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(root)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess), process.oneshot():
                times, resident = process.cpu_times(), process.memory_info().rss
                core_seconds += times.user + times.system + times.children_user + times.children_system
                memory += resident
                root_memory += resident if process == parent else 0
    return UsageSample(time.time(), core_seconds, memory, root_memory)


class UsageMonitor:
    """Samples the usage of a process tree from a thread until the block ends."""

    def __init__(self, root: int, interval: float = _INTERVAL_SECONDS) -> None:
        """Prepare to sample the process with id `root` every `interval` seconds."""
        self.samples: list[UsageSample] = []
        self._root, self._interval, self._ended = root, interval, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "UsageMonitor":
        """Take the first sample and start the thread."""
        self.samples.append(sample_usage(self._root))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop sampling."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            self.samples.append(sample_usage(self._root))

    def core_seconds(self, start: float, stop: float) -> float:
        """Return the CPU seconds used between two moments, in seconds since the epoch."""
        times, used = [each.time for each in self.samples], [each.core_seconds for each in self.samples]
        # The time of a process that ended is missing until its parent has waited for it.
        first, last = np.interp([start, stop], times, np.maximum.accumulate(used))
        return float(last - first)

    @property
    def peak_memory(self) -> int:
        """Maximum of the summed resident set sizes in bytes."""
        return max(each.memory for each in self.samples)

    @property
    def peak_root_memory(self) -> int:
        """Maximum resident set size of the root process in bytes."""
        return max(each.root_memory for each in self.samples)
