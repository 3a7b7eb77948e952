"""Object storage as a file system of pyarrow, with the clients and the options of `ObjectStorage`.

pyarrow has clients of its own. That of S3 knows neither server-side encryption nor requester-pays buckets (apache/arrow
issues 34253 and 38492), and all of them retry other errors than `with_retries`. Shards, checkpoints and the uploads of
Ray Train pass through this file system, so all requests of a job are made by one client.
"""

import io
from pathlib import PurePosixPath

import pyarrow as pa
from pyarrow import fs

from cluster.storage.local import Entry
from cluster.storage.objects import ObjectStorage
from cluster.storage.options import StorageOptions

_READ_BYTES = 8 << 20
"""Bytes of a request while a file is read from start to end."""


class ObjectHandler(fs.FileSystemHandler):
    """What pyarrow asks of a file system; paths are BUCKET/KEY. Directories exist while objects lie below them."""

    def __init__(self, kind: type[ObjectStorage], options: StorageOptions) -> None:
        """Keep the kind of storage and its options; nothing is opened."""
        self.kind, self.options = kind, options

    def __eq__(self, other: object) -> bool:
        """Return True for a handler of the same kind of storage with the same options."""
        return isinstance(other, ObjectHandler) and (other.kind, other.options) == (self.kind, self.options)

    def __hash__(self) -> int:
        """Hash the kind of storage and its options."""
        return hash((self.kind, self.options))

    def get_type_name(self) -> str:
        """Return the name of the kind of file system."""
        return self.kind.scheme

    def normalize_path(self, path: str) -> str:
        """Return the path unchanged: every character is part of a key."""
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        """Return kind and size of each path."""
        return [self._info(path) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        """Return the files and directories below a directory; raises FileNotFoundError if there is none."""
        base = selector.base_dir.rstrip("/")
        files: list[fs.FileInfo] = []
        folders: set[str] = set()
        for page in self._storage(base).pages(own_files_only=not selector.recursive):
            files += [_file(f"{base}/{entry.key}", entry.size) for entry in page.files]
            folders.update(folder.rstrip("/") for folder in page.folders)
            folders.update(parent for entry in page.files for parent in _parents(entry.key))
        if not files and not folders and not selector.allow_not_found:
            raise FileNotFoundError(selector.base_dir)
        return files + [fs.FileInfo(f"{base}/{name}", fs.FileType.Directory) for name in sorted(folders)]

    def create_dir(self, path: str, recursive: bool) -> None:
        """Do nothing."""

    def delete_dir(self, path: str) -> None:
        """Delete all objects below a path."""
        storage = self._storage(path)
        for entry in list(storage.list()):
            storage.delete(entry.key)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """Delete all objects below a path."""
        self.delete_dir(path)

    def delete_file(self, path: str) -> None:
        """Delete an object."""
        storage, key = self._object(path)
        storage.delete(key)

    def open_input_file(self, path: str) -> pa.PythonFile:
        """Open an object for reading at any place; raises FileNotFoundError or another OSError."""
        storage, key = self._object(path)
        return pa.PythonFile(_ObjectReader(storage, storage.entry(key)), mode="r")

    def open_input_stream(self, path: str) -> pa.PythonFile:
        """Open an object for reading from start to end; raises FileNotFoundError or another OSError."""
        storage, key = self._object(path)
        reader = _ObjectReader(storage, storage.entry(key))
        return pa.PythonFile(io.BufferedReader(reader, min(_READ_BYTES, max(reader.size, 1))), mode="r")

    def open_output_stream(self, path: str, metadata: object) -> pa.PythonFile:
        """Open an object for writing; it is written with one PUT when the stream is closed."""
        return pa.PythonFile(_ObjectWriter(*self._object(path)), mode="w")

    def delete_root_dir_contents(self) -> None:
        """Refuse."""
        raise OSError("a whole object storage cannot be deleted")

    def move(self, source: str, target: str) -> None:
        """Refuse: object storage cannot rename, and no job does."""
        raise OSError(f"{source}: object storage cannot rename")

    def copy_file(self, source: str, target: str) -> None:
        """Copy an object, at most 5 GB in memory."""
        with self.open_input_stream(source) as read, self.open_output_stream(target, None) as written:
            written.write(read.read())

    def open_append_stream(self, path: str, metadata: object) -> pa.PythonFile:
        """Refuse: object storage cannot append."""
        raise OSError(f"{path}: object storage cannot append")

    def _storage(self, path: str) -> ObjectStorage:
        bucket, _, prefix = path.rstrip("/").partition("/")
        return self.kind(bucket, prefix, self.options)

    def _object(self, path: str) -> tuple[ObjectStorage, str]:
        bucket, _, key = path.partition("/")
        return self.kind(bucket, "", self.options), key

    def _info(self, path: str) -> fs.FileInfo:
        storage, key = self._object(path)
        if key and not key.endswith("/"):
            try:
                return _file(path, storage.entry(key).size)
            except FileNotFoundError:
                pass
        is_folder = next(self._storage(path).list(), None) is not None
        return fs.FileInfo(path, fs.FileType.Directory if is_folder else fs.FileType.NotFound)


def _parents(key: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(key).parents][:-1]


def _file(path: str, size: int) -> fs.FileInfo:
    return fs.FileInfo(path, fs.FileType.File, size=size)


class _ObjectReader(io.RawIOBase):
    """Random access to an object; each read is one request."""

    def __init__(self, storage: ObjectStorage, entry: Entry) -> None:
        self._storage, self._key, self.size = storage, entry.key, entry.size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self.size if size < 0 else min(self._position + size, self.size)
        if end <= self._position:
            return b""
        data = self._storage.read(self._key, range(self._position, end))
        self._position += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _ObjectWriter(io.RawIOBase):
    """Content of an object, in memory until it is closed."""

    def __init__(self, storage: ObjectStorage, key: str) -> None:
        self._storage, self._key = storage, key
        self._content = io.BytesIO()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._content.tell()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self._content.write(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._storage.write(self._key, self._content.getvalue())
