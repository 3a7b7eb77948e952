"""A directory as a storage of whole files."""

import functools
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow import fs


_SCRATCH = ".writing-"
"""Prefix of the names of files that are being written."""
UNREADABLE, LINK = "folder that cannot be read", "link to a folder"


@dataclass(frozen=True)
class Entry:
    """One file of a listing, or a local folder that was not listed."""

    key: str
    """Path relative to the storage, with forward slashes."""
    size: int
    """Size in bytes; -1 if it is not known."""
    not_listed: str = ""
    """UNREADABLE or LINK for a folder whose files were not listed, whose key ends with a slash."""


@dataclass(frozen=True)
class LocalStorage:
    """A directory of this machine, or of a file system that all machines of a cluster mount."""

    root: str

    @property
    def uri(self) -> str:
        """Absolute path."""
        return self.root

    @property
    def filesystem(self) -> "fs.FileSystem":
        """File system object for pyarrow and Ray."""
        from pyarrow import fs

        return fs.LocalFileSystem()

    def path(self, key: str = "") -> str:
        """Return the path of a key on `filesystem`; raises OSError for a key that is outside the root or not a path."""
        if key.startswith("/") or ".." in key.split("/"):
            raise OSError(f"unsafe key {key!r}: it is outside {self.root}")
        if "\0" in key:
            raise OSError(f"invalid key {key!r}: a file name cannot contain a zero byte")
        return os.path.join(self.root, key) if key else self.root

    def child(self, key: str) -> "LocalStorage":
        """Return the storage below a prefix."""
        return LocalStorage(self.path(key))

    def check(self) -> None:
        """Do nothing: a directory needs no connection."""

    def list(self) -> Iterator[Entry]:
        """Yield all files below, sorted by name within each directory; keys are `_as_text` of the names.

        Half-written files, of writes in progress or of processes that were killed, are not files yet.
        """
        return (entry for entry in self.walk() if not entry.not_listed)

    def walk(self, *, follow_links: bool = False) -> Iterator[Entry]:
        """Yield all files below as `list` does, and the folders that were not listed.

        Args:
            follow_links: also list folders that symbolic links name, each folder once: a link to a folder that is being
                listed already ends there.
        """
        unreadable: list[str] = []
        visited = {_identity(self.root)}
        walker = os.walk(
            self.root, onerror=lambda error: unreadable.append(str(error.filename)), followlinks=follow_links
        )
        for directory, folders, files in walker:
            for name in sorted(folders):
                path = os.path.join(directory, name)
                is_repeated = follow_links and _identity(path) in visited
                if is_repeated or (not follow_links and os.path.islink(path)):
                    yield Entry(f"{self._key(path)}/", -1, LINK)
                    folders.remove(name)
                elif follow_links:
                    visited.add(_identity(path))
            folders.sort()
            for name in sorted(files):
                path = os.path.join(directory, name)
                if name.startswith(_SCRATCH):
                    continue
                try:
                    size = os.stat(path, follow_symlinks=False).st_size
                except FileNotFoundError:  # deleted since the folder was read
                    continue
                yield Entry(self._key(path), size)
        for path in unreadable:
            yield Entry(f"{self._key(path)}/", -1, UNREADABLE)

    def _key(self, path: str) -> str:
        return _as_text(os.path.relpath(path, self.root).replace(os.sep, "/"))

    def exists(self, key: str) -> bool:
        """Return True if the file exists."""
        return os.path.isfile(self.path(key))

    def read(self, key: str) -> bytes:
        """Read a whole file; raises FileNotFoundError or another OSError."""
        path = os.fsencode(self.path(key))
        if key.endswith("/"):
            os.listdir(path)
            raise IsADirectoryError(f"{key}: a folder that could not be read when it was listed; list it in a new run")
        return Path(os.fsdecode(path if os.path.exists(path) else _raw_bytes(path))).read_bytes()

    def write(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write a whole file atomically; raises OSError, which names the file."""
        target = Path(self.path(key))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=_SCRATCH)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.chmod(scratch, 0o666 & ~_umask())
                os.replace(scratch, target)
            except BaseException:
                os.unlink(scratch)
                raise
        except OSError as error:
            if error.errno is None:
                raise
            raise type(error)(error.errno, error.strerror, str(target)) from error

    def delete(self, key: str) -> None:
        """Delete a file; a missing file is not an error."""
        Path(self.path(key)).unlink(missing_ok=True)

    def delete_half_written(self) -> None:
        """Delete the half-written files of processes that were killed; no process may be writing."""
        for path in Path(self.root).rglob(f"{_SCRATCH}*"):
            path.unlink(missing_ok=True)


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)
    except OSError:  # a file or link that has just been deleted
        return None
    return found.st_dev, found.st_ino


@functools.cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _as_text(name: str) -> str:
    r"""Return a file name as text that tables can contain: bytes that are not UTF-8 become \xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _raw_bytes(path: bytes) -> bytes:
    """Invert `_as_text`."""
    return re.sub(rb"\\x([89a-f][0-9a-f])", lambda escape: bytes.fromhex(escape[1].decode()), path)
