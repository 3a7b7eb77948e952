"""CPU time and memory of a process and its descendants."""

import math
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import psutil

_INTERVAL_SECONDS = 0.25
_MEMORY_SECONDS = 2.0
"""Most seconds between measurements of memory, for which the kernel walks through all pages: every 0.4 s, that slowed a
job of 20 processes by 7%."""


@dataclass(frozen=True)
class UsageSample:
    """Resource usage of a process tree at one moment."""

    time: float
    """Seconds since the epoch."""
    core_seconds: float
    """CPU time that all processes have used so far."""
    memory: int
    """Sum of the proportional set sizes in bytes: a page counts once, however many processes share it."""
    root_memory: int
    """Resident set size of the root process in bytes."""


class ProcessTree:
    """CPU time and memory of a process and its descendants, from one sample to the next."""

    def __init__(self, root: int) -> None:
        """Prepare to measure the process with id `root`."""
        self._root = root
        self._core_seconds: dict[tuple[int, float], float] = {}
        self._memory, self._memory_time = 0, -math.inf
        self._started = time.monotonic()

    def sample(self) -> UsageSample:
        """Measure the processes that run now; the CPU time of those that ended is kept.

        CPU times are summed per process, because the time of an ended process is missing from its parent's until the
        parent waits for it: a sum over the living ones alone falls when an idle worker ends.
        """
        memory, root_memory = 0, 0
        # More often at first, for processes that soon end.
        pause = min(_MEMORY_SECONDS, max(self._memory_time - self._started, 0))
        measures_memory = time.monotonic() - self._memory_time >= pause
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._root)
            for process in (parent, *parent.children(recursive=True)):
                with suppress(psutil.NoSuchProcess), process.oneshot():
                    times = process.cpu_times()
                    self._core_seconds[process.pid, process.create_time()] = times.user + times.system
                    root_memory += process.memory_info().rss if process == parent else 0
                    if measures_memory:
                        memory += process.memory_full_info().pss
        if measures_memory:
            self._memory, self._memory_time = memory, time.monotonic()
        return UsageSample(time.time(), sum(self._core_seconds.values()), self._memory, root_memory)


class UsageMonitor:
    """Samples the usage of a process tree from a thread until the block ends."""

    def __init__(self, root: int, interval: float = _INTERVAL_SECONDS) -> None:
        """Prepare to sample the process with id `root` every `interval` seconds."""
        self.samples: list[UsageSample] = []
        self._tree, self._interval, self._ended = ProcessTree(root), interval, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "UsageMonitor":
        """Take the first sample and start the thread."""
        self.samples.append(self._tree.sample())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop sampling."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            self.samples.append(self._tree.sample())

    def core_seconds(self, start: float, stop: float) -> float:
        """Return the CPU seconds used between two moments, in seconds since the epoch."""
        times, used = [each.time for each in self.samples], [each.core_seconds for each in self.samples]
        first, last = np.interp([start, stop], times, used)
        return float(last - first)

    @property
    def peak_memory(self) -> int:
        """Maximum of the summed proportional set sizes in bytes."""
        return max(each.memory for each in self.samples)

    @property
    def peak_root_memory(self) -> int:
        """Maximum resident set size of the root process in bytes."""
        return max(each.root_memory for each in self.samples)
