"""Comparison of the trials of a sweep: tables and curves."""

import csv
import io
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from colorize_core.formatting import markdown_table
from colorize_core.metrics.registry import METRICS, validation_metrics
from jobs.train.outputs.curves import GRAY, by_epoch, grid_of_panels, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAE = METRICS["mae_ab"]
_GRAY_MAE = f"gray_{_MAE.name}"
_PANELS_PER_ROW = 2
_Y_MAX_RELATIVE_TO_GRAY = 1.2  # higher errors are not shown, because they would compress the curves of other trials


def _columns() -> dict[str, tuple[str, Callable[[float], str]]]:
    """Return the heading and the format of each score, by name."""
    columns: dict[str, tuple[str, Callable[[float], str]]] = {"best_epoch": ("best epoch", "{:.0f}".format)}
    for metric in validation_metrics():
        columns[metric.name] = (metric.heading, metric.format)
        if metric is _MAE:
            columns[_GRAY_MAE] = (f"gray {metric.label}", metric.format)
    return columns | {"images_per_second": ("images/s", "{:.0f}".format)}


@dataclass(frozen=True)
class Trial:
    """Training run of a sweep, finished or not."""

    name: str
    values: Mapping[str, Any]
    """Values of the varied keys, by key."""
    epochs: Sequence[Mapping[str, float]]
    """Rows of the metrics.csv of the run."""
    status: str
    """done, waiting, unfinished, or failed with its reason."""

    @property
    def scores(self) -> dict[str, float]:
        """Scores of the epoch with the lowest validation MAE, with the median speed; empty before the first epoch."""
        if not self.epochs:
            return {}
        best = min(self.epochs, key=lambda row: row[_MAE.name])
        derived = {
            "best_epoch": best["epoch"],
            "images_per_second": statistics.median(row["images_per_second"] for row in self.epochs),
        }
        known = {**best, **derived}
        return {name: known[name] for name in _columns() if name in known}

    @property
    def is_worse_than_gray(self) -> bool:
        """True if leaving the photographs gray has a lower error."""
        return bool(self.epochs) and self.scores[_MAE.name] > self.scores[_GRAY_MAE]


def rank(trials: Sequence[Trial]) -> list[Trial]:
    """Sort trials by validation MAE, lowest first; trials without one come last, in their order."""
    return sorted(trials, key=lambda trial: trial.scores.get(_MAE.name, float("inf")))


def to_csv(trials: Sequence[Trial]) -> str:
    """Return one row per trial, best first: name, values of the varied keys, scores of the best epoch, and status."""
    sheet = io.StringIO()
    table = csv.DictWriter(sheet, ["trial", *trials[0].values, *_columns(), "below_gray", "status"])
    table.writeheader()
    for trial in rank(trials):
        values = {key: format_value(value) for key, value in trial.values.items()}
        below_gray = str(trial.is_worse_than_gray).lower() if trial.epochs else ""
        row = {"trial": trial.name, **values, **trial.scores, "below_gray": below_gray, "status": trial.status}
        table.writerow(row)
    return sheet.getvalue()


def to_markdown(trials: Sequence[Trial]) -> str:
    """Return the table as Markdown, best trial first and in bold; trials that are worse than gray are marked."""
    ranked, columns = rank(trials), _columns()
    rows = []
    for trial in ranked:
        scores = {
            name: format_score(trial.scores[name]) if name in trial.scores else ""
            for name, (_, format_score) in columns.items()
        }
        if trial.is_worse_than_gray:
            scores[_MAE.name] += " ⚠"
        cells = [*map(format_value, trial.values.values()), *scores.values()]
        if trial is ranked[0] and trial.epochs:
            cells = [f"**{cell}**" for cell in cells]
        rows.append([*cells, trial.status])
    headings = [*ranked[0].values, *(heading for heading, _ in columns.values()), "status"]
    notes = [
        "Validation scores of the best epoch of each trial by MAE, best trial first. comparison.csv has the folders."
    ]
    if worse := [trial.name for trial in ranked if trial.is_worse_than_gray]:
        notes.append(f"⚠ worse than leaving the photographs gray, by MAE: {'; '.join(worse)}.")
    return "\n\n".join([markdown_table(headings, rows), *notes]) + "\n"


def format_value(value: Any) -> str:
    """Format the value of a key as in a configuration: 0.001, [0.5, 0.999], true, none."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def curves_png(panels: Mapping[str, Mapping[str, Trial]]) -> bytes:
    """Plot validation MAE by epoch as a PNG, up to 1.2 times the MAE of gray.

    Args:
        panels: trials by the label of their line, by title of the panel.
    """
    figure, grid = grid_of_panels(len(panels), _PANELS_PER_ROW, sharey=True)
    limits = _limits([trial for trials in panels.values() for trial in trials.values()])
    for axes, (title, trials) in zip(grid, panels.items(), strict=True):
        _draw_panel(axes, title, trials, limits)
    figure.supylabel(f"validation {_MAE.title}", fontsize=10)
    return to_png(figure)


def _limits(trials: Sequence[Trial]) -> tuple[float, float]:
    """Return the range of the MAE axis."""
    best = rank(trials)[0].scores
    if not best:
        return 0.0, 1.0
    top = _Y_MAX_RELATIVE_TO_GRAY * max(best[_GRAY_MAE], best[_MAE.name])
    return best[_MAE.name] - 0.05 * (top - best[_MAE.name]), top


def _draw_panel(axes: "Axes", title: str, trials: Mapping[str, Trial], limits: tuple[float, float]) -> None:
    from matplotlib import colormaps

    started = {label: trial for label, trial in trials.items() if trial.epochs}
    best = rank(list(started.values()))[:1]
    colors = colormaps["viridis"]
    for number, (label, trial) in enumerate(started.items()):
        mark = " (best)" if trial in best else " (above)" if trial.scores[_MAE.name] > limits[1] else ""
        axes.plot(
            [row["epoch"] for row in trial.epochs],
            [row[_MAE.name] for row in trial.epochs],
            marker="o",
            markersize=3,
            linewidth=2.5 if trial in best else 1.2,
            color=colors(0.9 * number / max(len(started) - 1, 1)),
            label=label + mark,
        )
    if started:
        axes.axhline(best[0].scores[_GRAY_MAE], label="gray", **GRAY)  # type: ignore[arg-type]
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    axes.set_ylim(*limits)
    by_epoch(axes, title)
