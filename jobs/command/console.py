"""Terminal output of verbs: results, and the live line of progress."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType

from cluster.log import live_line
from colorize_core.formatting import format_duration

_log = logging.getLogger("jobs.progress")
_TERMINAL_SECONDS = 0.5
_LOG_SECONDS = 10.0
_MAX_LOG_SECONDS = 120.0


def say(line: str) -> None:
    """Print a line of a result at once, also into a pipe."""
    with live_line.lifted():
        print(line, flush=True)


def summary(title: str, facts: Iterable[tuple[str, object]]) -> None:
    """Print the summary of a job: a title, then names and values in two columns."""
    facts = list(facts)
    width = max(len(name) for name, _ in facts)
    say(f"\n{title}")
    for name, value in facts:
        say(f"  {name:{width}}  {value}")


def log_pause(elapsed: float) -> float:
    """Return the seconds until the next progress message in a log: they grow with the time elapsed, up to two minutes.

    Otherwise the log of a job of several days would hold little else.
    """
    return min(max(_LOG_SECONDS, elapsed / 20), _MAX_LOG_SECONDS)


class ProgressLine:
    """Progress of work of known size: count, rate and remaining time; redrawn on a terminal, logged elsewhere."""

    def __init__(self, what: str, total: int, done: Callable[[], int]) -> None:
        """Watch `done()`, which is called from a thread, until the block ends."""
        self._what, self._total, self._done = what, total, done
        self._finished = threading.Event()
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._terminal = sys.stdout.isatty()

    @property
    def rate(self) -> float | None:
        """Work per second without the start-up; None before two counts can be compared."""
        if self._first is None or self._last[1] <= self._first[1]:
            return None
        return (self._last[1] - self._first[1]) / max(self._last[0] - self._first[0], 1e-3)

    def __enter__(self) -> "ProgressLine":
        """Start watching."""
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching; a block that ended without an error has done everything, even if the last count was lower."""
        self._finished.set()
        self._thread.join()
        if kind is None:
            self._draw(self._total)
        live_line.end()

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
        elapsed = now - self._start
        rate = self.rate or done / max(elapsed, 1e-3)
        left = f", {format_duration((self._total - done) / rate)} left" if 0 < done < self._total else ""
        line = f"{self._what}: {done}/{self._total}, {rate:.1f} images/s, {format_duration(elapsed)}{left}"
        if self._terminal:
            live_line.draw(line)
        else:
            _log.info("%s", line)
