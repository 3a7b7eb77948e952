"""One run at a time on an output: a file with a heartbeat, which works on any store."""

import json
import os
import platform
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any
from uuid import uuid4

from cluster.errors import ClusterError
from cluster.storage.stores import Storage
from colorize_core.errors import UserError
from jobs.command.console import say

_FILE = "_state/lock.json"
HEARTBEAT_SECONDS = 5.0
_SILENT_SECONDS = 3 * HEARTBEAT_SECONDS


class OutputLock:
    """Holds an output for the duration of a block.

    Another run's lock is respected while its heartbeat goes on; the clocks of two machines are never compared. A lock
    whose process was on this machine and is gone is taken over at once.
    """

    def __init__(self, output: Storage) -> None:
        """Name the holder; nothing is written yet."""
        self._output = output
        self._me = {"run": uuid4().hex, "host": platform.node(), "pid": os.getpid()}
        self._beats = 0
        self._ended = threading.Event()
        self._lost = ""
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> "OutputLock":
        """Take the lock; raises UserError when another run holds it."""
        other = self._read()
        if other and not _is_gone(other) and self._is_beating(other):
            raise UserError(
                f"{self._output.uri}: another run works on it (process {other.get('pid')} on {other.get('host')}); "
                "wait for it, or use another output"
            )
        self._beat()
        self._verify()  # two that start at once see each other here
        self.check()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self._ended.set()
        self._thread.join()
        if not self._lost:
            self._output.delete(_FILE)

    def check(self) -> None:
        """Raise ClusterError when another run has taken the output over."""
        if self._lost:
            raise ClusterError(f"{self._output.uri}: taken over by another run ({self._lost}); this one stops")

    def _verify(self) -> None:
        holder = self._read()
        if holder and holder.get("run") != self._me["run"]:
            self._lost = f"process {holder.get('pid')} on {holder.get('host')}"

    def _read(self) -> dict[str, Any] | None:
        try:
            return json.loads(self._output.read(_FILE))
        except (FileNotFoundError, ValueError):
            return None

    def _is_beating(self, other: dict[str, Any]) -> bool:
        say(f"{self._output.uri}: has the lock of another run; waiting {_SILENT_SECONDS:.0f} s to see whether it lives")
        deadline = time.monotonic() + _SILENT_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now = self._read()
            if now is None:
                return False
            if now != other:
                return True
        return False

    def _beat(self) -> None:
        self._beats += 1
        self._output.write(_FILE, json.dumps(self._me | {"beats": self._beats}).encode(), "application/json")

    def _keep(self) -> None:
        while not self._lost and not self._ended.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # where the store does not answer for good, the run itself will find out
                self._verify()
                if not self._lost:
                    self._beat()


def _is_gone(other: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    if other.get("host") != platform.node() or not isinstance(other.get("pid"), int):
        return False
    try:
        os.kill(other["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
