"""A prefix of an S3 bucket as a store of whole files."""

import functools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from cluster.errors import ClusterError
from cluster.storage.listing import FolderListing, Page
from cluster.storage.local import Entry

if TYPE_CHECKING:
    from pyarrow import fs

S3 = "s3://"
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 20.0
_PASSING_STATUSES = (429, 500, 502, 503, 504)
_PASSING_CODES = ("RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "Throttling")
_NOT_FOUND = ("404", "NoSuchKey", "NotFound")

Answer = TypeVar("Answer")


class _Tally:
    """A count that threads add to."""

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


_retries = _Tally()


def take_retries() -> int:
    """How many requests this process has made again since this was last asked."""
    return _retries.take()


class StorageOptions(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """How to reach S3. Credentials come from the environment or the instance's role, never from here."""

    endpoint: str | None = None
    """URL of an S3-compatible server; AWS when empty. AWS_ENDPOINT_URL is honored too."""
    region: str | None = None
    """Region of the bucket; AWS_REGION or AWS_DEFAULT_REGION when empty."""
    max_attempts: int = Field(10, ge=1)
    """Tries of a read or write, with growing random pauses between them, before it counts as failed; ten ride out
    half a minute."""
    anonymous: bool = False
    """Send no credentials: for public buckets."""
    path_style: bool = False
    """Name the bucket in the path of the URL instead of its host, as some servers need."""
    requester_pays: bool = False
    """Agree to pay for requests to a bucket that asks for it."""
    encryption: Literal["AES256", "aws:kms"] | None = None
    """Server-side encryption of what is written; the bucket's own default when empty."""
    kms_key: str | None = None
    """Key id for encryption: aws:kms."""


@dataclass(frozen=True)
class S3Storage:
    """A prefix of a bucket."""

    bucket: str
    prefix: str
    options: StorageOptions

    @property
    def uri(self) -> str:
        """The location as an s3:// URI."""
        return f"{S3}{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def filesystem(self) -> "fs.FileSystem":
        """For pyarrow and Ray; one PUT for each small object."""
        from pyarrow import fs

        endpoint = _endpoint(self.options)
        return fs.S3FileSystem(
            endpoint_override=endpoint,
            scheme="http" if (endpoint or "").startswith("http://") else "https",
            region=_region(self.options),
            anonymous=self.options.anonymous,
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
        from botocore.exceptions import ClientError

        where = {"Bucket": self.bucket, "Prefix": self.prefix, **self._payer()}
        try:
            _insist(lambda: _s3_client(self.options).list_objects_v2(**where, MaxKeys=1), attempts=2)
        except ClientError as error:
            raise ClusterError(f"{self.uri}: refused ({error.response['Error'].get('Code', error)})") from error
        except _faults() as error:
            server = _endpoint(self.options) or "AWS S3"
            raise ClusterError(f"{self.uri}: {server} cannot be reached ({_one_line(error)})") from error

    def list(self) -> Iterator[Entry]:
        """All objects below, in the order of their keys; 1,000 at a time."""
        for page in self._pages("", False):
            yield from page.files

    def list_parallel(self, threads: int) -> Iterator[Entry]:
        """All objects below, in no order, by many listings at once where folders divide the keys."""
        return FolderListing(self._pages, threads).entries()

    def _pages(self, folder: str, own_files_only: bool) -> Iterator[Page]:
        """Listings of up to 1,000 objects of a folder ("" or "a/b/"); raises ClusterError."""
        top = f"{self.prefix}/" if self.prefix else ""
        arguments = {"Bucket": self.bucket, "Prefix": top + folder, **self._payer()}
        if own_files_only:
            arguments["Delimiter"] = "/"
        client, more = _s3_client(self.options), True
        while more:
            try:
                answer = _insist(lambda: client.list_objects_v2(**arguments), self.options.max_attempts)
            except _faults() as error:
                raise ClusterError(f"{self.uri}: cannot be listed ({_one_line(error)})") from error
            found = ((item["Key"][len(top) :], item["Size"]) for item in answer.get("Contents", ()))
            files = [Entry(key, size) for key, size in found if key and not key.endswith("/")]
            yield Page(files, [item["Prefix"][len(top) :] for item in answer.get("CommonPrefixes", ())])
            more = answer.get("IsTruncated", False)
            arguments["ContinuationToken"] = answer.get("NextContinuationToken")

    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self.options.requester_pays else {}

    def exists(self, key: str) -> bool:
        """Whether there is an object; raises OSError after all tries."""
        try:
            self._request("head_object", key)
        except FileNotFoundError:
            return False
        return True

    def read(self, key: str) -> bytes:
        """A whole object; raises FileNotFoundError or another OSError after all tries."""
        # The body comes after the call has returned: a connection that breaks by then is ours to mend, not boto3's.
        return self._request("get_object", key, finish=lambda answer: answer["Body"].read())

    def write(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write a whole object with one PUT; raises OSError after all tries."""
        extra: dict[str, Any] = {"ContentType": content_type, "SSEKMSKeyId": self.options.kms_key}
        extra |= {"ServerSideEncryption": self.options.encryption}
        self._request("put_object", key, Body=data, **{name: value for name, value in extra.items() if value})

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error. Raises OSError after all tries."""
        self._request("delete_object", key)

    def _request(
        self, operation: str, key: str, finish: Callable[[Any], Any] = lambda answer: answer, **arguments: Any
    ) -> Any:
        """One operation on an object, with what `finish` makes of its answer; raises OSError after all tries."""
        send = getattr(_s3_client(self.options), operation)
        where = {"Bucket": self.bucket, "Key": self._full(key), **self._payer()}
        try:
            return _insist(lambda: finish(send(**where, **arguments)), self.options.max_attempts)
        except _faults() as error:
            raise _os_error(error) from error

    def _full(self, key: str) -> str:
        return "/".join(part for part in (self.prefix, key) if part)


def _endpoint(options: StorageOptions) -> str | None:
    return options.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _region(options: StorageOptions) -> str:
    environment = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return options.region or environment or "us-east-1"


@functools.cache
def _s3_client(options: StorageOptions) -> Any:
    """One client per process and set of options; boto3 clients are safe to share between threads.

    Its adaptive mode counts the answers of all threads and holds their requests back once S3 says SlowDown. Trying
    again is left to `_insist`: boto3 does it from a quota that a short outage uses up, and stops then.
    """
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    style = {"s3": {"addressing_style": "path"}} if options.path_style else {}
    return boto3.client(
        "s3",
        endpoint_url=_endpoint(options),
        region_name=_region(options),
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "adaptive", "total_max_attempts": 1},
            max_pool_connections=64,
            **({"signature_version": UNSIGNED} if options.anonymous else {}),
            **style,
        ),
    )


def _insist(request: Callable[[], Answer], attempts: int) -> Answer:
    """Make a request up to `attempts` times, while its faults are such as pass; raises the last one.

    Pauses are drawn evenly from nothing to a bound that doubles, so that those who failed together do not come back
    together ("full jitter": Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015).
    """
    for attempt in range(1, attempts):
        try:
            return request()
        except Exception as error:
            if not _may_pass(error):
                raise
        _retries.add()
        time.sleep(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)))
    return request()


def _faults() -> tuple[type[Exception], ...]:
    """What boto3 raises. The errors of its HTTP client escape it where the body of a refusal breaks off."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return BotoCoreError, ClientError, HTTPError


def _may_pass(error: Exception) -> bool:
    """Whether a fault is one of the network or of a busy server, not of the request."""
    from botocore import exceptions
    from urllib3.exceptions import HTTPError

    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status in _PASSING_STATUSES or error.response["Error"].get("Code") in _PASSING_CODES
    damaged = (exceptions.IncompleteReadError, exceptions.FlexibleChecksumError, HTTPError)
    return isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError, *damaged))


def _os_error(error: Exception) -> OSError:
    return (
        FileNotFoundError(_one_line(error)) if _refusal(error).get("Code") in _NOT_FOUND else OSError(_one_line(error))
    )


def _one_line(error: Exception) -> str:
    refusal = _refusal(error)
    said = f"{refusal.get('Code')}: {refusal.get('Message')}" if refusal else str(error)
    return said.splitlines()[0][:200] if said else type(error).__name__


def _refusal(error: Exception) -> dict[str, str]:
    """Code and message of the server's; empty for faults of the connection, whose `response` is None."""
    return (getattr(error, "response", None) or {}).get("Error", {})
