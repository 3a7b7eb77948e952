"""A prefix of an S3 bucket as a store of whole files."""

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from cluster.errors import ClusterError
from cluster.listing import FolderListing, Page
from cluster.local import Entry

if TYPE_CHECKING:
    from pyarrow import fs

S3 = "s3://"
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
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            client = _s3_client(self.options, attempts=2)
            client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1, **self._payer())
        except ClientError as error:
            raise ClusterError(f"{self.uri}: refused ({error.response['Error'].get('Code', error)})") from error
        except BotoCoreError as error:
            where = _endpoint(self.options) or "AWS S3"
            raise ClusterError(f"{self.uri}: {where} cannot be reached ({_one_line(error)})") from error

    def list(self) -> Iterator[Entry]:
        """All objects below, in the order of their keys; 1,000 at a time."""
        for page in self._pages("", False):
            yield from page.files

    def list_parallel(self, threads: int) -> Iterator[Entry]:
        """All objects below, in no order, by many listings at once where folders divide the keys."""
        return FolderListing(self._pages, threads).entries()

    def _pages(self, folder: str, own_files_only: bool) -> Iterator[Page]:
        """Listings of up to 1,000 objects of a folder ("" or "a/b/"); raises ClusterError."""
        from botocore.exceptions import BotoCoreError, ClientError

        top = f"{self.prefix}/" if self.prefix else ""
        arguments = {"Bucket": self.bucket, "Prefix": top + folder, **self._payer()}
        if own_files_only:
            arguments["Delimiter"] = "/"
        try:
            for answer in _s3_client(self.options).get_paginator("list_objects_v2").paginate(**arguments):
                found = ((item["Key"][len(top) :], item["Size"]) for item in answer.get("Contents", ()))
                files = [Entry(key, size) for key, size in found if key and not key.endswith("/")]
                yield Page(files, [item["Prefix"][len(top) :] for item in answer.get("CommonPrefixes", ())])
        except (BotoCoreError, ClientError) as error:
            raise ClusterError(f"{self.uri}: cannot be listed ({_one_line(error)})") from error

    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self.options.requester_pays else {}

    def exists(self, key: str) -> bool:
        """Whether there is an object."""
        from botocore.exceptions import ClientError

        try:
            _s3_client(self.options).head_object(Bucket=self.bucket, Key=self._full(key), **self._payer())
        except ClientError as error:
            if error.response["Error"].get("Code") in ("404", "NoSuchKey", "NotFound"):
                return False
            raise _os_error(error) from error
        return True

    def read(self, key: str) -> bytes:
        """A whole object; raises FileNotFoundError or another OSError after all tries."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = _s3_client(self.options).get_object(Bucket=self.bucket, Key=self._full(key), **self._payer())
            return answer["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise _os_error(error) from error

    def write(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write a whole object with one PUT; raises OSError after all tries."""
        from botocore.exceptions import BotoCoreError, ClientError

        extra = {"ContentType": content_type, "SSEKMSKeyId": self.options.kms_key}
        extra |= {"ServerSideEncryption": self.options.encryption, **self._payer()}
        extra = {name: value for name, value in extra.items() if value}
        try:
            _s3_client(self.options).put_object(Bucket=self.bucket, Key=self._full(key), Body=data, **extra)
        except (BotoCoreError, ClientError) as error:
            raise _os_error(error) from error

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            _s3_client(self.options).delete_object(Bucket=self.bucket, Key=self._full(key), **self._payer())
        except (BotoCoreError, ClientError) as error:
            raise _os_error(error) from error

    def _full(self, key: str) -> str:
        return "/".join(part for part in (self.prefix, key) if part)


def _endpoint(options: StorageOptions) -> str | None:
    return options.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _region(options: StorageOptions) -> str:
    environment = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return options.region or environment or "us-east-1"


@functools.cache
def _s3_client(options: StorageOptions, attempts: int | None = None) -> Any:
    """One client per process and set of options; boto3 clients are safe to share between threads."""
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
            retries={"mode": "adaptive", "total_max_attempts": attempts or options.max_attempts},
            max_pool_connections=64,
            **({"signature_version": UNSIGNED} if options.anonymous else {}),
            **style,
        ),
    )


def _os_error(error: Exception) -> OSError:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    return FileNotFoundError(str(error)) if code in ("404", "NoSuchKey", "NotFound") else OSError(_one_line(error))


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
