"""Reading many files of a store at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cluster.storage.stores import Storage

THREADS = 16


@dataclass(frozen=True)
class Fetched:
    """A file's content, or what was wrong with reading it."""

    data: bytes
    status: str = ""
    """missing or read_error; empty when the file was read."""
    error: str = ""
    """For people."""


def fetch_all(source: Storage, keys: Sequence[str]) -> list[Fetched]:
    """Read files by threads; one result per key, in order. Faults of single files are results."""

    def fetch(key: str) -> Fetched:
        try:
            return Fetched(source.read(key))
        except FileNotFoundError:
            return Fetched(b"", "missing", "deleted after it was listed")
        except OSError as error:
            return Fetched(b"", "read_error", str(error))

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(fetch, keys))
