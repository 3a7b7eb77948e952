"""Values of an evaluation over all photographs: intervals, and differences between models."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from colorize_core.metrics.registry import Metric, Scores, columns_of

if TYPE_CHECKING:
    import pyarrow as pa


def summarize_scores(
    rows: "pa.Table", names: Sequence[str], checkpoints: Collection[str], definitions: Sequence[str], resamples: int
) -> dict[str, dict[str, Any]]:
    """Compute every metric of a set with 95% bootstrap intervals.

    Args:
        rows: key, model and the metrics per image; the photographs of every model in the same order.
        names: models and baselines, in the order of the result.
        checkpoints: those that are models; the best of them by each metric is what all others are compared with.
        definitions: papers whose own metrics are computed too.
        resamples: number of bootstrap resamples, which are the same for every model.

    Returns:
        By name and metric: value, low and high; for all but the best checkpoint also `difference`, the value minus that
        of the best checkpoint `from`, with the interval of the paired bootstrap.
    """
    scores = {name: _scores(rows, name) for name in names}
    result: dict[str, dict[str, Any]] = {name: {} for name in names}
    for metric in columns_of(definitions):
        if metric.statistic is None or not set(metric.needs) <= set(rows.column_names):
            continue
        for name, summary in _summarize(metric, scores, checkpoints, resamples).items():
            result[name][metric.name] = summary
    return result


def _scores(rows: "pa.Table", name: str) -> Scores:
    import pyarrow.compute as pc

    own = rows.filter(pc.equal(rows.column("model"), name))
    return {each: own.column(each).to_numpy() for each in own.column_names if each not in ("key", "model")}


def _summarize(
    metric: Metric, scores: dict[str, Scores], checkpoints: Collection[str], resamples: int
) -> dict[str, dict[str, Any]]:
    """Return value, interval and difference of one metric by name."""
    from colorize_core.metrics import bootstrap

    values, drawn = {}, {}
    for name, own in scores.items():
        values[name] = metric.value(own)
        drawn[name] = bootstrap(partial(metric.value, own), len(own[metric.needs[0]]), resamples=resamples)
    best = metric.best(values[name] for name in checkpoints)
    leader = next(name for name in checkpoints if values[name] == best)
    summaries: dict[str, dict[str, Any]] = {name: _with_interval(values[name], drawn[name]) for name in scores}
    for name in scores:
        if name != leader:
            difference = _with_interval(values[name] - best, drawn[name] - drawn[leader])
            summaries[name]["difference"] = {"from": leader, **difference}
    return summaries


def _with_interval(value: float, drawn: np.ndarray) -> dict[str, float]:
    from colorize_core.metrics import percentile_interval

    low, high = percentile_interval(drawn)
    return {"value": value, "low": low, "high": high}
