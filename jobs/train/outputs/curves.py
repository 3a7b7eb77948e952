"""Curves by epoch as pictures: of one training run here, of the trials of a sweep in `comparison`."""

import io
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRAY = {"color": "gray", "linestyle": "--", "linewidth": 1}
"""How the baseline looks."""
_INCHES = (6.4, 3.6)
_BLUE, _ORANGE = "#0b62a4", "#d95f02"
_LOG_FROM = 20.0  # a ratio of losses above which the small ones would lie on the floor
_REACH = 4.0  # median distances from the best score that the picture shows
_SCORES = {"mae_ab": "MAE (ab/110) ↓", "psnr": "PSNR (dB) ↑", "ssim": "SSIM ↑", "fid": "FID ↓"}
_OTHERS = ("epoch", "learning_rate", "images_per_second", "data_wait_ms", "seconds")
_HIGHER_IS_BETTER = ("psnr", "ssim")


def grid_of_panels(count: int, columns: int, **options: Any) -> tuple["Figure", list["Axes"]]:
    """A figure with so many panels, and these; `options` are those of matplotlib's subplots."""
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
    """Whole epochs below, a title, a faint grid."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)


def to_png(figure: "Figure") -> bytes:
    """A figure as a file."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


def run_curves(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Losses, validation scores beside those of gray, pace and learning rate of a training run, as a PNG.

    Args:
        rows: of its metrics.csv.
    """
    scores = [name for name in _SCORES if name in rows[0]]
    figure, panels = grid_of_panels(3 + len(scores), 3)
    _losses(panels[0], rows)
    for axes, name in zip(panels[1:], scores, strict=False):
        _score(axes, rows, name)
    for axes, name, title in zip(
        panels[-2:], ("learning_rate", "images_per_second"), ("learning rate", "images/s"), strict=True
    ):
        axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], color=_BLUE, marker="o", markersize=3)
        axes.margins(y=0.1)
        axes.set_ylim(bottom=0)
        by_epoch(axes, title)
    return to_png(figure)


def _losses(axes: "Axes", rows: Sequence[Mapping[str, float]]) -> None:
    """What was minimized, and its parts where there are several."""
    known = {*_OTHERS, *_SCORES, *(f"gray_{name}" for name in _SCORES)}
    names = sorted((name for name in rows[0] if name not in known), key=lambda name: name != "loss")
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
    if min(values) > 0 and max(values) > _LOG_FROM * min(values):
        axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8)
    by_epoch(axes, "training losses")


def _score(axes: "Axes", rows: Sequence[Mapping[str, float]], name: str) -> None:
    """A validation metric, its best epoch, and gray."""
    epochs, values = [row["epoch"] for row in rows], [row[name] for row in rows]
    axes.axhline(rows[-1][f"gray_{name}"], label="gray", **GRAY)  # type: ignore[arg-type]
    axes.plot(epochs, values, color=_BLUE, marker="o", markersize=3)
    best = (max if name in _HIGHER_IS_BETTER else min)(range(len(values)), key=values.__getitem__)
    _leave_out_the_start(axes, values[best], rows[-1][f"gray_{name}"], values)
    label = f"best: {values[best]:.4g} in epoch {epochs[best]:.0f}"
    axes.plot(epochs[best], values[best], marker="o", markersize=7, color=_ORANGE, linestyle="none", label=label)
    axes.legend(frameon=False, fontsize=8)
    by_epoch(axes, f"validation {_SCORES[name]}")


def _leave_out_the_start(axes: "Axes", best: float, gray: float, values: Sequence[float]) -> None:
    """End the picture where a few first epochs would press all others together."""
    distances = [abs(value - best) for value in values]
    reach = max(_REACH * statistics.median(distances), 1.2 * abs(gray - best))
    if not 0 < reach < max(distances):
        return
    worst = max(values, key=lambda value: abs(value - best))
    margin = 0.05 * reach
    axes.set_ylim(*((best - margin, best + reach) if worst > best else (best - reach, best + margin)))
