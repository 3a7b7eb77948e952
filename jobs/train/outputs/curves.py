"""Plots by epoch: curves of a training run, and the parts that plots of sweeps share (jobs.sweep.comparison)."""

import io
import statistics
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from colorize_core.metrics.registry import Metric
from jobs.train.outputs.metrics_file import SCORES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRAY = {"color": "gray", "linestyle": "--", "linewidth": 1}
"""Line style of the gray baseline."""
_INCHES = (6.4, 3.6)
_BLUE, _ORANGE = "#0b62a4", "#d95f02"
_LOG_SCALE_RATIO = 20.0  # ratio of largest and smallest loss above which the axis is logarithmic
_Y_RANGE_MEDIANS = 4.0  # range of the y axis in median distances from the best score
_NO_LOSSES = {
    *("epoch", "learning_rate", "images_per_second", "data_wait_ms", "seconds"),
    *(f"{prefix}{metric.name}" for metric in SCORES for prefix in ("", "gray_")),
}


def grid_of_panels(count: int, columns: int, **options: Any) -> tuple["Figure", list["Axes"]]:
    """Make a figure with `count` panels and return both; `options` are passed to matplotlib's subplots."""
    from matplotlib.figure import Figure

    columns = min(count, columns)
    rows = -(-count // columns)
    width, height = _INCHES
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for unused in panels[count:]:
        unused.set_axis_off()
    return figure, panels[:count]


def by_epoch(axes: "Axes", title: str) -> None:
    """Set the title, an x axis of whole epochs, and a faint grid; to be called when all curves are drawn."""
    from matplotlib.ticker import MaxNLocator

    first, last = axes.dataLim.intervalx
    if first <= last:  # there are curves
        axes.set_xlim(first - 0.5, last + 0.5)  # of one epoch too
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)


def to_png(figure: "Figure") -> bytes:
    """Return a figure as a PNG file."""
    image = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a name in a script that the font lacks
        figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


def run_curves(rows: Sequence[Mapping[str, float]], name: str) -> bytes:
    """Plot losses, validation scores with those of gray, learning rate and images/s of a training run as PNG.

    Args:
        rows: rows of metrics.csv.
        name: title of the figure.
    """
    scores = [metric for metric in SCORES if metric.name in rows[0]]
    figure, panels = grid_of_panels(3 + len(scores), 3)
    _losses(panels[0], rows)
    for axes, metric in zip(panels[1:], scores, strict=False):
        _score(axes, rows, metric)
    for axes, column, title in zip(
        panels[-2:], ("learning_rate", "images_per_second"), ("learning rate", "images/s"), strict=True
    ):
        values = [row[column] for row in rows]
        axes.plot([row["epoch"] for row in rows], values, color=_BLUE, marker="o", markersize=3)
        axes.set_ylim(0, 1.1 * max(values) or 1)
        by_epoch(axes, title)
    figure.suptitle(name, fontsize=12, parse_math=False)
    return to_png(figure)


def _losses(axes: "Axes", rows: Sequence[Mapping[str, float]]) -> None:
    """Plot the total loss, and its terms if there are several."""
    names = sorted((name for name in rows[0] if name not in _NO_LOSSES), key=lambda name: name != "loss")
    if len(names) == 2 and all(row["loss"] == row[names[1]] for row in rows):
        names = names[:1]  # the only loss, at weight 1
    values = [row[name] for row in rows for name in names]
    for name in names:
        axes.plot(
            [row["epoch"] for row in rows],
            [row[name] for row in rows],
            linewidth=2.5 if name == "loss" else 1.2,
            marker="o",
            markersize=3,
            label=name.replace("_", " "),
        )
    if min(values) > 0 and max(values) > _LOG_SCALE_RATIO * min(values):
        axes.set_yscale("log")
    axes.legend(loc="upper right", frameon=False, fontsize=8)
    by_epoch(axes, "training losses")


def _score(axes: "Axes", rows: Sequence[Mapping[str, float]], metric: Metric) -> None:
    """Plot a validation metric, its best epoch, and the gray baseline."""
    name = metric.name
    epochs, values = [row["epoch"] for row in rows], [row[name] for row in rows]
    gray = rows[-1][f"gray_{name}"]
    axes.axhline(gray, **GRAY)  # type: ignore[arg-type]
    axes.plot(epochs, values, color=_BLUE, marker="o", markersize=3)
    best = values.index(metric.best(values))
    _limit_y_axis(axes, values[best], gray, values)
    axes.plot(epochs[best], values[best], marker="o", markersize=7, color=_ORANGE)
    legend = f"best: {values[best]:.4g} in epoch {epochs[best]:.0f}; gray (dashed): {gray:.4g}"
    by_epoch(axes, f"validation {metric.heading}\n{legend}")


def _limit_y_axis(axes: "Axes", best: float, gray: float, values: Sequence[float]) -> None:
    """Cut off outliers of the first epochs, which would compress the rest of the curve."""
    distances = [abs(value - best) for value in values]
    span = max(_Y_RANGE_MEDIANS * statistics.median(distances), 1.2 * abs(gray - best))
    if not 0 < span < max(distances):
        return
    worst = max(values, key=lambda value: abs(value - best))
    margin = 0.05 * span
    axes.set_ylim(*((best - margin, best + span) if worst > best else (best - span, best + margin)))
