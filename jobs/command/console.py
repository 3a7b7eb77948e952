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

    def __init__(
        self, what: str, total: int, progress: Callable[[], tuple[int, float | None]], starting: str = "starting"
    ) -> None:
        """Watch `progress()`, which is called from a thread, until the block ends.

        Args:
            what: past participle of what is done.
            total: amount of work.
            progress: returns the work done, and the time at which it began, in seconds since the epoch; None if that is
                not known, and then the rate is that between two counts.
            starting: what the line says before the first count.
        """
        self._what, self._total, self._progress, self._starting = what, total, progress, starting
        self._finished = threading.Event()
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._terminal = sys.stdout.isatty()

    @property
    def seconds(self) -> float | None:
        """Seconds from the beginning of the work to the last count, without the start-up; None if not known."""
        return max(self._last[0] - self._first[0], 1e-3) if self._first else None

    @property
    def rate(self) -> float | None:
        """Work per second without the start-up; None before it is known."""
        if self._first is None or self.seconds is None or self._last[1] <= self._first[1]:
            return None
        return (self._last[1] - self._first[1]) / self.seconds

    def __enter__(self) -> "ProgressLine":
        """Start watching."""
        self._start = time.time()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching; a block that ended without an error has done everything, even if the last count was lower."""
        self._finished.set()
        self._thread.join()
        if kind is None:
            self._draw(self._total, self._progress()[1])
        live_line.end()

    def _watch(self) -> None:
        while not self._finished.wait(_TERMINAL_SECONDS if self._terminal else log_pause(time.time() - self._start)):
            done, started = self._progress()
            self._draw(min(done, self._total), started)

    def _draw(self, done: int, started: float | None) -> None:
        now = time.time()
        if self._first is None and (started or done):
            self._first = (started, 0) if started else (now, done)
        self._last = (now, done)
        elapsed = now - self._start
        if done:
            rate = self.rate or done / max(elapsed, 1e-3)
            left = f", {format_duration((self._total - done) / rate)} left" if done < self._total else ""
            state = f"{rate:.1f} images/s, {format_duration(elapsed)}{left}"
        else:
            state = f"{self._starting}, {format_duration(elapsed)}"
        line = f"{self._what}: {done}/{self._total}, {state}"
        if self._terminal:
            live_line.draw(line)
        else:
            _log.info("%s", line)
