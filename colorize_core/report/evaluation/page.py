"""The page of an evaluation, built from its metrics.json, its scores per image, and the images next to the page."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from colorize_core.evaluation.rows import CONSTANT, GRAY, has_ceiling
from colorize_core.evaluation.table import (
    DIFFERENCES,
    RANKED_BY,
    is_tied,
    score_tables,
    warn_of_few_photographs,
)
from colorize_core.formatting import counted
from colorize_core.metrics.registry import METRICS
from colorize_core.report.charts import color_ramp, interval_chart
from colorize_core.report.evaluation.scores import distribution_charts, interval_charts, training_charts
from colorize_core.report.evaluation.study import Preferences
from colorize_core.report.page import config_rows, format_time, render
from colorize_core.report.queries import query_examples

SHOWN_METRIC = METRICS["ciede2000"]
"""Metric that ranks photographs and is shown below each image."""
MAP_LIMIT = 30.0
"""CIEDE2000 at the bright end of difference maps."""
_SCRIPTS = ("common.js", "gallery.js", "evaluation.js")


@dataclass(frozen=True)
class Variant:
    """An image of a photograph: the gray input, the output of a model, or the truth."""

    name: str
    """gray, the name of a model, or truth."""
    image: str
    """URL relative to the page."""
    map: str | None = None
    """URL of the difference map; None for the truth."""


@dataclass(frozen=True)
class EvaluationExtras:
    """Optional content of the page."""

    variants: Mapping[str, Sequence[Variant]] = field(default_factory=dict)
    """By key of the photograph."""
    images_missing: str = ""
    """Reason why there are no images."""
    curves: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    """Rows of metrics.csv of the training run, by model."""
    rating: str = ""
    """URL of the rating page."""
    rating_note: str = ""
    """Number of pairs and names of the contestants."""
    preferences: Preferences | None = None


@dataclass(frozen=True)
class PhotographGroup:
    """A group of photographs in the gallery."""

    id: str
    title: str
    note: str
    keys: list[str]


def choose_photographs(rows: pa.Table, models: Sequence[str], sample: int, extremes: int = 8) -> list[PhotographGroup]:
    """Choose the photographs of a page: a random sample, the best, the worst, and where models differ most.

    Args:
        rows: per_image.parquet: key, model and metrics.
        models: names of the checkpoints.
        sample: size of the random sample.
        extremes: size of the other groups.
    """
    keys, scores = _scores(rows, models)
    drawn = np.random.default_rng(0).permutation(len(keys))[:sample]
    mean, spread = scores.mean(0), scores.max(0) - scores.min(0)
    metric = SHOWN_METRIC.label if len(models) == 1 else f"mean {SHOWN_METRIC.label} of all models"
    photographs, complete = counted(len(keys), "photograph"), len(drawn) == len(keys)

    def lowest(values: np.ndarray) -> list[str]:
        return [keys[index] for index in np.argsort(values, kind="stable")[:extremes]]

    groups = [
        PhotographGroup(
            "sample",
            "All photographs" if complete else "Random sample",
            f"all {photographs}" if complete else f"drawn uniformly from {photographs}",
            [keys[index] for index in sorted(drawn)],
        ),
        PhotographGroup("best", "Best", f"lowest {metric}", lowest(mean)),
        PhotographGroup("worst", "Worst", f"highest {metric}", lowest(-mean)),
    ]
    if len(models) > 1:
        note = f"largest range of {SHOWN_METRIC.label} across the models"
        groups.append(PhotographGroup("differ", "Models differ most", note, lowest(-spread)))
    return groups


def _scores(rows: pa.Table, models: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return keys (N,) and the shown metric (models, N)."""
    parts = [rows.filter(pc.equal(rows.column("model"), name)).sort_by("key") for name in models]
    return parts[0].column("key").to_pylist(), np.stack([part.column(SHOWN_METRIC.name).to_numpy() for part in parts])


def evaluation_page(
    result: Mapping[str, Any],
    rows: pa.Table,
    chosen: Sequence[PhotographGroup],
    worse: Sequence[str],
    output: str,
    extras: EvaluationExtras,
) -> str:
    """Render the page as HTML.

    Args:
        result: content of metrics.json.
        rows: content of per_image.parquet.
        chosen: groups of photographs in the gallery.
        worse: models that are worse than gray.
        output: location of the evaluation, as shown on the page.
        extras: images, training curves, ratings.
    """
    models = list(result["checkpoints"])
    photographs, groups = _gallery(rows, chosen, models, extras)
    folders = sorted({each["folder"] for each in photographs if each["folder"]})
    measures = [
        {"name": name, "title": f"{SHOWN_METRIC.label} of {name}", "digits": SHOWN_METRIC.digits}
        for name in ("gray", *models)
    ]
    preferences = extras.preferences
    return render(
        "evaluation.html",
        _SCRIPTS,
        {"rows": photographs, "groups": groups, "measures": measures},
        output=output,
        names=models,
        notices=_notices(result, worse),
        facts=_facts(result),
        note=_note(result),
        tables=score_tables(result),
        opened=("", DIFFERENCES),
        intervals=interval_charts(result, [GRAY, CONSTANT], models),
        preferences=preferences,
        rates=_rates(preferences),
        strengths=_strengths(preferences),
        rating=extras.rating,
        rating_note=extras.rating_note,
        images_missing=extras.images_missing,
        gallery_note="The gray input, the output of every model and the original photograph (truth), at the size at "
        "which they are scored. The number below each image is its CIEDE2000: the mean color difference from the "
        "original. A difference of 1 is just noticeable.",
        toolbar=_toolbar() if extras.variants else "",
        folders=folders if len(folders) > 1 else [],
        distributions=distribution_charts(rows, ["gray", *models]),
        curves=training_charts(extras.curves),
        curves_note="Validation during training, from the run of each checkpoint. Dashed: the gray baseline.",
        queries=query_examples(
            output, "per_image.parquet", "per_image.parquet", "model, key, ciede2000", "ciede2000 > 20"
        ),
        run=_run(result),
        config=config_rows(result["config"]),
    )


