"""What people see while a job runs and when it ends."""

import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType

from colorize_core.report.formatting import duration as duration

_TERMINAL_SECONDS = 0.5
_LOG_SECONDS = 10.0
_SLOWEST_LOG_SECONDS = 120.0


def say(line: str) -> None:
    """Print a line of progress or result at once, also into a pipe."""
    print(line, flush=True)


def summary(title: str, facts: Iterable[tuple[str, object]]) -> None:
    """Print the end of a job: a title, then what and how much in two columns."""
    facts = list(facts)
    width = max(len(name) for name, _ in facts)
    say(f"\n{title}")
    for name, value in facts:
        say(f"  {name:{width}}  {value}")


def log_pause(elapsed: float) -> float:
    """Seconds between two lines of progress in a log: ever more, or that of a run of days would hold little else."""
    return min(max(_LOG_SECONDS, elapsed / 20), _SLOWEST_LOG_SECONDS)


class ProgressLine:
    """One live line about work of known size: count, rate and time left, redrawn on a terminal, logged elsewhere."""

    def __init__(self, what: str, total: int, done: Callable[[], int]) -> None:
        """Watch `done()`, which is asked from a thread, until the block ends."""
        self._what, self._total, self._done = what, total, done
        self._finished = threading.Event()
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._terminal = sys.stdout.isatty()

    @property
    def rate(self) -> float | None:
        """Work per second without the start-up; None before there were two looks to compare."""
        if self._first is None or self._last[1] <= self._first[1]:
            return None
        return (self._last[1] - self._first[1]) / max(self._last[0] - self._first[0], 1e-3)

    def __enter__(self) -> "ProgressLine":
        """Start to watch."""
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; a block that ended well has done everything, though the last counts may still be on their way."""
        self._finished.set()
        self._thread.join()
        if kind is None:
            self._draw(self._total)
        if self._terminal:
            print(flush=True)

    def _watch(self) -> None:
        while not self._finished.wait(
            _TERMINAL_SECONDS if self._terminal else log_pause(time.monotonic() - self._start)
        ):
            self._draw(min(self._done(), self._total))

    def _draw(self, done: int) -> None:
        now = time.monotonic()
        if done and self._first is None:
            self._first = (now, done)
        self._last = (now, done)
        rate = self.rate or done / max(now - self._start, 1e-3)
        left = f", {duration((self._total - done) / rate)} left" if 0 < done < self._total else ""
        line = f"{self._what}: {done}/{self._total}, {rate:.1f} images/s, {duration(now - self._start)}{left}"
        if self._terminal:
            print(f"\r\x1b[K{line}", end="", flush=True)
        else:
            say(line)
