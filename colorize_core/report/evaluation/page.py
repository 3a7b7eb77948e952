"""The page of an evaluation, from its metrics.json, its rows per image, and the pictures beside the page."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from colorize_core.evaluation.table import score_tables
from colorize_core.report.charts import color_ramp, interval_chart
from colorize_core.report.evaluation.scores import distribution_charts, interval_charts, training_charts
from colorize_core.report.evaluation.study import Preferences
from colorize_core.report.formatting import flat, queries
from colorize_core.report.page import moment, render

SHOWN_BY = "ciede2000"
"""The score by which photographs are called best and worst, and that stands below each picture."""
MAP_LIMIT = 30.0
"""CIEDE2000 at the bright end of a difference map."""
_SCRIPTS = ("common.js", "gallery.js", "evaluation.js")


@dataclass(frozen=True)
class Variant:
    """One picture of a photograph."""

    name: str
    """gray, a model, or truth."""
    picture: str
    """File name beside the page."""
    map: str | None = None
    """Of its difference from the truth; None for the truth."""


@dataclass(frozen=True)
class EvaluationExtras:
    """What may be there beside the scores."""

    variants: Mapping[str, Sequence[Variant]] = field(default_factory=dict)
    """By key of the photograph."""
    pictures_missing: str = ""
    """Why there are no pictures."""
    curves: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    """Rows of a training run's metrics.csv, by model."""
    rating: str = ""
    """URL of the rating page."""
    rating_note: str = ""
    preferences: Preferences | None = None


@dataclass(frozen=True)
class Choice:
    """Photographs of a group, as the page shows them."""

    id: str
    title: str
    note: str
    keys: list[str]


def choose(rows: pa.Table, models: Sequence[str], pictures: int, extremes: int = 8) -> list[Choice]:
    """The photographs of a page: a fair sample, the best, the worst, and where models differ most.

    Args:
        rows: per_image.parquet: key, model and scores.
        models: names of the checkpoints.
        pictures: size of the fair sample.
        extremes: size of the other groups.
    """
    keys, scores = _scores(rows, models)
    fair = np.random.default_rng(0).permutation(len(keys))[:pictures]
    mean, spread = scores.mean(0), scores.max(0) - scores.min(0)
    count = min(extremes, len(keys))
    of = "mean CIEDE2000 of all models" if len(models) > 1 else "CIEDE2000"
    every = len(fair) == len(keys)
    title = "All photographs" if every else "Fair sample"
    note = f"all {len(keys):,} photographs" if every else f"drawn evenly from {len(keys):,} photographs"
    places: dict[str, Sequence[int] | np.ndarray] = {
        "fair": sorted(fair),
        "best": np.argsort(mean, kind="stable")[:count],
    }
    places["worst"] = np.argsort(-mean, kind="stable")[:count]
    words = {"fair": (title, note), "best": ("Best", f"lowest {of}"), "worst": ("Worst", f"highest {of}")}
    if len(models) > 1:
        places["differ"] = np.argsort(-spread, kind="stable")[:count]
        words["differ"] = ("Models differ most", "largest range of CIEDE2000 over the models")
    return [Choice(name, *words[name], [keys[place] for place in order]) for name, order in places.items()]


