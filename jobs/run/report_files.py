"""The files of a report: OUTPUT/report/index.html and the pictures beside it."""

from collections.abc import Callable, Iterable
from contextlib import suppress

from cluster.storage.stores import Storage
from jobs.command.console import say

FOLDER = "report"
INDEX = "index.html"
PICTURES = "pictures"


def write_page(output: Storage, name: str, html: str) -> str:
    """Write a page of the report of a run; returns where it is."""
    output.write(f"{FOLDER}/{name}", html.encode("utf-8", "backslashreplace"), "text/html; charset=utf-8")
    return f"{output.uri}/{FOLDER}/{name}"


def forget_pictures(output: Storage, kept: Iterable[str]) -> None:
    """Remove small pictures that an earlier report left and this one does not show, where that is allowed."""
    store, kept = output.child(f"{FOLDER}/{PICTURES}"), set(kept)
    with suppress(OSError):
        for entry in list(store.list()):
            if entry.key not in kept:
                store.delete(entry.key)


def report_at_end(verb: str, output: Storage, write: Callable[[], str]) -> str | None:
    """Write the report of a run that is done; whatever goes wrong is one line, since the run has lost nothing by it."""
    try:
        return write()
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        why = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        say(f"{verb}: no report was written ({why}); the run is complete, `colorize report {output.uri}` tries again")
        return None
