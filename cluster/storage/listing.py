"""Listing a store of many folders by many threads."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from cluster.storage.local import Entry

DEEPEST = 2
"""Folders this deep are listed with all they hold, so that an archive of a folder per photograph does not cost a
request per photograph."""
_PAGES_AHEAD = 64


@dataclass(frozen=True)
class Page:
    """What one request of a listing found."""

    files: list[Entry]
    folders: list[str]
    """Sub-folders, where the request asked not to descend into them."""


class FolderListing:
    """Lists a tree: each thread takes a folder, lists its own files, and leaves its sub-folders to others."""

    def __init__(self, list_folder: Callable[[str, bool], Iterator[Page]], threads: int) -> None:
        """Start at the top, the folder "".

        Args:
            list_folder: pages of a folder, of its own files alone (True) or of all it holds (False).
            threads: how many list at once.
        """
        self._list_folder = list_folder
        self._todo: queue.Queue[tuple[str, int] | None] = queue.Queue()
        self._found: queue.Queue[list[Entry] | Exception | None] = queue.Queue(_PAGES_AHEAD)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._open = 1  # folders that were found and not yet listed
        self._todo.put(("", 0))
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def entries(self) -> Iterator[Entry]:
        """What the threads find, in no order; a fault of one of them is raised here."""
        try:
            while (found := self._found.get()) is not None:
                if isinstance(found, Exception):
                    raise found
                yield from found
        finally:
            self._stop()

    def _stop(self) -> None:
        """Let the threads end, also when nobody reads on."""
        self._stopped.set()
        for _ in self._threads:
            self._todo.put(None)

    def _work(self) -> None:
        while (folder := self._todo.get()) is not None:
            try:
                self._list(*folder)
            except Exception as error:
                self._give(error)
            with self._lock:
                self._open -= 1
                last = self._open == 0
            if last:
                self._give(None)

    def _list(self, folder: str, depth: int) -> None:
        for page in self._list_folder(folder, depth < DEEPEST):
            with self._lock:
                self._open += len(page.folders)
            for inner in page.folders:
                self._todo.put((inner, depth + 1))
            if page.files:
                self._give(page.files)
            if self._stopped.is_set():
                return

    def _give(self, found: list[Entry] | Exception | None) -> None:
        given = False
        while not given and not self._stopped.is_set():
            with suppress(queue.Full):
                self._found.put(found, timeout=0.2)
                given = True
