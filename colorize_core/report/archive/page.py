"""The page of an archive run, built from its record, the statistics of its rows, and thumbnails."""

import hashlib
import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from colorize_core.formatting import counted, format_bytes, format_duration
from colorize_core.report.archive.measures import MEASURES, Distribution, Measure
from colorize_core.report.archive.statistics import RowStatistics
from colorize_core.report.charts import histogram_chart
from colorize_core.report.page import config_rows, format_time, is_shown_by_browsers, relative_url, render
from colorize_core.report.queries import query_examples
from colorize_core.status import Status

PICTURES = "pictures"
"""Folder of the thumbnails, next to the page."""
_IMAGES = "images"
_MAX_FOLDERS = 500
_MIN_VALUES_TO_PLOT = 20
_SCRIPTS = ("common.js", "gallery.js", "review.js", "archive.js")


@dataclass(frozen=True)
class Thumbnails:
    """File names of the thumbnails of a row, in the folder PICTURES."""

    after: str | None = None
    """Of the output image."""
    before: str | None = None
    """Of the photograph in the source; None if it could not be read or is not needed."""
    error: str = ""
    """Reason why there is no thumbnail."""


def archive_page(
    record: Mapping[str, Any],
    statistics: RowStatistics,
    thumbnails: Mapping[str, Thumbnails],
    output: str,
    listed: int | None,
) -> str:
    """Render the page as HTML.

    Args:
        record: content of run.json.
        statistics: of all rows.
        thumbnails: by key, of the rows that `chosen_rows` returns.
        output: location of the run, as shown on the page.
        listed: number of inputs; None if unknown.
    """
    rows, groups = _gallery(statistics, thumbnails)
    folders = sorted({folder for row in rows for folder in _with_parents(row["folder"]) if folder})
    shown = [each for each in MEASURES if statistics.distributions[each.name].count]
    measures = [{"name": each.name, "title": each.title, "digits": each.digits} for each in shown]
    data = {
        "rows": rows,
        "groups": groups,
        "measures": measures,
        "source": record.get("config", {}).get("source", ""),
        # Browsers keep the decisions of reviewers under this name.
        "run": hashlib.sha256(f"{output} {record.get('started')}".encode()).hexdigest()[:16],
    }
    return render(
        "archive.html",
        _SCRIPTS,
        data,
        title=_title(output),
        output=output,
        about=_about(record),
        unfinished=_unfinished(record, statistics, listed),
        facts=_facts(record, statistics),
        before_note=_before_note(thumbnails),
        statuses={value: _status_title(value) for value in sorted({row["status"] for row in rows})},
        folders=folders[:_MAX_FOLDERS] if len(folders) > 1 else [],
        counts=[_status_row(status, count, statistics.total) for status, count in statistics.counts.most_common()],
        colored=statistics.counts[Status.OK],
        distributions=[_distribution(each, statistics.distributions[each.name]) for each in shown],
        on_page=len(rows),
        total=statistics.total,
        queries=query_examples(output, "metrics/*.parquet", "metrics", "status, key, error", "status != 'ok'"),
        stages=_stages(record),
        run=_run(record),
        config=config_rows(record.get("config", {})),
    )


def chosen_rows(statistics: RowStatistics) -> dict[str, dict[str, Any]]:
    """Return the rows that the page shows, by key."""
    return {row["key"]: row for group in statistics.groups().values() for _, row in group.rows}


def _title(output: str) -> str:
    """Return the name of the run: the last part of its location."""
    return output.rstrip("/").rpartition("/")[2] or output


