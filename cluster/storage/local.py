"""A directory as a store of whole files."""

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


@dataclass(frozen=True)
class Entry:
    """One file of a listing."""

    key: str
    """Path relative to the store, with forward slashes."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class LocalStorage:
    """A directory of this machine, or of a file system that all machines of a cluster share."""

    root: str

    @property
    def uri(self) -> str:
        """The location as the user wrote it, absolute."""
        return self.root

    @property
    def filesystem(self) -> "fs.FileSystem":
        """For pyarrow and Ray."""
        from pyarrow import fs

        return fs.LocalFileSystem()

    def path(self, key: str = "") -> str:
        """A key as a path on `filesystem`; raises OSError for a key that would lead out of the store or is no path."""
        if key.startswith("/") or ".." in key.split("/"):
            raise OSError(f"unsafe key {key!r}: it leads out of {self.root}")
        if "\0" in key:
            raise OSError(f"impossible key {key!r}: no file name can hold a zero byte")
        return os.path.join(self.root, key) if key else self.root

    def child(self, key: str) -> "LocalStorage":
        """The store below a prefix."""
        return LocalStorage(self.path(key))

    def check(self) -> None:
        """Nothing to reach."""

    def list(self) -> Iterator[Entry]:
        """All files below, in the order of their keys within each directory (`_as_text` of their names)."""
        for directory, folders, files in os.walk(self.root):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(directory, name)
                key = os.path.relpath(path, self.root).replace(os.sep, "/")
                yield Entry(_as_text(key), os.stat(path, follow_symlinks=False).st_size)

    def list_parallel(self, threads: int) -> Iterator[Entry]:
        """All files below: a directory tree is read by one thread."""
        return self.list()

    def exists(self, key: str) -> bool:
        """Whether there is a file."""
        return os.path.isfile(self.path(key))

    def read(self, key: str) -> bytes:
        """A whole file; raises FileNotFoundError or another OSError."""
        path = os.fsencode(self.path(key))
        return Path(os.fsdecode(path if os.path.exists(path) else _raw_bytes(path))).read_bytes()

    def write(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write a whole file: it appears complete or not at all; raises OSError."""
        target = Path(self.path(key))
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(scratch, 0o666 & ~_umask())
            os.replace(scratch, target)
        except BaseException:
            os.unlink(scratch)
            raise

    def delete(self, key: str) -> None:
        """Remove a file; one that is not there is no error."""
        Path(self.path(key)).unlink(missing_ok=True)


@functools.cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _as_text(name: str) -> str:
    r"""A name from the operating system as text that tables can hold: bytes that are not UTF-8 become \xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _raw_bytes(path: bytes) -> bytes:
    """What `_as_text` was made of."""
    return re.sub(rb"\\x([89a-f][0-9a-f])", lambda escape: bytes.fromhex(escape[1].decode()), path)
