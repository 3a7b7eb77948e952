"""Storage by location: a local directory or an `s3://` prefix behind one small interface.

Objects are read and written whole: one GET, one PUT, never a stream that could leave a partial object. A storage is a
value that can be pickled into Ray tasks; connections are opened where they are used.
"""

import os

from cluster.errors import ClusterError
from cluster.storage.local import Entry, LocalStorage
from cluster.storage.s3 import S3, S3Storage, StorageOptions

__all__ = ["Entry", "LocalStorage", "S3Storage", "Storage", "StorageOptions", "open_storage", "reach"]

Storage = LocalStorage | S3Storage


def open_storage(location: str, options: StorageOptions) -> Storage:
    """Return the storage at a local path or an s3:// URI, without connecting to it or creating it."""
    if not location.startswith(S3):
        return LocalStorage(os.path.abspath(os.path.expanduser(location)))
    bucket, _, prefix = location[len(S3) :].partition("/")
    if not bucket:
        raise ClusterError(f"{location}: an s3:// location requires a bucket (s3://BUCKET/PREFIX)")
    return S3Storage(bucket, prefix.strip("/"), options)


def reach(options: StorageOptions, *locations: str) -> list[Storage]:
    """Open the storages at several locations and check that they answer; raises ClusterError."""
    stores = [open_storage(location, options) for location in locations]
    for store in stores:
        store.check()
    return stores
