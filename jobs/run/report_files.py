"""Files of a report: OUTPUT/report/index.html and its images."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from cluster.storage.stores import Storage
from colorize_core.formatting import first_line

FOLDER = "report"
INDEX = "index.html"
PICTURES = "pictures"
"""Folder of the images that the pages show."""

_log = logging.getLogger(__name__)


def write_page(output: Storage, name: str, html: str) -> str:
    """Write a page of the report; return its location."""
    output.write(f"{FOLDER}/{name}", html.encode("utf-8", "backslashreplace"), "text/html; charset=utf-8")
    return f"{output.uri}/{FOLDER}/{name}"


def delete_stale_images(output: Storage, kept: Iterable[str]) -> None:
    """Delete images of an earlier report that the new one does not show, if deleting is permitted."""
    folder, kept = output.child(f"{FOLDER}/{PICTURES}"), set(kept)
    with suppress(OSError):
        for entry in list(folder.list()):
            if entry.key not in kept:
                folder.delete(entry.key)


def report_at_end(verb: str, output: Storage, write: Callable[[], str]) -> str | None:
    """Write the report of a finished run; return its location, or None after a failure, which is only logged.

    The run has lost nothing by it: `colorize report` can write the page at any time.
    """
    try:
        return write()
    except Exception as error:
        kind, message = type(error).__name__, first_line(error)
        _log.warning(
            "%s: no report was written (%s); the run is complete, `colorize report %s` tries again",
            verb,
            message if message == kind else f"{kind}: {message}",
            output.uri,
        )
        return None
