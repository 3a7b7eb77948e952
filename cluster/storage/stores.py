"""Storage by location: a local directory or an `s3://` prefix behind one small interface.

Objects are read and written whole: one GET, one PUT, never a stream that could leave a partial object. A storage is a
value that can be pickled into Ray tasks; connections are opened where they are used.
"""

from cluster.storage.local import LINK, UNREADABLE, Entry, LocalStorage
from cluster.storage.s3 import S3Storage, StorageOptions
from colorize_core.errors import UserError
from colorize_core.runtime.locations import S3, normalize_location

__all__ = [
    "LINK",
    "UNREADABLE",
    "Entry",
    "LocalStorage",
    "S3Storage",
    "Storage",
    "StorageOptions",
    "open_storage",
    "reach",
    "read_location",
]

Storage = LocalStorage | S3Storage


def open_storage(location: str, options: StorageOptions) -> Storage:
    """Return the storage at a location, without connecting to it or creating it.

    Raises:
        UserError: a scheme that is not supported (`normalize_location`), or no bucket.
    """
    normalized = normalize_location(location)
    if not normalized.startswith(S3):
        return LocalStorage(normalized)
    bucket, _, prefix = normalized.removeprefix(S3).partition("/")
    if not bucket:
        raise UserError(f"{location}: an s3:// location requires a bucket (s3://BUCKET/PREFIX)")
    return S3Storage(bucket, prefix.rstrip("/"), options)


def reach(options: StorageOptions, *locations: str) -> list[Storage]:
    """Open the storages at several locations and check that they answer; raises ClusterError."""
    stores = [open_storage(location, options) for location in locations]
    for store in stores:
        store.check()
    return stores


def read_location(location: str, options: StorageOptions) -> bytes:
    """Read the file at a location; raises UserError if it cannot be read."""
    folder, slash, name = location.rpartition("/")
    try:
        return open_storage(folder or slash or ".", options).read(name)
    except OSError as error:
        raise UserError(f"{location}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
