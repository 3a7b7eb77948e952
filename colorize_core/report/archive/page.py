"""The page of an archive run, from its record, a survey of its rows, and the small pictures beside the page."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from colorize_core.report.archive.measures import MEASURES, Distribution, Measure
from colorize_core.report.archive.survey import COPIED, DONE, Survey
from colorize_core.report.charts import histogram_chart
from colorize_core.report.formatting import duration, file_size, flat, queries
from colorize_core.report.page import is_shown_by_browsers, moment, render, url

PICTURES = "pictures"
"""Folder beside the page."""
_IMAGES = "images"
_MOST_FOLDERS = 500
_FEWEST_TO_PLOT = 5
_SCRIPTS = ("common.js", "gallery.js", "archive.js")
_MEANINGS = {
    "ok": "colored; a note in its row says what was simplified",
    "skipped_color": "was in color, and on_color is skip or copy",
    "empty": "the file has no bytes",
    "missing": "listed, then gone",
    "not_an_image": "text, HTML, zeros, or a format nobody knows",
    "truncated": "the file ends early or is damaged",
    "too_large": "more pixels than max_pixels, or more memory than max_memory",
    "unsupported": "a variant that cannot be read or written",
    "read_error": "the store failed at every try, or the key leads out of the source",
    "write_error": "the picture could not be written",
    "model_error": "the model gave no colors for it",
}


@dataclass(frozen=True)
class Thumbnails:
    """The small pictures of a row, by their names in the folder PICTURES."""

    after: str | None = None
    before: str | None = None
    """Of the source; None where it could not be read, or is not needed."""
    error: str = ""
    """Why there is no picture."""


def archive_page(
    record: Mapping[str, Any], survey: Survey, thumbnails: Mapping[str, Thumbnails], output: str, listed: int | None
) -> str:
    """The page as HTML.

    Args:
        record: the run's run.json.
        survey: of all its rows.
        thumbnails: by key, of the rows that `survey.picks` names.
        output: location of the run, for people.
        listed: number of inputs; None where it is not known.
    """
    rows, groups = _gallery(survey, thumbnails)
    folders = sorted({folder for row in rows for folder in _and_parents(row["folder"]) if folder})
    counts = [
        {
            "status": status,
            "count": count,
            "share": count / survey.total,
            "kind": "good" if status == DONE else "" if status == COPIED else "bad",
            "meaning": _MEANINGS.get(status, ""),
        }
        for status, count in survey.counts.most_common()
    ]
    measures = [{"name": each.name, "title": each.title, "digits": each.digits} for each in _present(survey)]
    return render(
        "archive.html",
        _SCRIPTS,
        {"rows": rows, "groups": groups, "measures": measures},
        output=output,
        unfinished=_unfinished(record, survey, listed),
        facts=_facts(record, survey),
        before_note=_before_note(thumbnails),
        statuses=sorted({row["status"] for row in rows}),
        folders=folders[:_MOST_FOLDERS] if len(folders) > 1 else [],
        counts=counts,
        colored=survey.counts[DONE],
        distributions=[_spread(each, survey.distributions[each.name]) for each in _present(survey)],
        on_page=len(rows),
        total=survey.total,
        queries=queries(output, "metrics/*.parquet", "metrics", "status, key, error", "status != 'ok'"),
        stages=_stages(record),
        run=_run(record),
        config=flat(record.get("config", {})),
    )


def chosen_rows(survey: Survey) -> dict[str, dict[str, Any]]:
    """The rows that the page shows, by key."""
    return {row["key"]: row for pick in survey.picks().values() for _, row in pick.rows}


def _gallery(survey: Survey, thumbnails: Mapping[str, Thumbnails]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    chosen = chosen_rows(survey)
    place = {key: number for number, key in enumerate(chosen)}
    rows = [_row(row, thumbnails.get(key, Thumbnails())) for key, row in chosen.items()]
    groups = [
        {"id": name, "title": pick.title, "note": pick.note, "rows": [place[row["key"]] for _, row in pick.rows]}
        for name, pick in survey.picks().items()
    ]
    everything = "every row that the page holds, in the order of the groups" if rows else "the run has no rows yet"
    return rows, [*groups, {"id": "all", "title": "Everything here", "note": everything, "rows": [*range(len(rows))]}]


def _row(row: Mapping[str, Any], small: Thumbnails) -> dict[str, Any]:
    """What the page needs of a row."""
    written = row.get("output_key")
    full = url(f"{_IMAGES}/{written}") if written and is_shown_by_browsers(written) else None
    size = f"{row['width']} × {row['height']}" if row.get("width") else None
    facts = [
        ("status", row["status"]),
        ("error", row.get("error")),
        ("note", row.get("note")),
        ("size", size),
        ("format", row.get("source_format")),
        ("bits", row.get("bit_depth")),
        ("in color", None if row.get("is_color") is None else "yes" if row["is_color"] else "no"),
        ("input", _size(row.get("input_bytes"))),
        ("output", _size(row.get("output_bytes"))),
        ("output key", written),
    ]
    return {
        "key": row["key"],
        "folder": posixpath.dirname(row["key"]),
        "status": row["status"],
        "error": row.get("error") or "",
        "is_color": bool(row.get("is_color")),
        "width": row.get("width"),
        "height": row.get("height"),
        "values": {each.name: row.get(each.name) for each in MEASURES},
        "facts": [(name, value) for name, value in facts if value not in (None, "")],
        "after": small.after and f"{PICTURES}/{small.after}",
        "before": small.before and f"{PICTURES}/{small.before}",
        "thumbnail_error": small.error,
        "full": full and f"../{full}",
    }


def _and_parents(folder: str) -> list[str]:
    parts = folder.split("/") if folder else []
    return ["/".join(parts[: number + 1]) for number in range(len(parts))]


def _present(survey: Survey) -> list[Measure]:
    return [each for each in MEASURES if survey.distributions[each.name].count]


def _spread(measure: Measure, values: Distribution) -> dict[str, Any]:
    digits = measure.digits
    middle, low, high = (f"{values.quantile(share):.{digits}f}" for share in (0.5, 0.05, 0.95))
    number = "1 value" if values.count == 1 else f"{values.count:,} values"
    summary = f"{number}, mean {values.mean:.{digits}f}, median {middle}, 5% below {low}, 5% above {high}"
    if values.count < _FEWEST_TO_PLOT:
        return {
            "title": measure.title,
            "meaning": measure.meaning,
            "summary": f"{summary}; too few to plot",
            "chart": "",
        }
    bars = values.bars()
    if beyond := bars.below + bars.above:
        summary += f"; {beyond:,} beyond the plot"
    chart = histogram_chart(bars, measure.reference, f"{measure.title}: {summary}")
    return {"title": measure.title, "meaning": measure.meaning, "summary": summary, "chart": chart}


def _facts(record: Mapping[str, Any], survey: Survey) -> list[tuple[str, str, str]]:
    facts = [
        ("Inputs", f"{survey.total:,}", ""),
        ("In color", f"{survey.counts[DONE]:,}", _share(survey.counts[DONE], survey.total)),
        ("Failed", f"{survey.failed:,}", _share(survey.failed, survey.total)),
    ]
    if survey.counts[COPIED]:
        facts.append(("Were in color", f"{survey.counts[COPIED]:,}", "left as they are"))
    seconds, worked = record.get("seconds"), record.get("worked")
    if seconds is not None:
        facts.append(("Time", duration(seconds), "of the last attempt, with start-up"))
    if seconds and worked:
        facts.append(("Images/s", f"{worked / seconds:.1f}", f"{worked:,} in the last attempt, with start-up"))
    if pace := record.get("pace"):
        of = "GPU actor" if pace["gpus"] else "actor"
        facts.append(("Pace", f"{1 / pace['seconds']:.1f} images/s", f"of each {of}, without start-up"))
    return facts


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else ""


def _unfinished(record: Mapping[str, Any], survey: Survey, listed: int | None) -> str:
    if record.get("status") != "done":
        of = f" of {listed:,} inputs" if listed is not None else ""
        return f"The run has not finished: {survey.total:,}{of} have a row. The same command continues it."
    if listed is not None and survey.total < listed:
        return f"A first look: {survey.total:,} of {listed:,} inputs, by limit or sample."
    return ""


def _before_note(thumbnails: Mapping[str, Thumbnails]) -> str:
    shown = [each for each in thumbnails.values() if each.after]
    read = sum(each.before is not None for each in shown)
    lightness = "the lightness of the picture itself, which is the photograph's own by construction"
    if not shown:
        return "There is no picture to show."
    if read == len(shown):
        return "Before is the photograph in the source, after is the picture in color."
    if not read:
        return f"The source was not at hand: before is {lightness}."
    return f"Before is the photograph in the source; of {len(shown) - read} that could not be read there, {lightness}."


def _stages(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each stage of the last attempt took, of all workers together."""
    stages, worked = record.get("stages") or {}, record.get("worked") or 0
    total = sum(stages.values())
    return [
        {
            "stage": stage,
            "seconds": f"{seconds:.1f} s" if seconds < 10 else duration(seconds),
            "share": seconds / total if total else 0.0,
            "each": f"{1000 * seconds / worked:.0f} ms" if worked else "–",
        }
        for stage, seconds in stages.items()
    ]


def _run(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    config = record.get("config", {})
    return [
        ("source", str(config.get("source", ""))),
        ("checkpoint", str(config.get("checkpoint", ""))),
        ("SHA-256 of its weights", str(record.get("inputs", {}).get("checkpoint", ""))),
        ("started", moment(str(record.get("started", "")))),
        ("finished", moment(str(record.get("finished", "not yet")))),
        ("files that are no inputs", f"{record.get('ignored', 0):,}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())),
    ]


def _size(number: int | None) -> str | None:
    return None if number is None else file_size(number)
