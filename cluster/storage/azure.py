"""Azure Blob Storage, with Microsoft's client."""

import functools
import os
from typing import Any, ClassVar

from cluster.storage.objects import (
    CONNECT_SECONDS,
    READ_SECONDS,
    TRANSIENT_STATUSES,
    ObjectPage,
    ObjectStorage,
    Refusal,
)
from cluster.storage.options import StorageOptions
from colorize_core.errors import UserError

_CONNECTION, _ACCOUNT = "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT"
_KEY, _TOKEN = "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"


class AzureStorage(ObjectStorage):
    """A prefix of a container of Azure Blob Storage.

    The account and its credentials come from the variables of Azure's command line: AZURE_STORAGE_CONNECTION_STRING, or
    AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, or the identity of the machine or user.
    """

    scheme: ClassVar[str] = "az"
    bucket_name: ClassVar[str] = "container"
    client: ClassVar[tuple[str, str] | None] = ("azure.storage.blob", "azure")
    missing_bucket: ClassVar[str] = "ContainerNotFound"
    missing: ClassVar[tuple[str, ...]] = ("BlobNotFound", "ResourceNotFound", "404")

    def request_page(self, prefix: str, own_files_only: bool, token: str | None, size: int) -> ObjectPage:
        """See `ObjectStorage.request_page`."""
        from azure.storage.blob import BlobPrefix

        options = {"name_starts_with": prefix, "results_per_page": size}
        container = self._container()
        found = container.walk_blobs(delimiter="/", **options) if own_files_only else container.list_blobs(**options)
        pages = found.by_page(token)
        page = list(next(pages, ()))
        objects = [(blob.name, blob.size) for blob in page if not isinstance(blob, BlobPrefix)]
        folders = [blob.name for blob in page if isinstance(blob, BlobPrefix)]
        return ObjectPage(objects, folders, pages.continuation_token or None)

    def request_size(self, key: str) -> int:
        """See `ObjectStorage.request_size`."""
        return int(self._container().get_blob_client(key).get_blob_properties().size)

    def request_bytes(self, key: str, part: range | None) -> bytes:
        """See `ObjectStorage.request_bytes`."""
        bounds = {"offset": part.start, "length": len(part)} if part else {}
        content: bytes = self._container().get_blob_client(key).download_blob(**bounds).readall()
        return content

    def request_write(self, key: str, data: bytes, content_type: str | None) -> None:
        """See `ObjectStorage.request_write`."""
        from azure.storage.blob import ContentSettings

        settings = ContentSettings(content_type=content_type) if content_type else None
        self._container().get_blob_client(key).upload_blob(data, overwrite=True, content_settings=settings)

    def request_delete(self, key: str) -> None:
        """See `ObjectStorage.request_delete`."""
        self._container().get_blob_client(key).delete_blob(delete_snapshots="include")

    def server(self) -> str:
        """See `ObjectStorage.server`."""
        return _client(self.options).url.partition("?")[0].rstrip("/")

    def faults(self) -> tuple[type[Exception], ...]:
        """See `ObjectStorage.faults`."""
        from azure.core.exceptions import AzureError

        return (AzureError,)

    def is_transient(self, error: Exception) -> bool:
        """See `ObjectStorage.is_transient`."""
        from azure.core.exceptions import HttpResponseError, IncompleteReadError, ServiceRequestError
        from azure.core.exceptions import ServiceResponseError as NoAnswerError

        if isinstance(error, (ServiceRequestError, NoAnswerError, IncompleteReadError)):
            return True
        # Without a status, the connection broke while the body of an answer was read.
        return isinstance(error, HttpResponseError) and error.status_code in (None, *TRANSIENT_STATUSES)

    def refusal(self, error: Exception) -> Refusal | None:
        """See `ObjectStorage.refusal`."""
        from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

        if isinstance(error, HttpResponseError) and error.status_code:
            code = getattr(error, "error_code", None) or error.status_code
            return Refusal(getattr(code, "value", None) or str(code), error.reason or str(error))
        return Refusal("NoCredentials", str(error)) if isinstance(error, ClientAuthenticationError) else None

    def _container(self) -> Any:
        return _client(self.options).get_container_client(self.bucket)


@functools.cache
def _client(options: StorageOptions) -> Any:
    """Return the client of this process for a set of options, which its threads share."""
    from azure.storage.blob import BlobServiceClient

    times = {"connection_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS, "retry_total": 0}
    connection, account = os.environ.get(_CONNECTION), os.environ.get(_ACCOUNT)
    if connection:
        return BlobServiceClient.from_connection_string(connection, **times)
    if not account:
        raise UserError(f"az:// locations need the storage account: set {_ACCOUNT} or {_CONNECTION}")
    return BlobServiceClient(
        f"https://{account}.blob.core.windows.net", None if options.anonymous else _credential(), **times
    )


def _credential() -> Any:
    if secret := os.environ.get(_KEY) or os.environ.get(_TOKEN):
        return secret
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()
