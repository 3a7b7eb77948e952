"""Repetition of requests after transient errors, counted for the job's metrics."""

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

_FIRST_PAUSE, _MAX_PAUSE = 0.2, 20.0

Answer = TypeVar("Answer")


class _Counter:
    """Counter that several threads increment."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self._count += 1

    def take(self) -> int:
        with self._lock:
            taken, self._count = self._count, 0
        return taken


_retries = _Counter()


def take_retries() -> int:
    """Return the number of repeated requests of this process since the last call."""
    return _retries.take()


def with_retries(request: Callable[[], Answer], attempts: int, is_transient: Callable[[Exception], bool]) -> Answer:
    """Make a request up to `attempts` times while its errors are transient; raises the last error.

    Pauses are uniformly distributed between zero and a bound that doubles, so that clients that failed together do not
    return together ("full jitter": Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015).
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return request()
        except Exception as error:
            if attempt >= attempts or not is_transient(error):
                raise
        _retries.add()
        time.sleep(random.uniform(0, min(_MAX_PAUSE, _FIRST_PAUSE * 2**attempt)))
