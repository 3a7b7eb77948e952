"""Concurrent reading of many files from storage."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cluster.storage.stores import Storage
from colorize_core.status import Status

THREADS = 16
"""Concurrent requests of one process."""


@dataclass(frozen=True)
class Fetched:
    """Content of a file, or the reason why it could not be read."""

    data: bytes
    status: Status | None = None
    """MISSING or READ_ERROR; None if the file was read."""
    error: str = ""
    """Error message; empty if the file was read."""


def fetch_all(source: Storage, keys: Sequence[str]) -> list[Fetched]:
    """Read files concurrently; return one result per key, in order. A file that cannot be read is a result too."""

    def fetch(key: str) -> Fetched:
        try:
            return Fetched(source.read(key))
        except FileNotFoundError:
            return Fetched(b"", Status.MISSING, "deleted after it was listed")
        except OSError as error:
            return Fetched(b"", Status.READ_ERROR, str(error))

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(fetch, keys))
