"""Locations as users write them: a path, file://, or a URI of an object storage."""

import os
import re
from urllib.parse import unquote

from colorize_core.errors import UserError

S3, GOOGLE, AZURE = "s3://", "gs://", "az://"
REMOTE = (S3, GOOGLE, AZURE)
"""Beginnings of normalized locations in object storage."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ONE_SLASH = re.compile(r"(s3|s3a|s3n|gs|az|file|https?):/(?!/)", re.IGNORECASE)
_REMOTE_SCHEMES = {"s3": S3, "s3a": S3, "s3n": S3, "gs": GOOGLE, "gcs": GOOGLE, "az": AZURE}
_UNSUPPORTED = {
    ("abfs", "abfss", "wasb", "wasbs", "adl"): "for Azure, use az://CONTAINER/PREFIX with AZURE_STORAGE_ACCOUNT in the "
    "environment",
    (
        "http",
        "https",
    ): "download the files, or use s3://BUCKET/PREFIX with storage.endpoint for an S3-compatible server",
}


def normalize_location(location: str) -> str:
    """Return a location as an s3://, gs:// or az:// URI or an absolute local path.

    Args:
        location: local path, where ~ is the home directory; file:// URL; or URI of an object storage in any case: s3://,
            also written s3a:// or s3n:// as Hadoop does, gs:// or az://.

    Raises:
        UserError: another scheme; the message says what to use instead.
    """
    if found := _ONE_SLASH.match(location):
        raise UserError(f"{location}: write {found[1].lower()}:// with two slashes")
    found = _SCHEME.match(location)
    scheme, rest = (found[1].lower(), location[found.end() :]) if found else ("", location)
    if scheme in _REMOTE_SCHEMES:
        return f"{_REMOTE_SCHEMES[scheme]}{rest}"
    if scheme == "file":
        host, slash, path = rest.partition("/")
        if host not in ("", "localhost") or not slash:
            raise UserError(f"{location}: a file:// URL must name a path of this machine, file:///PATH")
        return os.path.abspath(unquote(f"/{path}"))
    if scheme:
        default = "use a path or an s3://, gs:// or az:// URI"
        hint = next((hint for schemes, hint in _UNSUPPORTED.items() if scheme in schemes), default)
        raise UserError(f"{location}: {scheme}:// is not supported; {hint}")
    return os.path.abspath(os.path.expanduser(location))
