"""Listing of a storage with many folders by many threads."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from cluster.storage.local import Entry

MAX_DEPTH = 2
"""Depth from which folders are listed recursively by one request, so that an archive with one folder per photograph
does not cost a request per photograph."""
_PAGES_AHEAD = 64


@dataclass(frozen=True)
class Page:
    """Result of one request of a listing."""

    files: list[Entry]
    folders: list[str]
    """Subfolders, if the request did not descend into them."""


class FolderListing:
    """Parallel listing of a tree: each thread lists one folder and queues its subfolders for all threads."""

    def __init__(self, list_folder: Callable[[str, bool], Iterator[Page]], threads: int) -> None:
        """Start the threads at the top folder, "".

        Args:
            list_folder: returns pages of a folder: of its own files only (True), or of everything below it (False).
            threads: number of threads.
        """
        self._list_folder = list_folder
        self._todo: queue.Queue[tuple[str, int] | None] = queue.Queue()
        self._found: queue.Queue[list[Entry] | Exception | None] = queue.Queue(_PAGES_AHEAD)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._open = 1  # folders that were found but not listed yet
        self._todo.put(("", 0))
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def entries(self) -> Iterator[Entry]:
        """Yield the files in no particular order; raises the first error of a thread."""
        try:
            while (found := self._found.get()) is not None:
                if isinstance(found, Exception):
                    raise found
                yield from found
        finally:
            self._stop()

    def _stop(self) -> None:
        """End the threads, even if not everything was read."""
        self._stopped.set()
        for _ in self._threads:
            self._todo.put(None)

    def _work(self) -> None:
        while (folder := self._todo.get()) is not None:
            try:
                self._list(*folder)
            except Exception as error:
                self._put(error)
            with self._lock:
                self._open -= 1
                last = self._open == 0
            if last:
                self._put(None)

    def _list(self, folder: str, depth: int) -> None:
        for page in self._list_folder(folder, depth < MAX_DEPTH):
            with self._lock:
                self._open += len(page.folders)
            for inner in page.folders:
                self._todo.put((inner, depth + 1))
            if page.files:
                self._put(page.files)
            if self._stopped.is_set():
                return

    def _put(self, found: list[Entry] | Exception | None) -> None:
        done = False
        while not done and not self._stopped.is_set():
            with suppress(queue.Full):
                self._found.put(found, timeout=0.2)
                done = True
