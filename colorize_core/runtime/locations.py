"""Locations as users write them: a path, file:// or s3:// and its variants."""

import os
import re
from urllib.parse import unquote

from colorize_core.errors import UserError

S3 = "s3://"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ONE_SLASH = re.compile(r"(s3|s3a|s3n|gs|az|file|https?):/(?!/)", re.IGNORECASE)
_S3_SCHEMES = ("s3", "s3a", "s3n")
_UNSUPPORTED = {
    ("gs", "gcs"): "for Google Cloud Storage, use s3://BUCKET/PREFIX with storage.endpoint="
    "https://storage.googleapis.com and HMAC keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ("az", "abfs", "abfss", "wasb", "wasbs", "adl"): "for Azure, mount the container (blobfuse2) on every node",
    (
        "http",
        "https",
    ): "download the files, or use s3://BUCKET/PREFIX with storage.endpoint for an S3-compatible server",
}


def normalize_location(location: str) -> str:
    """Return a location as an s3:// URI or an absolute local path.

    Args:
        location: local path, where ~ is the home directory; file:// URL; or s3:// URI, also written s3a:// or s3n://
            as Hadoop does, in any case.

    Raises:
        UserError: another scheme; the message says what to use instead.
    """
    if found := _ONE_SLASH.match(location):
        raise UserError(f"{location}: write {found[1].lower()}:// with two slashes")
    found = _SCHEME.match(location)
    scheme, rest = (found[1].lower(), location[found.end() :]) if found else ("", location)
    if scheme in _S3_SCHEMES:
        return f"{S3}{rest}"
    if scheme == "file":
        host, slash, path = rest.partition("/")
        if host not in ("", "localhost") or not slash:
            raise UserError(f"{location}: a file:// URL must name a path of this machine, file:///PATH")
        return os.path.abspath(unquote(f"/{path}"))
    if scheme:
        hint = next((hint for schemes, hint in _UNSUPPORTED.items() if scheme in schemes), "use a path or an s3:// URI")
        raise UserError(f"{location}: {scheme}:// is not supported; {hint}")
    return os.path.abspath(os.path.expanduser(location))
