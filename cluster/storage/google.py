"""Google Cloud Storage, with Google's client."""

import functools
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

_TIMES: dict[str, Any] = {"timeout": (CONNECT_SECONDS, READ_SECONDS), "retry": None}


class GoogleStorage(ObjectStorage):
    """A prefix of a bucket of Google Cloud Storage.

    Credentials are Google's application default credentials: GOOGLE_APPLICATION_CREDENTIALS, those of gcloud, or the
    service account of the machine. STORAGE_EMULATOR_HOST names another server, without credentials.
    """

    scheme: ClassVar[str] = "gs"
    client: ClassVar[tuple[str, str] | None] = ("google.cloud.storage", "gcs")
    missing_bucket: ClassVar[str] = "404"
    missing: ClassVar[tuple[str, ...]] = ("404",)

    def request_page(self, prefix: str, own_files_only: bool, token: str | None, size: int) -> ObjectPage:
        """See `ObjectStorage.request_page`."""
        listing = _client(self.options).list_blobs(
            self._bucket(),
            prefix=prefix,
            delimiter="/" if own_files_only else None,
            page_token=token,
            page_size=size,
            fields="items(name,size),prefixes,nextPageToken",
            **_TIMES,
        )
        page = next(listing.pages, ())
        objects = [(blob.name, blob.size) for blob in page]
        return ObjectPage(objects, sorted(listing.prefixes), listing.next_page_token)

    def request_size(self, key: str) -> int:
        """See `ObjectStorage.request_size`."""
        blob = self._bucket().blob(key)
        blob.reload(**_TIMES)
        return int(blob.size)

    def request_bytes(self, key: str, part: range | None) -> bytes:
        """See `ObjectStorage.request_bytes`; objects that are stored compressed are returned as they are stored."""
        start, end = (part.start, part.stop - 1) if part else (None, None)
        content: bytes = self._bucket().blob(key).download_as_bytes(start=start, end=end, raw_download=True, **_TIMES)
        return content

    def request_write(self, key: str, data: bytes, content_type: str | None) -> None:
        """See `ObjectStorage.request_write`."""
        self._bucket().blob(key).upload_from_string(
            data, content_type=content_type or "application/octet-stream", **_TIMES
        )

    def request_delete(self, key: str) -> None:
        """See `ObjectStorage.request_delete`."""
        self._bucket().blob(key).delete(**_TIMES)

    def server(self) -> str:
        """See `ObjectStorage.server`."""
        return "Google Cloud Storage"

    def faults(self) -> tuple[type[Exception], ...]:
        """Return the exceptions of Google's client; those of its HTTP client surface if a body is cut off."""
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.exceptions import GoogleCloudError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        refusals = (GoogleAPICallError, GoogleCloudError, GoogleAuthError, InvalidResponse)
        return (*refusals, DataCorruption, RequestException, HTTPError)

    def is_transient(self, error: Exception) -> bool:
        """See `ObjectStorage.is_transient`."""
        from google.auth.exceptions import TransportError
        from google.cloud.storage.exceptions import DataCorruption
        from requests.exceptions import ChunkedEncodingError, ConnectionError, ContentDecodingError, Timeout
        from urllib3.exceptions import HTTPError

        if refusal := self.refusal(error):
            return refusal.code in map(str, TRANSIENT_STATUSES)
        network = (ConnectionError, Timeout, ChunkedEncodingError, ContentDecodingError, HTTPError)
        return isinstance(error, (TransportError, DataCorruption, *network))

    def refusal(self, error: Exception) -> Refusal | None:
        """See `ObjectStorage.refusal`."""
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import DefaultCredentialsError, RefreshError
        from google.cloud.storage.exceptions import InvalidResponse

        if isinstance(error, (DefaultCredentialsError, RefreshError)):
            return Refusal(type(error).__name__, str(error))
        if isinstance(error, InvalidResponse):
            return Refusal(str(int(error.response.status_code)), str(error))
        if not isinstance(error, GoogleAPICallError):
            return None
        url = getattr(error.response, "url", "")  # which the message repeats
        return Refusal(str(int(error.code)), error.message.rpartition(f"{url}: ")[2])

    def _bucket(self) -> Any:
        client = _client(self.options)
        return client.bucket(self.bucket, user_project=client.project if self.options.requester_pays else None)


@functools.cache
def _client(options: StorageOptions) -> Any:
    """Return the client of this process for a set of options, which its threads share."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage
    from requests.adapters import HTTPAdapter

    client = storage.Client(credentials=AnonymousCredentials()) if options.anonymous else storage.Client()
    client._http.mount("https://", HTTPAdapter(pool_maxsize=MAX_CONNECTIONS))
    return client