def _scores(rows: pa.Table, models: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Keys (N,) and CIEDE2000 (models, N)."""
    parts = [rows.filter(pc.equal(rows.column("model"), name)).sort_by("key") for name in models]
    return parts[0].column("key").to_pylist(), np.stack([part.column(SHOWN_BY).to_numpy() for part in parts])


def evaluation_page(
    result: Mapping[str, Any],
    rows: pa.Table,
    choices: Sequence[Choice],
    worse: Sequence[str],
    output: str,
    extras: EvaluationExtras,
) -> str:
    """The page as HTML.

    Args:
        result: the evaluation's metrics.json.
        rows: its per_image.parquet.
        choices: the photographs to show.
        worse: models that are worse than gray.
        output: location of the evaluation, for people.
        extras: pictures, training curves, ratings.
    """
    names, models = list(result["models"]), list(result["checkpoints"])
    baselines = [name for name in names if name not in models]
    photographs, groups = _gallery(rows, choices, models, extras)
    folders = sorted({each["folder"] for each in photographs if each["folder"]})
    measures = [{"name": name, "title": f"CIEDE2000 of {name}", "digits": 2} for name in ("gray", *models)]
    preferences = extras.preferences
    return render(
        "evaluation.html",
        _SCRIPTS,
        {"rows": photographs, "groups": groups, "measures": measures},
        output=output,
        names=models,
        worse=worse,
        facts=_facts(result),
        note=_note(result),
        tables=score_tables(result),
        intervals=interval_charts(result, baselines),
        preferences=preferences,
        rates=_rates(preferences),
        strengths=_strengths(preferences),
        rating=extras.rating,
        rating_note=extras.rating_note,
        pictures_missing=extras.pictures_missing,
        gallery_note="The gray input, every model and the truth, at the size they are scored at. Below each picture is "
        "its CIEDE2000, the mean color difference from the truth: 1 is about what can be seen.",
        toolbar=_toolbar() if extras.variants else "",
        folders=folders if len(folders) > 1 else [],
        distributions=distribution_charts(rows, ["gray", *models]),
        curves=training_charts(extras.curves),
        curves_note="Validation during training, from the run of each checkpoint; dashed is gray.",
        queries=queries(output, "per_image.parquet", "per_image.parquet", "model, key, ciede2000", "ciede2000 > 20"),
        run=_run(result),
        config=flat(result["config"]),
    )


def _gallery(
    rows: pa.Table, choices: Sequence[Choice], models: Sequence[str], extras: EvaluationExtras
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    chosen = list(dict.fromkeys(key for choice in choices for key in choice.keys))
    part = rows.filter(pc.is_in(rows.column("key"), value_set=pa.array(chosen, pa.string())))
    score = {(row["key"], row["model"]): row[SHOWN_BY] for row in part.select(["key", "model", SHOWN_BY]).to_pylist()}
    photographs = [
        {
            "key": key,
            "folder": posixpath.dirname(key),
            "values": {name: score[key, name] for name in ("gray", *models)},
            "variants": [
                {
                    "name": each.name,
                    "picture": each.picture,
                    "map": each.map,
                    "score": f"{score[key, each.name]:.2f}" if (key, each.name) in score else None,
                }
                for each in extras.variants.get(key, ())
            ],
        }
        for key in chosen
    ]
    place = {key: number for number, key in enumerate(chosen)}
    groups = [
        {"id": each.id, "title": each.title, "note": each.note, "rows": [place[key] for key in each.keys]}
        for each in choices
    ]
    return photographs, groups


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    best = min(result["checkpoints"], key=lambda name: result["models"][name]["mae_ab"]["value"])
    gray = result["models"]["gray"]["mae_ab"]["value"]
    error = result["models"][best]["mae_ab"]["value"]
    facts = [
        ("Photographs", f"{result['photographs']:,}", f"{result['split']} split at {result['size']} px"),
        ("Models", f"{len(result['checkpoints'])}", ""),
    ]
    if gray:
        change = f"{abs(1 - error / gray):.1%} {'below' if error <= gray else 'above'} gray"
        facts.append(("Lowest MAE", f"{error:.4f}", f"{best}, {change}"))
    day, _, hour = moment(result["finished"]).partition(", ")
    return [*facts, ("Finished", day, hour)]


def _note(result: Mapping[str, Any]) -> str:
    note = (
        "Values over all photographs with 95% bootstrap intervals; baselines first. Gray leaves the photograph as it "
        "is; oracle color is the best single color of each photograph; the ceiling is its true chroma passed through "
        "the working size. Bold is the best of the models."
    )
    if "lpips" not in next(iter(result["models"].values())):
        note += f" LPIPS: {result['lpips']}."
    return note


def _rates(preferences: Preferences | None) -> list[dict[str, Any]]:
    return [
        {
            "one": each.one,
            "other": each.other,
            "value": f"{each.value:.1%}" if each.wins + each.losses else "–",
            "interval": f"{each.low:.1%} to {each.high:.1%}",
            "wins": each.wins,
            "losses": each.losses,
            "ties": each.ties,
        }
        for each in (preferences.rates if preferences else ())
    ]


def _strengths(preferences: Preferences | None) -> Markup | str:
    if preferences is None or not preferences.strengths:
        return ""
    return interval_chart(preferences.strengths, [], "chance to be preferred", preferences.contestants)


def _toolbar() -> Markup:
    return Markup(
        '<label><input type="checkbox" id="maps"> Difference maps</label><span class="legend" id="legend" hidden>'
        'CIEDE2000 0 <i style="background:linear-gradient(90deg, {})"></i> {} and more</span>'
    ).format(color_ramp(), f"{MAP_LIMIT:.0f}")


def _run(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    config = result["config"]
    lines = [("shards", str(config["shards"])), ("fingerprint of the shards", str(result["shards"]))]
    lines += [(f"SHA-256 of {name}", weights) for name, weights in result["checkpoints"].items()]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return [*lines, ("finished", moment(result["finished"])), ("versions", versions)]
