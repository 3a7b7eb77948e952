"""Storage by location: a local directory or a prefix in an object storage behind one small interface.

Objects are read and written whole: one GET, one PUT, never a stream that could leave a partial object. A storage is a
value that can be pickled into Ray tasks; connections are opened where they are used.
"""

from cluster.storage.azure import AzureStorage
from cluster.storage.google import GoogleStorage
from cluster.storage.local import LINK, UNREADABLE, Entry, LocalStorage
from cluster.storage.objects import ObjectStorage
from cluster.storage.options import StorageOptions
from cluster.storage.s3 import S3Storage
from colorize_core.errors import UserError
from colorize_core.runtime.locations import REMOTE, normalize_location

__all__ = [
    "LINK",
    "UNREADABLE",
    "Entry",
    "LocalStorage",
    "ObjectStorage",
    "S3Storage",
    "Storage",
    "StorageOptions",
    "copy_file",
    "open_storage",
    "reach",
    "read_location",
]

Storage = LocalStorage | ObjectStorage
_KINDS: dict[str, type[ObjectStorage]] = {kind.scheme: kind for kind in (S3Storage, GoogleStorage, AzureStorage)}


def open_storage(location: str, options: StorageOptions) -> Storage:
    """Return the storage at a location, without connecting to it or creating it.

    Raises:
        UserError: a scheme that is not supported (`normalize_location`), a client that is not installed, or no bucket.
    """
    normalized = normalize_location(location)
    if not normalized.startswith(REMOTE):
        return LocalStorage(normalized)
    scheme, _, rest = normalized.partition("://")
    bucket, _, prefix = rest.partition("/")
    kind = _KINDS[scheme]
    if not bucket:
        raise UserError(
            f"{location}: {scheme}:// needs a {kind.bucket_name} ({scheme}://{kind.bucket_name.upper()}/PREFIX)"
        )
    kind.require_client()
    return kind(bucket, prefix.rstrip("/"), options)


def reach(options: StorageOptions, *locations: str) -> list[Storage]:
    """Open the storages at several locations and check that they answer; raises ClusterError."""
    stores = [open_storage(location, options) for location in locations]
    for store in stores:
        store.check()
    return stores


def copy_file(source: Storage, source_key: str, target: Storage, key: str, content_type: str | None = None) -> None:
    """Copy a file from one storage to another; S3 copies by itself. Raises OSError."""
    if isinstance(source, S3Storage) and isinstance(target, S3Storage):
        target.copy_from(source, source_key, key)
    else:
        target.write(key, source.read(source_key), content_type)


def read_location(location: str, options: StorageOptions) -> bytes:
    """Read the file at a location; raises UserError if it cannot be read."""
    folder, slash, name = location.rpartition("/")
    try:
        return open_storage(folder or slash or ".", options).read(name)
    except OSError as error:
        raise UserError(f"{location}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
