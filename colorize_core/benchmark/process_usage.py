"""CPU time and memory of a process and its descendants, read from /proc (Linux)."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colorize_core.errors import UserError

_PROC = Path("/proc")
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
    """Measure a process, given by its id, and its descendants; ended children count once their parent waited for them.

    Raises:
        UserError: this system has no /proc.
    """
    if not (_PROC / "self" / "stat").exists():
        raise UserError("benchmarks read CPU time and memory from /proc, which only Linux has")
    page, tick = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    parents, ticks, pages = {}, {}, {}
    for entry in os.scandir(_PROC):
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may hold anything; the fields after it are numbers (man 5 proc).
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        number = int(entry.name)
        parents[number], ticks[number], pages[number] = int(fields[1]), sum(map(int, fields[11:15])), int(fields[21])
    tree, added = set(), {root} & parents.keys()
    while added:
        tree |= added
        added = {number for number, parent in parents.items() if parent in added} - tree
    return UsageSample(
        time.time(),
        sum(ticks[number] for number in tree) / tick,
        sum(pages[number] for number in tree) * page,
        pages.get(root, 0) * page,
    )


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
