"""Lock that allows one run at a time on an output: a file with a heartbeat, which works on any storage."""

import json
import logging
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

_FILE = "_state/lock.json"
HEARTBEAT_SECONDS = 5.0
TIMEOUT_SECONDS = 3 * HEARTBEAT_SECONDS
"""A lock without a heartbeat for this long is stale."""

_log = logging.getLogger(__name__)


class OutputLock:
    """Context manager that locks an output.

    The lock of another run is valid as long as its heartbeat changes; the clocks of two machines are never compared. A
    lock of a process of this machine that has ended is replaced at once.
    """

    def __init__(self, output: Storage) -> None:
        """Prepare a lock for `output`; nothing is written yet."""
        self._output = output
        self._holder = {"run": uuid4().hex, "host": platform.node(), "pid": os.getpid()}
        self._beats = 0
        self._ended = threading.Event()
        self._successor = ""
        self._thread = threading.Thread(target=self._beat_until_end, daemon=True)

    def __enter__(self) -> "OutputLock":
        """Acquire the lock; raises UserError if another run holds it."""
        other = self._read()
        if other and not _has_ended(other) and self._is_active(other):
            raise UserError(
                f"{self._output.uri}: another run is writing to this output (process {other.get('pid')} on "
                f"{other.get('host')}); wait until it ends, or use another output"
            )
        self._beat()
        self._verify()  # detects a run that acquired the lock at the same moment
        self.check()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        self._ended.set()
        self._thread.join()
        if not self._successor:
            self._output.delete(_FILE)

    def check(self) -> None:
        """Raise ClusterError if another run has acquired the lock in the meantime."""
        if self._successor:
            raise ClusterError(
                f"{self._output.uri}: another run has taken over this output ({self._successor}); this run stops"
            )

    def _verify(self) -> None:
        holder = self._read()
        if holder and holder.get("run") != self._holder["run"]:
            self._successor = f"process {holder.get('pid')} on {holder.get('host')}"

    def _read(self) -> dict[str, Any] | None:
        try:
            return json.loads(self._output.read(_FILE))
        except (FileNotFoundError, ValueError):
            return None

    def _is_active(self, other: dict[str, Any]) -> bool:
        _log.warning(
            "%s: locked by another run; waiting %.0f s to check whether it is still active",
            self._output.uri,
            TIMEOUT_SECONDS,
        )
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.5)
            current = self._read()
            if current is None:
                return False
            if current != other:
                return True
        return False

    def _beat(self) -> None:
        self._beats += 1
        self._output.write(_FILE, json.dumps(self._holder | {"beats": self._beats}).encode(), "application/json")

    def _beat_until_end(self) -> None:
        while not self._successor and not self._ended.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # a permanent failure of the storage surfaces in the run itself
                self._verify()
                if not self._successor:
                    self._beat()


def _has_ended(holder: dict[str, Any]) -> bool:
    """Return True if the holder was a process of this machine that has ended."""
    if holder.get("host") != platform.node() or not isinstance(holder.get("pid"), int):
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
