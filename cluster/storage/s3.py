"""S3 and servers that speak its protocol, with boto3."""

import functools
import os
from typing import Any, ClassVar

from cluster.storage.objects import (
    CONNECT_SECONDS,
    MAX_CONNECTIONS,
    READ_SECONDS,
    TRANSIENT_STATUSES,
    ObjectPage,
    ObjectStorage,
    Refusal,
)
from cluster.storage.options import StorageOptions
from colorize_core.errors import UserError

_TRANSIENT_CODES = ("RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "Throttling")


class RedirectError(Exception):
    """The server redirects requests without naming a region, and boto3 follows in circles."""


class S3Storage(ObjectStorage):
    """A prefix of a bucket of S3."""

    scheme: ClassVar[str] = "s3"
    missing_bucket: ClassVar[str] = "NoSuchBucket"
    missing: ClassVar[tuple[str, ...]] = ("404", "NoSuchKey", "NotFound")

    def request_page(self, prefix: str, own_files_only: bool, token: str | None, size: int) -> ObjectPage:
        """See `ObjectStorage.request_page`."""
        arguments: dict[str, Any] = {"Bucket": self.bucket, "Prefix": prefix, "MaxKeys": size, **self._payer()}
        if own_files_only:
            arguments["Delimiter"] = "/"
        if token is not None:
            arguments["ContinuationToken"] = token
        answer = self._send("list_objects_v2", **arguments)
        objects = [(item["Key"], item["Size"]) for item in answer.get("Contents", ())]
        folders = [item["Prefix"] for item in answer.get("CommonPrefixes", ())]
        return ObjectPage(objects, folders, answer.get("NextContinuationToken") if answer.get("IsTruncated") else None)

    def request_size(self, key: str) -> int:
        """See `ObjectStorage.request_size`."""
        return int(self._send_for("head_object", key)["ContentLength"])

    def request_bytes(self, key: str, part: range | None) -> bytes:
        """See `ObjectStorage.request_bytes`."""
        bounds = {"Range": f"bytes={part.start}-{part.stop - 1}"} if part else {}
        # The body arrives after the call has returned: boto3 does not retry a connection that breaks then.
        content: bytes = self._send_for("get_object", key, **bounds)["Body"].read()
        return content

    def request_write(self, key: str, data: bytes, content_type: str | None) -> None:
        """See `ObjectStorage.request_write`."""
        kind = {"ContentType": content_type} if content_type else {}
        self._send_for("put_object", key, Body=data, **kind, **self._encryption())

    def copy_from(self, source: "S3Storage", source_key: str, key: str) -> None:
        """Copy an object of the same server, at most 5 GB, without reading it; raises OSError after all attempts."""
        origin = {"Bucket": source.bucket, "Key": source._full(source_key)}
        try:
            self._request(
                lambda: self._send_for("copy_object", self._full(key), CopySource=origin, **self._encryption())
            )
        except OSError as error:
            raise OSError(f"{self.uri}/{key}: cannot be copied ({error})") from error

    def request_delete(self, key: str) -> None:
        """See `ObjectStorage.request_delete`."""
        self._send_for("delete_object", key)

    def server(self) -> str:
        """See `ObjectStorage.server`."""
        return _endpoint(self.options) or "AWS S3"

    def faults(self) -> tuple[type[Exception], ...]:
        """Return the exceptions of boto3. Its HTTP client's surface if the body of an error response is cut off."""
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        return BotoCoreError, ClientError, HTTPError, RedirectError

    def is_transient(self, error: Exception) -> bool:
        """See `ObjectStorage.is_transient`."""
        from botocore import exceptions
        from urllib3.exceptions import HTTPError

        if isinstance(error, exceptions.ClientError):
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status in TRANSIENT_STATUSES or error.response["Error"].get("Code") in _TRANSIENT_CODES
        damaged = (exceptions.IncompleteReadError, exceptions.FlexibleChecksumError, HTTPError)
        return isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError, *damaged))

    def refusal(self, error: Exception) -> Refusal | None:
        """See `ObjectStorage.refusal`; `response` is None in connection errors."""
        from botocore.exceptions import NoCredentialsError

        if isinstance(error, RedirectError):
            return Refusal("PermanentRedirect", str(error))
        if isinstance(error, NoCredentialsError):
            return Refusal("NoCredentials", str(error))
        answer = (getattr(error, "response", None) or {}).get("Error")
        return Refusal(str(answer.get("Code")), str(answer.get("Message"))) if answer else None

    def _send_for(self, operation: str, key: str, **arguments: Any) -> Any:
        return self._send(operation, Bucket=self.bucket, Key=key, **self._payer(), **arguments)

    def _send(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(_client(self.options), operation)(**arguments)
        except Exception as error:
            if _is_recursion(error):
                raise RedirectError("the server redirected the request and named no region") from None
            raise

    def _encryption(self) -> dict[str, str]:
        given = {"ServerSideEncryption": self.options.encryption, "SSEKMSKeyId": self.options.kms_key}
        return {name: value for name, value in given.items() if value}

    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self.options.requester_pays else {}


def _is_recursion(error: BaseException | None) -> bool:
    """Return True if the recursion limit caused an error; botocore wraps it where its HTTP client reaches the limit."""
    while error and not isinstance(error, RecursionError):
        error = error.__cause__ or error.__context__
    return error is not None


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
def _client(options: StorageOptions) -> Any:
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
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "adaptive", "total_max_attempts": 1},
            max_pool_connections=MAX_CONNECTIONS,
            **({"signature_version": UNSIGNED} if options.anonymous else {}),
            **style,
        ),
    )
