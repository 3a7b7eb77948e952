"""Storage by location: a local directory or an `s3://` prefix behind one small interface.

Objects are read and written whole: one GET, one PUT, never a stream that could leave half an object behind. A store
is a value that can be pickled into Ray tasks; connections are opened where they are used.
"""

import functools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from cluster.errors import ClusterError

if TYPE_CHECKING:
    from pyarrow import fs

_S3 = "s3://"
_CONNECT_SECONDS = 10
_READ_SECONDS = 60


class StorageOptions(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """How to reach S3. Credentials come from the environment or the instance's role, never from here."""

    endpoint: str | None = None
    """URL of an S3-compatible server; AWS when empty. AWS_ENDPOINT_URL is honoured too."""
    region: str | None = None
    """Region of the bucket; AWS_REGION or AWS_DEFAULT_REGION when empty."""
    max_attempts: int = 10
    """Tries per request, with growing pauses, before a read or write counts as failed."""


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
        """A key as a path on `filesystem`; raises OSError for a key that would lead out of the store."""
        if key.startswith("/") or ".." in key.split("/"):
            raise OSError(f"unsafe key {key!r}: it leads out of {self.root}")
        return os.path.join(self.root, key) if key else self.root

    def child(self, key: str) -> "LocalStorage":
        """The store below a prefix."""
        return LocalStorage(self.path(key))

    def check(self) -> None:
        """Nothing to reach."""

    def list(self) -> Iterator[Entry]:
        """All files below, in the order of their keys within each directory."""
        for directory, folders, files in os.walk(self.root):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(directory, name)
                key = os.path.relpath(path, self.root).replace(os.sep, "/")
                yield Entry(key, os.stat(path, follow_symlinks=False).st_size)

    def exists(self, key: str) -> bool:
        """Whether there is a file."""
        return os.path.isfile(self.path(key))

    def read(self, key: str) -> bytes:
        """A whole file; raises FileNotFoundError or another OSError."""
        return Path(self.path(key)).read_bytes()

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


@functools.cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@dataclass(frozen=True)
class S3Storage:
    """A prefix of a bucket."""

    bucket: str
    prefix: str
    options: StorageOptions

    @property
    def uri(self) -> str:
        """The location as an s3:// URI."""
        return f"{_S3}{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def filesystem(self) -> "fs.FileSystem":
        """For pyarrow and Ray; one PUT for each small object."""
        from pyarrow import fs

        endpoint = _endpoint(self.options)
        return fs.S3FileSystem(
            endpoint_override=endpoint,
            scheme="http" if (endpoint or "").startswith("http://") else "https",
            region=_region(self.options),
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_READ_SECONDS,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=self.options.max_attempts),
            allow_delayed_open=True,
        )

    def path(self, key: str = "") -> str:
        """A key as a path on `filesystem`."""
        return "/".join(part for part in (self.bucket, self.prefix, key) if part)

    def child(self, key: str) -> "S3Storage":
        """The store below a prefix."""
        return S3Storage(self.bucket, self._full(key), self.options)

    def check(self) -> None:
        """Ask for one key, quickly; raises ClusterError when the store does not answer or refuses."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            _s3_client(self.options, attempts=2).list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)
        except ClientError as error:
            raise ClusterError(f"{self.uri}: refused ({error.response['Error'].get('Code', error)})") from error
        except BotoCoreError as error:
            where = _endpoint(self.options) or "AWS S3"
            raise ClusterError(f"{self.uri}: {where} cannot be reached ({_one_line(error)})") from error

    def list(self) -> Iterator[Entry]:
        """All objects below, in the order of their keys; 1,000 at a time."""
        below = f"{self.prefix}/" if self.prefix else ""
        pages = _s3_client(self.options).get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=below)
        for page in pages:
            for item in page.get("Contents", ()):
                key = item["Key"][len(below) :]
                if key and not key.endswith("/"):
                    yield Entry(key, item["Size"])

    def exists(self, key: str) -> bool:
        """Whether there is an object."""
        from botocore.exceptions import ClientError

        try:
            _s3_client(self.options).head_object(Bucket=self.bucket, Key=self._full(key))
        except ClientError as error:
            if error.response["Error"].get("Code") in ("404", "NoSuchKey", "NotFound"):
                return False
            raise _os_error(error) from error
        return True

    def read(self, key: str) -> bytes:
        """A whole object; raises FileNotFoundError or another OSError after all tries."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return _s3_client(self.options).get_object(Bucket=self.bucket, Key=self._full(key))["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise _os_error(error) from error

    def write(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write a whole object with one PUT; raises OSError after all tries."""
        from botocore.exceptions import BotoCoreError, ClientError

        extra = {"ContentType": content_type} if content_type else {}
        try:
            _s3_client(self.options).put_object(Bucket=self.bucket, Key=self._full(key), Body=data, **extra)
        except (BotoCoreError, ClientError) as error:
            raise _os_error(error) from error

    def _full(self, key: str) -> str:
        return "/".join(part for part in (self.prefix, key) if part)


Storage = LocalStorage | S3Storage


def open_storage(location: str, options: StorageOptions) -> Storage:
    """The store at a local path or an s3:// URI. Nothing is contacted or created."""
    if not location.startswith(_S3):
        return LocalStorage(os.path.abspath(os.path.expanduser(location)))
    bucket, _, prefix = location[len(_S3) :].partition("/")
    if not bucket:
        raise ClusterError(f"{location}: an s3:// location needs a bucket (s3://BUCKET/PREFIX)")
    return S3Storage(bucket, prefix.strip("/"), options)


def reach(options: StorageOptions, *locations: str) -> list[Storage]:
    """Open the stores at several locations and make sure that they answer; raises ClusterError."""
    stores = [open_storage(location, options) for location in locations]
    for store in stores:
        store.check()
    return stores


def _endpoint(options: StorageOptions) -> str | None:
    return options.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _region(options: StorageOptions) -> str:
    environment = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return options.region or environment or "us-east-1"


@functools.cache
def _s3_client(options: StorageOptions, attempts: int | None = None) -> Any:
    """One client per process and set of options; boto3 clients are safe to share between threads."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=_endpoint(options),
        region_name=_region(options),
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "adaptive", "total_max_attempts": attempts or options.max_attempts},
            max_pool_connections=64,
        ),
    )


def _os_error(error: Exception) -> OSError:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    return FileNotFoundError(str(error)) if code in ("404", "NoSuchKey", "NotFound") else OSError(_one_line(error))


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