def _gallery(
    rows: pa.Table, groups: Sequence[PhotographGroup], models: Sequence[str], extras: EvaluationExtras
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the photographs of the gallery and its groups, as the scripts of the page need them."""
    keys = list(dict.fromkeys(key for group in groups for key in group.keys))
    part = rows.filter(pc.is_in(rows.column("key"), value_set=pa.array(keys, pa.string())))
    columns = part.select(["key", "model", SHOWN_METRIC.name]).to_pylist()
    score = {(row["key"], row["model"]): row[SHOWN_METRIC.name] for row in columns}

    def variant(key: str, each: Variant) -> dict[str, str | None]:
        shown = SHOWN_METRIC.format(score[key, each.name]) if (key, each.name) in score else None
        return {"name": each.name, "image": each.image, "map": each.map, "score": shown}

    photographs = [
        {
            "key": key,
            "folder": posixpath.dirname(key),
            "values": {name: score[key, name] for name in ("gray", *models)},
            "variants": [variant(key, each) for each in extras.variants.get(key, ())],
        }
        for key in keys
    ]
    index = {key: number for number, key in enumerate(keys)}
    return photographs, [
        {"id": each.id, "title": each.title, "note": each.note, "rows": [index[key] for key in each.keys]}
        for each in groups
    ]


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    errors = {name: scores[RANKED_BY.name]["value"] for name, scores in result["models"].items()}
    best = min(result["checkpoints"], key=errors.__getitem__)
    gray, error = errors["gray"], errors[best]
    facts = [
        ("Photographs", f"{result['photographs']:,}", f"{result['split']} split at {result['size']} px"),
        ("Models", f"{len(result['checkpoints'])}", ""),
    ]
    if gray:
        change = f"{abs(1 - error / gray):.1%} {'below' if error <= gray else 'above'} gray"
        if is_tied(result["models"]["gray"][RANKED_BY.name]):
            change += ", not distinguishable"
        facts.append((f"Lowest {RANKED_BY.label}", RANKED_BY.format(error), f"{best}, {change}"))
    day, _, hour = format_time(result["finished"]).partition(", ")
    return [*facts, ("Finished", day, hour)]


def _notices(result: Mapping[str, Any], worse: Sequence[str]) -> list[str]:
    notices = [warn_of_few_photographs(result)]
    if worse:
        notices.append(f"Worse than the gray photographs by MAE: {', '.join(worse)}.")
    return [each for each in notices if each]


def _note(result: Mapping[str, Any]) -> str:
    note = (
        "Values over all photographs with 95% bootstrap intervals, baselines first. Gray: the photograph without "
        "color. Oracle color: the best single color for each photograph. Bold: the best model, and those that cannot "
        "be distinguished from it, because the interval of the paired difference contains 0."
    )
    if has_ceiling(result["models"]):
        note += " Ceiling: the true chroma at the working size of a model."
    if "lpips" not in next(iter(result["models"].values())):
        note += " LPIPS was not computed; the reason is under Run."
    return note


def _rates(preferences: Preferences | None) -> list[dict[str, Any]]:
    return [
        asdict(each)
        | {
            "value": f"{each.value:.1%}" if each.wins + each.losses else "–",
            "interval": f"{each.low:.1%} to {each.high:.1%}",
        }
        for each in (preferences.rates if preferences else ())
    ]


def _strengths(preferences: Preferences | None) -> Markup | str:
    if preferences is None or not preferences.strengths:
        return ""
    return interval_chart(preferences.strengths, [], "probability of being preferred", preferences.contestants)


def _toolbar() -> Markup:
    return Markup(
        '<label><input type="checkbox" id="maps"> Difference maps</label><span class="legend" id="legend" hidden>'
        '{} 0 <i style="background:linear-gradient(90deg, {})"></i> {} or more</span>'
    ).format(SHOWN_METRIC.label, color_ramp(), f"{MAP_LIMIT:.0f}")


def _run(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    config = result["config"]
    lines = [("shards", str(config["shards"])), ("fingerprint of the shards", str(result["shards"]))]
    lines += [(f"SHA-256 of {name}", weights) for name, weights in result["checkpoints"].items()]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines += [(key, str(result[key])) for key in ("protocol", "reference") if result.get(key)]
    if "lpips" not in next(iter(result["models"].values())):
        lines.append(("LPIPS not computed", str(result["lpips"])))
    return [*lines, ("finished", format_time(result["finished"])), ("versions", versions)]
