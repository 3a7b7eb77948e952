"""Reading of files by path or URI, for code that runs without a cluster, and errors of reading."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import fs

from colorize_core.errors import UserError
from colorize_core.formatting import first_line
from colorize_core.runtime.locations import AZURE, REMOTE, normalize_location


def locate(path_or_uri: str, filesystem: fs.FileSystem | None = None) -> tuple[fs.FileSystem, str]:
    """Resolve a location to a pyarrow file system and a path on it.

    Args:
        path_or_uri: a location as of `normalize_location`, or a path on `filesystem` if that is given.
        filesystem: an open file system, configured by the caller (endpoint, retries). Without one, pyarrow's own
            clients are used: S3 takes its endpoint from AWS_ENDPOINT_URL, and credentials come from the environment.

    Raises:
        UserError: the scheme is not supported, or the URI cannot be opened.
    """
    if filesystem is not None:
        return filesystem, path_or_uri
    location = normalize_location(path_or_uri)
    if not location.startswith(REMOTE):
        return fs.LocalFileSystem(), location
    if location.startswith(AZURE):
        raise UserError(f"{path_or_uri}: az:// is not supported here; give a path or an s3:// or gs:// URI")
    try:
        return fs.FileSystem.from_uri(location)
    except Exception as error:
        raise UserError(f"{path_or_uri}: not a location that can be opened ({error})") from error


def read_file(path_or_uri: str, filesystem: fs.FileSystem | None = None) -> bytes:
    """Read a whole file; raises UserError if it does not exist or cannot be read."""
    system, path = locate(path_or_uri, filesystem)
    try:
        with system.open_input_stream(path) as stream:
            return stream.read()
    except FileNotFoundError:
        raise UserError(f"{path_or_uri}: no such file") from None
    except OSError as error:
        raise UserError(f"{path_or_uri}: cannot be read ({first_line(error)})") from error


@contextmanager
def shard_errors(path: str) -> Iterator[None]:
    """Turn a missing or damaged Parquet shard into a UserError; errors of the network pass through unchanged."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: the shard is missing; run `prepare` again") from error
    except (pa.ArrowInvalid, OSError) as error:
        # Errors of the Parquet reader have neither an errno nor a message of the S3 client.
        if isinstance(error, pa.ArrowInvalid) or (error.errno is None and "AWS Error" not in str(error)):
            raise UserError(f"{path}: damaged shard ({first_line(error, 100)})") from error
        raise
