"""Charts of an evaluation for its page: intervals, distributions per image, curves of training."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from colorize_core.metrics.registry import MAIN, METRICS, Metric, metrics_of
from colorize_core.report.archive.measures import histogram
from colorize_core.report.charts import curve_chart, interval_chart, overlaid_chart

_SPREAD_BARS = 30
_CURVES = {name: f"Validation {METRICS[name].title}" for name in ("mae_ab", "psnr")} | {"loss": "Training loss"}


def interval_charts(result: Mapping[str, Any], baselines: Sequence[str], models: Sequence[str]) -> list[dict[str, Any]]:
    """Chart the values and intervals of each metric of the main table that has intervals.

    Rows that know the true colors are left out: beside a PSNR of 47 dB the models would be one point.
    """
    first = next(iter(result["models"].values()))
    charts = []
    for metric in _main_metrics(first):
        values = {name: _interval(result["models"][name][metric.name], metric) for name in (*baselines, *models)}
        better = "higher is better" if metric.higher_is_better else "lower is better"
        chart = interval_chart(values, baselines, metric.title)
        charts.append({"title": metric.title, "meaning": better, "chart": chart})
    return charts


def _main_metrics(names: Container[str]) -> list[Metric]:
    """Return the metrics of the main table that are computed from metrics per image and are among `names`."""
    return [metric for metric in metrics_of(MAIN) if metric.statistic and metric.name in names]


def _interval(score: Mapping[str, float], metric: Metric) -> tuple[float, float, float]:
    return metric.factor * score["value"], metric.factor * score["low"], metric.factor * score["high"]


def distribution_charts(rows: pa.Table, names: Sequence[str]) -> list[dict[str, Any]]:
    """Chart the spread of each metric per image of the main table (rows of per_image.parquet), the models together."""
    charts = []
    for metric in _main_metrics(rows.column_names):
        by_model = {name: rows.filter(pc.equal(rows.column("model"), name)) for name in names}
        values = {name: metric.factor * own.column(metric.name).to_numpy() for name, own in by_model.items()}
        together = np.concatenate(list(values.values()))
        finite = together[np.isfinite(together)]
        if not len(finite):
            continue
        low, high = np.quantile(finite, [0.005, 0.995])
        edges = np.linspace(low, high if high > low else low + 1, _SPREAD_BARS + 1)
        shares = {name: 100 * histogram(each, edges) for name, each in values.items()}
        chart = overlaid_chart(edges, shares, ["gray"], f"{metric.title} of {', '.join(names)}")
        charts.append({"title": metric.title, "chart": chart})
    return charts


def training_charts(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Chart validation metrics, with the gray baseline, and loss by epoch, from the rows of metrics.csv of each run."""
    charts = []
    for name, title in _CURVES.items():
        curves = {run: points for run, rows in runs.items() if (points := _points(rows, name))}
        if not curves:
            continue
        gray = [points for rows in runs.values() if (points := _points(rows, f"gray_{name}"))]
        shown = curves | ({"gray": max(gray, key=len)} if gray else {})
        charts.append({"title": title, "chart": curve_chart(shown, ["gray"] if gray else [], title)})
    return charts


def _points(rows: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    return [(row["epoch"], row[name]) for row in rows if name in row]
