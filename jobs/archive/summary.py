"""What an archive run tells at its end: counts, failed inputs, and what can be done about them."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.storage.stores import Storage
from colorize_core.formatting import format_duration, shorten
from colorize_core.status import FAILURES, Status
from jobs.archive import rows
from jobs.archive.config import IMAGES, ArchiveConfig
from jobs.archive.estimate import describe_estimate
from jobs.archive.pipeline import ArchiveContext
from jobs.command.console import say, summary

FAILED_FILE = "failed.csv"
"""File of an output with key, status and error of every failed input; absent if there are none."""
_SHOWN = 5
_MAX_CHARACTERS = 100
_RETRY = "the same command with retry_failed=true tries them again"


def write_failed(output: Storage) -> list[dict[str, Any]]:
    """Write OUTPUT/failed.csv from the rows, or delete it if none failed; return the first few failed rows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("key", "status", "error"))
    shown: list[dict[str, Any]] = []
    for table in rows.read_rows(output, ["key", "status", "error"]):
        for row in rows.of_status(table, FAILURES).to_pylist():
            writer.writerow((row["key"], row["status"], row["error"]))
            if len(shown) < _SHOWN:
                shown.append(row)
    if shown:
        output.write(FAILED_FILE, text.getvalue().encode("utf-8", "backslashreplace"), "text/csv; charset=utf-8")
    elif output.exists(FAILED_FILE):
        output.delete(FAILED_FILE)
    return shown


def count_failed(counts: Mapping[str, int]) -> int:
    """Return the number of rows whose status is a failure."""
    return sum(counts.get(status, 0) for status in FAILURES)


def exceeds_limit(counts: Counter[str], config: ArchiveConfig) -> bool:
    """Return True if more inputs failed than `max_failed_fraction` allows."""
    return count_failed(counts) > config.max_failed_fraction * counts.total()


def say_nothing_to_do(counts: Counter[str], output: Storage) -> None:
    """Print that every selected input has its row."""
    failed = count_failed(counts)
    failures = f", {failed} failed ({_RETRY})" if failed else ""
    say(f"nothing to do: {counts.total() - failed} done{failures}; images are in {output.uri}/{IMAGES}")


def summarize(
    context: ArchiveContext,
    counts: Counter[str],
    failures: Sequence[Mapping[str, Any]],
    seconds: float,
    page: str | None,
) -> None:
    """Print the summary of a run.

    Args:
        context: the run, after it has ended.
        counts: number of rows by status.
        failures: the first few failed rows, as `write_failed` returns them.
        seconds: duration of this attempt.
        page: location of the report, if there is one.
    """
    output = context.output
    facts: list[tuple[str, object]] = [(status, count) for status, count in counts.most_common()]
    facts += _describe_failures(context, counts, failures)
    if excluded := context.listing.describe_excluded():
        facts.append(("excluded", excluded))
    if context.images_per_second:
        speed = f"after start-up {context.images_per_second:.1f} images/s"
        facts.append(("time", f"{format_duration(seconds)}, {speed}"))
    facts.append(("images", f"{output.uri}/{IMAGES}"))
    facts.append(("metrics", f"{output.uri}/{rows.METRICS} (one Parquet row per input)"))
    facts += [("report", page)] if page else []
    if (left := context.listing.count - counts.total()) > 0:
        facts.append((f"{left} more", describe_estimate(context.throughput, left, context.config)))
    summary("archive in color", facts)


def _describe_failures(
    context: ArchiveContext, counts: Counter[str], failures: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, object]]:
    """Yield lines about the failed inputs: their share, the first few of them, and what to do."""
    failed, total = count_failed(counts), counts.total()
    share = f"{failed} of {total} ({failed / max(total, 1):.1%})"
    if exceeds_limit(counts, context.config):
        share += f", more than max_failed_fraction={context.config.max_failed_fraction:g}: exit code 3"
    yield "failed", share
    for row in failures:
        reason = row["error"] or Status(row["status"]).meaning
        yield "", f"{shorten(row['key'], _MAX_CHARACTERS)}: {row['status']}, {shorten(reason, _MAX_CHARACTERS)}"
    if failures:
        rest = f"and {failed - len(failures)} more; " if failed > len(failures) else ""
        yield "", f"{rest}all in {context.output.uri}/{FAILED_FILE}; {_RETRY}"
