"""A prefix of an S3 bucket as a storage of whole files."""

import functools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from cluster.storage.advice import StorageError
from cluster.storage.listing import FolderListing, Page
from cluster.storage.local import Entry
from colorize_core.errors import UserError
from colorize_core.formatting import first_line
from colorize_core.runtime.locations import S3

if TYPE_CHECKING:
    from pyarrow import fs

_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_FIRST_PAUSE, _MAX_PAUSE = 0.2, 20.0
_TRANSIENT_STATUSES = (429, 500, 502, 503, 504)
_TRANSIENT_CODES = ("RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "Throttling")
_NOT_FOUND = ("404", "NoSuchKey", "NotFound")

Answer = TypeVar("Answer")


class RedirectError(Exception):
    """The server redirects requests without naming a region, and boto3 follows in circles."""


class _Counter:
    """Counter that several threads increment."""

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


_retries = _Counter()


def take_retries() -> int:
    """Return the number of repeated requests of this process since the last call."""
    return _retries.take()


class StorageOptions(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Access to S3. Credentials come from the environment or the instance's role, never from the configuration."""

    endpoint: str | None = None
    """URL of an S3-compatible server; AWS when empty. AWS_ENDPOINT_URL is honored too."""
    region: str | None = None
    """Region of the bucket; AWS_REGION or AWS_DEFAULT_REGION when empty."""
    max_attempts: int = Field(10, ge=1)
    """Attempts per request, with growing random pauses in between, before it fails; ten attempts bridge an outage of
    half a minute."""
    anonymous: bool = False
    """Send no credentials, for public buckets."""
    path_style: bool = False
    """Put the bucket into the path of the URL instead of the host name, as some servers require."""
    requester_pays: bool = False
    """Pay for the requests to a requester-pays bucket."""
    encryption: Literal["AES256", "aws:kms"] | None = None
    """Server-side encryption of written objects; the bucket's default when empty."""
    kms_key: str | None = None
    """Id of the KMS key, for encryption=aws:kms."""


@dataclass(frozen=True)
class S3Storage:
    """A prefix of a bucket."""

    bucket: str
    prefix: str
    options: StorageOptions

    @property
    def uri(self) -> str:
        """Location as an s3:// URI."""
        return f"{S3}{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def filesystem(self) -> "fs.FileSystem":
        """File system object for pyarrow and Ray."""
        from pyarrow import fs

        from cluster.storage.arrow import S3Handler

        return fs.PyFileSystem(S3Handler(self.options))

    def path(self, key: str = "") -> str:
        """Return the path of a key on `filesystem`."""
        return "/".join(part for part in (self.bucket, self.prefix, key) if part)

    def child(self, key: str) -> "S3Storage":
        """Return the storage below a prefix."""
        return S3Storage(self.bucket, self._full(key), self.options)

    def check(self) -> None:
        """List one key, with few attempts; raises StorageError if the server does not answer or refuses."""
        from botocore.exceptions import ClientError, NoCredentialsError

        where = {"Bucket": self.bucket, "Prefix": self.prefix, **self._payer()}
        try:
            with_retries(lambda: _s3_client(self.options).list_objects_v2(**where, MaxKeys=1), attempts=2)
        except (ClientError, NoCredentialsError, RedirectError) as error:
            problem = "there is no such bucket" if _refusal(error).get("Code") == "NoSuchBucket" else "refused"
            raise StorageError(f"{self.uri}: {problem} ({_one_line(error)})") from error
        except _faults() as error:
            server = _endpoint(self.options) or "AWS S3"
            raise StorageError(f"{self.uri}: {server} cannot be reached ({_one_line(error)})") from error

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
        arguments = {"Bucket": self.bucket, "Prefix": top + folder, **self._payer()}
        if own_files_only:
            arguments["Delimiter"] = "/"
        client, more = _s3_client(self.options), True
        while more:
            try:
                answer = with_retries(lambda: client.list_objects_v2(**arguments), self.options.max_attempts)
            except _faults() as error:
                raise StorageError(f"{self.uri}: cannot be listed ({_one_line(error)})") from error
            found = ((item["Key"][len(top) :], item["Size"]) for item in answer.get("Contents", ()))
            files = [Entry(key, size) for key, size in found if key and not key.endswith("/")]
            yield Page(files, [item["Prefix"][len(top) :] for item in answer.get("CommonPrefixes", ())])
            more = answer.get("IsTruncated", False)
            arguments["ContinuationToken"] = answer.get("NextContinuationToken")

    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self.options.requester_pays else {}

    def exists(self, key: str) -> bool:
        """Return True if the object exists; raises OSError after all attempts."""
        try:
            self.entry(key)
        except FileNotFoundError:
            return False
        return True

    def entry(self, key: str) -> Entry:
        """Return key and size of an object; raises FileNotFoundError, or another OSError after all attempts."""
        return Entry(key, self._request("head_object", key)["ContentLength"])

    def read(self, key: str, part: range | None = None) -> bytes:
        """Read an object, or the bytes of `part`; raises FileNotFoundError, or another OSError after all attempts."""
        bounds = {"Range": f"bytes={part.start}-{part.stop - 1}"} if part else {}
        # The body arrives after the call has returned: boto3 does not retry a connection that breaks then.
        return self._request("get_object", key, finish=lambda answer: answer["Body"].read(), **bounds)

    def write(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write a whole object with one PUT, at most 5 GB; raises OSError after all attempts."""
        extra: dict[str, Any] = {"ContentType": content_type, "SSEKMSKeyId": self.options.kms_key}
        extra |= {"ServerSideEncryption": self.options.encryption}
        given = {name: value for name, value in extra.items() if value}
        try:
            self._request("put_object", key, Body=data, **given)
        except OSError as error:
            raise OSError(f"{self.uri}/{key}: cannot be written ({error})") from error

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is not an error. Raises OSError after all attempts."""
        self._request("delete_object", key)

    def delete_half_written(self) -> None:
        """Do nothing: objects appear when they are whole."""

    def _request(
        self, operation: str, key: str, finish: Callable[[Any], Any] = lambda answer: answer, **arguments: Any
    ) -> Any:
        """Perform an operation on an object and apply `finish` to the answer; raises OSError after all attempts."""
        send = getattr(_s3_client(self.options), operation)
        where = {"Bucket": self.bucket, "Key": self._full(key), **self._payer()}
        try:
            return with_retries(lambda: finish(send(**where, **arguments)), self.options.max_attempts)
        except _faults() as error:
            raise _os_error(error) from error

    def _full(self, key: str) -> str:
        return "/".join(part for part in (self.prefix, key) if part)


def _endpoint(options: StorageOptions) -> str | None:
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    given = {"storage.endpoint": options.endpoint} | {name: os.environ.get(name) for name in names}
    key, url = next(((key, url) for key, url in given.items() if url), ("", None))
    if url and not url.startswith(("http://", "https://")):
        raise UserError(f"{key}={url}: an endpoint must start with https:// or http://")
    return url


def _region(options: StorageOptions) -> str:
    environment = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return options.region or environment or "us-east-1"


@functools.cache
def _s3_client(options: StorageOptions) -> Any:
    """Return the client of this process for a set of options; boto3 clients can be shared between threads.

    Adaptive mode counts the answers of all threads and delays their requests when S3 answers SlowDown. Retries are
    left to `with_retries`: those of boto3 draw on a quota that a short outage uses up.
    """
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    style: dict[str, Any] = {"s3": {"addressing_style": "path"}} if options.path_style else {}
    if _endpoint(options):  # boto3 adds checksums that other servers may not know, Google Cloud Storage among them
        style |= dict.fromkeys(("request_checksum_calculation", "response_checksum_validation"), "when_required")
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


def with_retries(request: Callable[[], Answer], attempts: int) -> Answer:
    """Make a request up to `attempts` times while its errors are transient; raises the last error.

    Pauses are uniformly distributed between zero and a bound that doubles, so that clients that failed together do not
    return together ("full jitter": Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015).
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return request()
        except Exception as error:
            if _is_recursion(error):
                raise RedirectError("the server redirected the request and named no region") from None
            if attempt >= attempts or not _is_transient(error):
                raise
        _retries.add()
        time.sleep(random.uniform(0, min(_MAX_PAUSE, _FIRST_PAUSE * 2**attempt)))


def _is_recursion(error: BaseException | None) -> bool:
    """Return True if the recursion limit caused an error; botocore wraps it where its HTTP client reaches the limit."""
    while error and not isinstance(error, RecursionError):
        error = error.__cause__ or error.__context__
    return error is not None


def _faults() -> tuple[type[Exception], ...]:
    """Return the exceptions of boto3. Errors of its HTTP client surface if the body of an error response is cut off."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return BotoCoreError, ClientError, HTTPError, RedirectError


def _is_transient(error: Exception) -> bool:
    """Return True for an error of the network or of a busy server, rather than of the request."""
    from botocore import exceptions
    from urllib3.exceptions import HTTPError

    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status in _TRANSIENT_STATUSES or error.response["Error"].get("Code") in _TRANSIENT_CODES
    damaged = (exceptions.IncompleteReadError, exceptions.FlexibleChecksumError, HTTPError)
    return isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError, *damaged))


def _os_error(error: Exception) -> OSError:
    return (
        FileNotFoundError(_one_line(error)) if _refusal(error).get("Code") in _NOT_FOUND else OSError(_one_line(error))
    )


def _one_line(error: Exception) -> str:
    refusal = _refusal(error)
    return first_line(f"{refusal.get('Code')}: {refusal.get('Message')}" if refusal else error)


def _refusal(error: Exception) -> dict[str, str]:
    """Return code and message of the server; empty for connection errors, whose `response` is None."""
    return (getattr(error, "response", None) or {}).get("Error", {})
