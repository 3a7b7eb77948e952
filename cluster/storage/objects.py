"""A prefix of a bucket as a storage of whole files; what S3, Google Cloud Storage and Azure have in common."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from cluster.storage.advice import StorageError
from cluster.storage.listing import FolderListing, Page
from cluster.storage.local import Entry
from cluster.storage.options import StorageOptions
from cluster.storage.retries import Answer, with_retries
from colorize_core.errors import UserError
from colorize_core.formatting import first_line

if TYPE_CHECKING:
    from pyarrow import fs

CONNECT_SECONDS = 10
READ_SECONDS = 60
MAX_CONNECTIONS = 64
"""Connections that a client of a process keeps open."""
PAGE = 1000
"""Objects of one request of a listing."""
TRANSIENT_STATUSES = (408, 429, 500, 502, 503, 504)
"""Statuses of HTTP that tell of a busy server or a slow network rather than of a wrong request."""


class Refusal(NamedTuple):
    """Answer of a server that refused a request."""

    code: str
    message: str


class ObjectPage(NamedTuple):
    """Answer to one request of a listing."""

    objects: list[tuple[str, int]]
    """Full key and size in bytes."""
    folders: list[str]
    """Prefixes with a slash at the end, if the request had a delimiter."""
    next_token: str | None
    """Where the next page begins; None after the last."""


@dataclass(frozen=True)
class ObjectStorage(ABC):
    """A prefix of a bucket; the abstract methods are requests of one kind of server, made once."""

    bucket: str
    prefix: str
    options: StorageOptions

    scheme: ClassVar[str]
    """Scheme of its URIs."""
    bucket_name: ClassVar[str] = "bucket"
    """What the service calls a bucket."""
    client: ClassVar[tuple[str, str] | None] = None
    """Module of the service's client and the extra that installs it, if it is no part of the normal installation."""
    missing_bucket: ClassVar[str]
    """Code of the refusal where the bucket does not exist."""
    missing: ClassVar[tuple[str, ...]]
    """Codes of the refusal where an object does not exist."""

    @classmethod
    def require_client(cls) -> None:
        """Raise UserError if the service's client is not installed."""
        if cls.client and not _is_installed(cls.client[0]):
            raise UserError(
                f"{cls.scheme}:// needs a client that is not installed: pip install 'colorize[{cls.client[1]}]'"
            )

    @property
    def uri(self) -> str:
        """Location as a URI."""
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def filesystem(self) -> "fs.FileSystem":
        """File system object for pyarrow and Ray."""
        from pyarrow import fs

        from cluster.storage.arrow import ObjectHandler

        return fs.PyFileSystem(ObjectHandler(type(self), self.options))

    def path(self, key: str = "") -> str:
        """Return the path of a key on `filesystem`."""
        return "/".join(part for part in (self.bucket, self.prefix, key) if part)

    def child(self, key: str) -> "ObjectStorage":
        """Return the storage below a prefix."""
        return type(self)(self.bucket, self._full(key), self.options)

    def check(self) -> None:
        """List one key, with few attempts; raises StorageError if the server does not answer or refuses."""
        try:
            self._retry(lambda: self.request_page(self.prefix, False, None, 1), attempts=2)
        except self.faults() as error:
            if refusal := self.refusal(error):
                problem = f"there is no such {self.bucket_name}" if refusal.code == self.missing_bucket else "refused"
                raise StorageError(f"{self.uri}: {problem} ({self._one_line(error)})") from error
            raise StorageError(f"{self.uri}: {self.server()} cannot be reached ({self._one_line(error)})") from error

    def list(self) -> Iterator[Entry]:
        """Yield all objects below, sorted by key, from pages of 1,000."""
        for page in self.pages():
            yield from page.files

    def list_parallel(self, threads: int) -> Iterator[Entry]:
        """Yield all objects below in no particular order; folders are listed in parallel."""
        return FolderListing(self.pages, threads).entries()

    def pages(self, folder: str = "", own_files_only: bool = False) -> Iterator[Page]:
        """Yield pages of up to 1,000 objects below a folder ("" or "a/b/"), or directly in it; raises StorageError."""
        top = f"{self.prefix}/" if self.prefix else ""
        token, more = None, True
        while more:
            try:
                page = self._retry(partial(self.request_page, top + folder, own_files_only, token, PAGE))
            except self.faults() as error:
                raise StorageError(f"{self.uri}: cannot be listed ({self._one_line(error)})") from error
            found = ((key[len(top) :], size) for key, size in page.objects)
            files = [Entry(key, size) for key, size in found if key and not key.endswith("/")]
            yield Page(files, [name[len(top) :] for name in page.folders])
            token = page.next_token
            more = token is not None

    def exists(self, key: str) -> bool:
        """Return True if the object exists; raises OSError after all attempts."""
        try:
            self.entry(key)
        except FileNotFoundError:
            return False
        return True

    def entry(self, key: str) -> Entry:
        """Return key and size of an object; raises FileNotFoundError, or another OSError after all attempts."""
        return Entry(key, self._request(lambda: self.request_size(self._full(key))))

    def read(self, key: str, part: range | None = None) -> bytes:
        """Read an object, or the bytes of `part`; raises FileNotFoundError, or another OSError after all attempts."""
        return self._request(lambda: self.request_bytes(self._full(key), part))

    def write(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write a whole object, at most 5 GB, which appears when it is complete; raises OSError after all attempts."""
        try:
            self._request(lambda: self.request_write(self._full(key), data, content_type))
        except OSError as error:
            raise OSError(f"{self.uri}/{key}: cannot be written ({error})") from error

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is not an error. Raises OSError after all attempts."""
        with suppress(FileNotFoundError):
            self._request(lambda: self.request_delete(self._full(key)))

    def delete_half_written(self) -> None:  # noqa: B027 (not abstract: it is the same for all)
        """Do nothing: objects appear when they are whole."""

    @abstractmethod
    def request_page(self, prefix: str, own_files_only: bool, token: str | None, size: int) -> ObjectPage:
        """Return up to `size` objects below a prefix, or those without a further slash and the prefixes of others."""

    @abstractmethod
    def request_size(self, key: str) -> int:
        """Return the size of an object in bytes."""

    @abstractmethod
    def request_bytes(self, key: str, part: range | None) -> bytes:
        """Return an object, or the bytes of `part`."""

    @abstractmethod
    def request_write(self, key: str, data: bytes, content_type: str | None) -> None:
        """Write an object."""

    @abstractmethod
    def request_delete(self, key: str) -> None:
        """Delete an object."""

    @abstractmethod
    def server(self) -> str:
        """Return the name of the server for messages."""

    @abstractmethod
    def faults(self) -> tuple[type[Exception], ...]:
        """Return the exceptions of requests."""

    @abstractmethod
    def is_transient(self, error: Exception) -> bool:
        """Return True for an error of the network or of a busy server, rather than of the request."""

    @abstractmethod
    def refusal(self, error: Exception) -> Refusal | None:
        """Return what the server answered; None for errors without an answer, such as those of the connection."""

    def _request(self, request: Callable[[], Answer]) -> Answer:
        """Make a request for an object; raises OSError after all attempts."""
        try:
            return self._retry(request)
        except self.faults() as error:
            refusal = self.refusal(error)
            kind = FileNotFoundError if refusal and refusal.code in self.missing else OSError
            raise kind(self._one_line(error)) from error

    def _retry(self, request: Callable[[], Answer], attempts: int | None = None) -> Answer:
        return with_retries(request, attempts or self.options.max_attempts, self.is_transient)

    def _one_line(self, error: Exception) -> str:
        refusal = self.refusal(error)
        return first_line(f"{refusal.code}: {refusal.message}" if refusal else error)

    def _full(self, key: str) -> str:
        return "/".join(part for part in (self.prefix, key) if part)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that the module is in
        return False
