"""Log of a job: one line per event on stderr, and in a file where one is configured.

Modules log to `logging.getLogger(__name__)`. Only the project's own loggers get handlers; those of libraries stay as
they are. In worker processes Ray writes the records to the workers' log files (see `cluster.session`).
"""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from colorize_core.errors import UserError

PACKAGES = ("jobs", "cluster", "colorize_core")
"""Packages whose loggers get the handlers."""

_FORMAT = "%(asctime)s %(levelname)s %(area)s: %(message)s"
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


class LogOptions(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Log of a job."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level of the messages on stderr; --verbose sets debug."""
    file: str | None = None
    """Local file that gets every message, debug included, appended; none when empty."""


class LiveLine:
    """The line of a terminal that is redrawn in place; log lines and results are printed above it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._text = ""

    def draw(self, text: str) -> None:
        """Show a text in place of the line before."""
        with self._lock:
            self._text = text
            print(f"\r\x1b[K{text}", end="", flush=True)

    def end(self) -> None:
        """Leave the line as it is and continue below it."""
        with self._lock:
            if self._text:
                print(flush=True)
            self._text = ""

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Take the line away for the duration of a block that prints."""
        with self._lock:
            if not self._text:
                yield
                return
            print("\r\x1b[K", end="", flush=True)
            try:
                yield
            finally:
                print(self._text, end="", flush=True)


live_line = LiveLine()
"""The live line of this process; empty where stdout is no terminal."""


class _Formatter(logging.Formatter):
    """Formats records with the package they come from: jobs.archive.job is "archive"."""

    def format(self, record: logging.LogRecord) -> str:
        parts = record.name.split(".")
        record.area = parts[1] if len(parts) > 1 else parts[0]
        return super().format(record)


class _StderrHandler(logging.Handler):
    """Writes to the stderr of the moment, above the live line."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            with live_line.lifted():
                print(line, file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


@contextmanager
def logging_to(options: LogOptions, *, verbose: bool) -> Iterator[None]:
    """Send the project's log records to stderr and to the configured file for the duration of a block.

    Within another such block this one has no effect, so that a job can run others.

    Args:
        options: level and file.
        verbose: log debug messages too, instead of the level in `options`.

    Raises:
        UserError: the file cannot be written.
    """
    loggers = [logging.getLogger(name) for name in PACKAGES]
    if any(isinstance(handler, _StderrHandler) for handler in loggers[0].handlers):
        yield
        return
    handlers: list[logging.Handler] = [_StderrHandler()]
    handlers[0].setLevel(logging.DEBUG if verbose else options.level.upper())
    if options.file:
        try:
            Path(options.file).expanduser().parent.mkdir(parents=True, exist_ok=True)
            handlers.append(logging.FileHandler(Path(options.file).expanduser(), encoding="utf-8"))
        except OSError as error:
            raise UserError(f"log.file = {options.file!r}: cannot be written ({error.strerror})") from error
    levels = [logger.level for logger in loggers]
    for handler in handlers:
        handler.setFormatter(_Formatter(_FORMAT, _TIME_FORMAT))
    for logger in loggers:
        logger.setLevel(min(handler.level for handler in handlers) or logging.DEBUG)
        for handler in handlers:
            logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
            for handler in handlers:
                logger.removeHandler(handler)
        for handler in handlers:
            handler.close()