def _about(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what identifies the run: source, date, model."""
    config = record.get("config", {})
    return [
        ("source", str(config.get("source", ""))),
        ("date", format_time(str(record.get("finished") or record.get("started", "")))),
        ("model", str(config.get("checkpoint", ""))),
    ]


def _status(value: str) -> Status | None:
    """Return a status by its value; None for one of another version."""
    return Status(value) if value in list(Status) else None


def _status_title(value: str) -> str:
    status = _status(value)
    return status.label if status else value


def _status_row(value: str, count: int, total: int) -> dict[str, Any]:
    """Return a line of the table of statuses; a status of another version has no meaning and counts as a failure."""
    status = _status(value)
    kind = "good" if status is Status.OK else "bad" if status is None or status.is_failure else ""
    meaning, advice = (status.meaning, status.advice) if status else ("", "")
    return {
        "status": value,
        "title": _status_title(value),
        "count": count,
        "share": count / total,
        "kind": kind,
        "meaning": meaning,
        "advice": advice[:1].upper() + advice[1:],
    }


def _gallery(
    statistics: RowStatistics, thumbnails: Mapping[str, Thumbnails]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    chosen = chosen_rows(statistics)
    index = {key: number for number, key in enumerate(chosen)}
    rows = [_row(row, thumbnails.get(key, Thumbnails())) for key, row in chosen.items()]
    groups = [
        {"id": name, "title": group.title, "note": group.note, "rows": [index[row["key"]] for _, row in group.rows]}
        for name, group in statistics.groups().items()
    ]
    note = "every row on this page, in the order of the groups" if rows else "the run has no rows yet"
    return rows, [*groups, {"id": "all", "title": "All on this page", "note": note, "rows": [*range(len(rows))]}]


def _row(row: Mapping[str, Any], small: Thumbnails) -> dict[str, Any]:
    """Return what the scripts of the page need of a row."""
    written = row.get("output_key")
    full = relative_url(f"{_IMAGES}/{written}") if written and is_shown_by_browsers(written) else None
    status = _status(row["status"])
    facts = [
        ("status", row["status"]),
        ("error", row.get("error")),
        ("note", row.get("note")),
        ("size", f"{row['width']} × {row['height']}" if row.get("width") else None),
        ("format", row.get("source_format")),
        ("bits per channel", row.get("bit_depth")),
        ("input in color", None if row.get("is_color") is None else "yes" if row["is_color"] else "no"),
        ("tone of the input", row.get("tone")),
        ("settings", row.get("settings")),
        ("input file", _size(row.get("input_bytes"))),
        ("output file", _size(row.get("output_bytes"))),
        ("output key", written),
    ]
    return {
        "key": row["key"],
        "folder": posixpath.dirname(row["key"]),
        "status": row["status"],
        "status_title": _status_title(row["status"]),
        "error": row.get("error") or "",
        "advice": status.advice if status else "",
        "is_color": bool(row.get("is_color")),
        "settings": json.loads(row.get("settings") or "{}"),
        "width": row.get("width"),
        "height": row.get("height"),
        "values": {each.name: row.get(each.name) for each in MEASURES},
        "facts": [(name, value) for name, value in facts if value not in (None, "")],
        "after": small.after and f"{PICTURES}/{small.after}",
        "before": small.before and f"{PICTURES}/{small.before}",
        "thumbnail_error": small.error,
        "full": full and f"../{full}",
    }


def _with_parents(folder: str) -> list[str]:
    parts = folder.split("/") if folder else []
    return ["/".join(parts[: number + 1]) for number in range(len(parts))]


def _distribution(measure: Measure, values: Distribution) -> dict[str, Any]:
    digits = measure.digits
    median, low, high = (f"{values.quantile(share):.{digits}f}" for share in (0.5, 0.05, 0.95))
    number = counted(values.count, "value")
    summary = f"{number}, mean {values.mean:.{digits}f}, median {median}, 5th percentile {low}, 95th {high}"
    chart: str = ""
    if values.count < _MIN_VALUES_TO_PLOT:
        summary += "; too few values for a plot"
    else:
        bars = values.bars()
        if outside := bars.below + bars.above:
            summary += f"; {outside:,} outside the plot"
        chart = histogram_chart(bars, measure.reference, f"{measure.title}: {summary}")
    return {"title": measure.title, "meaning": measure.meaning, "summary": summary, "chart": chart}


def _facts(record: Mapping[str, Any], statistics: RowStatistics) -> list[tuple[str, str, str]]:
    total, colorized, copied = statistics.total, statistics.counts[Status.OK], statistics.counts[Status.SKIPPED_COLOR]
    facts = [
        ("Inputs", f"{total:,}", ""),
        ("Colorized", f"{colorized:,}", f"{colorized / total:.1%}" if total else ""),
        ("Failed", f"{statistics.failed:,}", f"{statistics.failed / total:.1%}" if total else ""),
    ]
    if copied:
        facts.append(("Already in color", f"{copied:,}", "not colorized"))
    if statistics.output_bytes:
        facts.append(("Size", format_bytes(statistics.output_bytes), "of the color images"))
    return facts


def _unfinished(record: Mapping[str, Any], statistics: RowStatistics, listed: int | None) -> str:
    if record.get("status") != "done":
        count = f"{statistics.total:,} of {listed:,}" if listed is not None else f"{statistics.total:,}"
        return f"The run is not finished: {count} inputs have a row. Run the same command again to continue."
    if listed is not None and statistics.total < listed:
        return f"Partial run: {statistics.total:,} of {listed:,} inputs, as selected by limit or sample."
    return ""


def _before_note(thumbnails: Mapping[str, Thumbnails]) -> str:
    shown = [each for each in thumbnails.values() if each.after]
    missing = sum(each.before is None for each in shown)
    lightness = "the lightness of the color image, identical to that of the photograph"
    if not shown:
        return "There are no images to show."
    if not missing:
        return "Before: the photograph in the source. After: the color image."
    if missing == len(shown):
        return f"The source could not be read. Before: {lightness}. After: the color image."
    return (
        f"Before: the photograph in the source; for the {missing} that could not be read there, {lightness}. "
        "After: the color image."
    )


def _stages(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the time of each stage in the last attempt, summed over all workers."""
    stages, worked = record.get("stages") or {}, record.get("worked") or 0
    total = sum(stages.values())
    return [
        {
            "stage": stage,
            "seconds": f"{seconds:.1f} s" if seconds < 10 else format_duration(seconds),
            "share": seconds / total if total else 0.0,
            "each": f"{1000 * seconds / worked:.0f} ms" if worked else "–",
        }
        for stage, seconds in stages.items()
    ]


def _run(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    config = record.get("config", {})
    return [
        ("source", str(config.get("source", ""))),
        *_checkpoints(config.get("checkpoint", ""), record.get("inputs", {})),
        ("started", format_time(str(record.get("started", "")))),
        ("finished", format_time(str(record.get("finished", "not yet")))),
        *_speed(record),
        ("excluded files", f"{sum(record.get('excluded', {}).values()):,}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())),
    ]


def _speed(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return time and throughput of the last attempt that had something to do."""
    seconds, rate = record.get("seconds"), record.get("images_per_second")
    return [
        *([("time of the last attempt", format_duration(seconds))] if seconds is not None else []),
        *([("throughput after start-up", f"{rate:.1f} images/s")] if rate else []),
    ]


def _checkpoints(checkpoint: str | Mapping[str, str], hashes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the location of each checkpoint and the hash of its weights."""
    if isinstance(checkpoint, str):
        return [("checkpoint", checkpoint), ("SHA-256 of its weights", hashes.get("checkpoint", ""))]
    return [
        fact
        for name, location in checkpoint.items()
        for fact in ((f"checkpoint {name}", location), ("SHA-256 of its weights", hashes.get(f"checkpoint.{name}", "")))
    ]


def _size(number: int | None) -> str | None:
    return None if number is None else format_bytes(number)
