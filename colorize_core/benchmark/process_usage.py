"""What a process and all that it started use of the machine, as Linux counts it in /proc."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colorize_core.errors import UserError

_PROC = Path("/proc")
_SECONDS_BETWEEN_LOOKS = 0.25


@dataclass(frozen=True)
class Look:
    """At one moment."""

    time: float
    """Seconds since the epoch."""
    core_seconds: float
    """That all processes have used so far."""
    memory: int
    """Bytes that they hold, as the sum of their resident sets: what they share counts for each."""
    root_memory: int
    """Bytes of the first process alone."""


def look(root: int) -> Look:
    """A process with its descendants; those that have ended count through the parent that waited for them.

    Raises:
        UserError: this system has no /proc.
    """
    if not (_PROC / "self" / "stat").exists():
        raise UserError("core time and memory are read from /proc, which only Linux has")
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
    family = {root} & parents.keys()
    grown = True
    while grown:
        children = {number for number, parent in parents.items() if parent in family} - family
        family |= children
        grown = bool(children)
    return Look(
        time.time(),
        sum(ticks[number] for number in family) / tick,
        sum(pages[number] for number in family) * page,
        pages.get(root, 0) * page,
    )


class Watch:
    """Looks at a process again and again, from a thread, until the block ends."""

    def __init__(self, root: int, interval: float = _SECONDS_BETWEEN_LOOKS) -> None:
        """Watch a process by its number."""
        self.looks: list[Look] = []
        self._root, self._interval, self._ended = root, interval, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        """Look once, and go on."""
        self.looks.append(look(self._root))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            self.looks.append(look(self._root))

    def core_seconds(self, start: float, stop: float) -> float:
        """Used between two moments, in seconds since the epoch."""
        times, spent = [each.time for each in self.looks], [each.core_seconds for each in self.looks]
        # A process that ends takes what it used with it until its parent's count has it.
        first, last = np.interp([start, stop], times, np.maximum.accumulate(spent))
        return float(last - first)

    @property
    def peak_memory(self) -> int:
        """Bytes of all processes together."""
        return max(each.memory for each in self.looks)

    @property
    def peak_root_memory(self) -> int:
        """Bytes of the first process."""
        return max(each.root_memory for each in self.looks)
