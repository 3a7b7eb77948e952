"""The scores of an evaluation for its page: tables, intervals, spreads, curves of training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from colorize_core.evaluation.columns import DEFINITIONS, MORE, STANDARD, Column
from colorize_core.report.archive.measures import histogram
from colorize_core.report.charts import curve_chart, interval_chart, overlaid_chart

_DISTANCES = {"fid": ("FID", 1.0), "kid": ("KID x 1000", 1000.0)}
_SPREAD_BARS = 30
_PER_IMAGE = {"mae_ab": "MAE (ab/110)", "psnr": "PSNR (dB)", "ciede2000": "CIEDE2000", "lpips": "LPIPS"}
_CURVES = {"mae_ab": "validation MAE (ab/110)", "psnr": "validation PSNR (dB)", "loss": "training loss"}


def score_tables(result: Mapping[str, Any], worse: Sequence[str]) -> list[dict[str, Any]]:
    """The tables of an evaluation, as its table.md has them; `worse` names the models that are worse than gray."""
    tables = [_table(result, worse, "", STANDARD, distances=True), _table(result, worse, "Further metrics", MORE)]
    papers = result["config"]["definitions"]
    return tables + [_table(result, worse, f"As {name} computes", DEFINITIONS[name]) for name in papers]


def _table(
    result: Mapping[str, Any], worse: Sequence[str], title: str, columns: Sequence[Column], *, distances: bool = False
) -> dict[str, Any]:
    models, there = result["models"], next(iter(result["models"].values()))
    shown = [column for column in columns if column.name in there]
    heads = [f"{column.title} {'↑' if column.higher_is_better else '↓'}" for column in shown]
    sets = [name for name in _DISTANCES if distances and name in there]
    checkpoints = list(result["checkpoints"])
    rows = []
    for name, scores in models.items():
        kind = "model" if name in checkpoints else "baseline"
        cells = [_cell(models, checkpoints, name, column) for column in shown]
        cells += [{"value": f"{_DISTANCES[each][1] * scores[each]['value']:.2f}", "interval": ""} for each in sets]
        rows.append({"name": name, "kind": kind, "worse": name in worse, "cells": cells})
    return {"title": title, "columns": [*heads, *(f"{_DISTANCES[each][0]} ↓" for each in sets)], "rows": rows}


def _cell(models: Mapping[str, Any], checkpoints: Sequence[str], name: str, column: Column) -> dict[str, Any]:
    score = models[name][column.name]
    values = [models[each][column.name]["value"] for each in checkpoints]
    best = max(values) if column.higher_is_better else min(values)
    return {
        "value": f"{score['value']:.{column.digits}f}",
        "interval": f"{score['low']:.{column.digits}f} to {score['high']:.{column.digits}f}",
        "best": name in checkpoints and len(checkpoints) > 1 and score["value"] == best,
    }


def interval_charts(result: Mapping[str, Any], baselines: Sequence[str]) -> list[dict[str, Any]]:
    """A chart of the values and intervals of each standard column."""
    there = next(iter(result["models"].values()))
    charts = []
    for column in STANDARD:
        if column.name in there:
            values = {name: _interval(scores[column.name]) for name, scores in result["models"].items()}
            better = "more is better" if column.higher_is_better else "less is better"
            chart = interval_chart(values, baselines, column.title)
            charts.append({"title": column.title, "meaning": better, "chart": chart})
    return charts


def _interval(score: Mapping[str, float]) -> tuple[float, float, float]:
    return score["value"], score["low"], score["high"]


def distribution_charts(rows: pa.Table, names: Sequence[str]) -> list[dict[str, Any]]:
    """Charts of scores per image (rows of per_image.parquet), the named models over each other."""
    charts = []
    for metric, title in _PER_IMAGE.items():
        if metric not in rows.column_names:
            continue
        values = {name: rows.filter(pc.equal(rows.column("model"), name)).column(metric).to_numpy() for name in names}
        together = np.concatenate(list(values.values()))
        low, high = np.quantile(together[np.isfinite(together)], [0.005, 0.995])
        edges = np.linspace(low, high if high > low else low + 1, _SPREAD_BARS + 1)
        shares = {name: 100 * histogram(each, edges) for name, each in values.items()}
        chart = overlaid_chart(edges, shares, ["gray"], f"{title} of {', '.join(names)}")
        charts.append({"title": title, "chart": chart})
    return charts


def training_charts(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Charts of validation and loss by epoch, from the rows of the metrics.csv of each run; gray's beside it."""
    charts = []
    for name, title in _CURVES.items():
        curves = {run: points for run, rows in runs.items() if (points := _points(rows, name))}
        if not curves:
            continue
        gray = [points for rows in runs.values() if (points := _points(rows, f"gray_{name}"))]
        shown = curves | ({"gray": max(gray, key=len)} if gray else {})
        charts.append(
            {"title": title[:1].upper() + title[1:], "chart": curve_chart(shown, ["gray"] if gray else [], title)}
        )
    return charts


def _points(rows: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    return [(row["epoch"], row[name]) for row in rows if name in row]
