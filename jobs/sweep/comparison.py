"""What a sweep found, side by side: a table of its trials and their curves."""

import csv
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.train.outputs.curves import GRAY, by_epoch, grid_of_panels, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = {
    "best_epoch": "best epoch",
    "mae_ab": "MAE (ab/110) ↓",
    "gray_mae_ab": "gray MAE",
    "psnr": "PSNR (dB) ↑",
    "ssim": "SSIM ↑",
    "images_per_second": "images/s",
}
_DIGITS = {"best_epoch": 0, "mae_ab": 4, "gray_mae_ab": 4, "psnr": 2, "ssim": 4, "images_per_second": 0}
_PANELS_PER_ROW = 2
_TOP_IN_GRAYS = 1.2  # what is further above gray leaves the picture: it would press the others together


@dataclass(frozen=True)
class Trial:
    """One run of a sweep, as far as it got."""

    name: str
    values: Mapping[str, Any]
    """Value by varied key."""
    epochs: Sequence[Mapping[str, float]]
    """Rows of its metrics.csv."""
    status: str
    """done, waiting, unfinished, or failed with its reason."""

    @property
    def scores(self) -> dict[str, float]:
        """Of the epoch with the lowest validation MAE, images/s the median of all; empty before the first epoch."""
        if not self.epochs:
            return {}
        best = min(self.epochs, key=lambda row: row["mae_ab"])
        speed = statistics.median(row["images_per_second"] for row in self.epochs)
        return (
            {"best_epoch": best["epoch"]}
            | {name: best[name] for name in _COLUMNS if name in best}
            | {"images_per_second": speed}
        )

    @property
    def is_below_gray(self) -> bool:
        """Whether leaving the photographs gray has the lower error."""
        return bool(self.epochs) and self.scores["mae_ab"] > self.scores["gray_mae_ab"]


def rank(trials: Sequence[Trial]) -> list[Trial]:
    """By validation MAE, lowest first; what has none comes last, in its own order."""
    return sorted(trials, key=lambda trial: trial.scores.get("mae_ab", float("inf")))


def to_csv(trials: Sequence[Trial]) -> str:
    """One row per trial, best first: its name, the varied keys, the scores of its best epoch, and its status."""
    sheet = io.StringIO()
    table = csv.DictWriter(sheet, ["trial", *trials[0].values, *_COLUMNS, "below_gray", "status"])
    table.writeheader()
    for trial in rank(trials):
        values = {key: show(value) for key, value in trial.values.items()}
        verdict = {"below_gray": str(trial.is_below_gray).lower() if trial.epochs else ""}
        table.writerow({"trial": trial.name, **values, **trial.scores, **verdict, "status": trial.status})
    return sheet.getvalue()


def to_markdown(trials: Sequence[Trial]) -> str:
    """The table for people, best first and in bold; a trial that loses to gray is marked."""
    ranked = rank(trials)
    lines = [_row([*ranked[0].values, *_COLUMNS.values(), "status"]), f"|{'---|' * (len(ranked[0].values) + 7)}"]
    for place, trial in enumerate(ranked):
        scores = trial.scores
        cells = [show(value) for value in trial.values.values()]
        cells += [f"{scores[name]:.{_DIGITS[name]}f}" if name in scores else "" for name in _COLUMNS]
        if place == 0 and scores:
            cells = [f"**{cell}**" for cell in cells]
        if trial.is_below_gray:
            cells[len(trial.values) + 1] += " ⚠"
        lines.append(_row([*cells, trial.status]))
    lines += [
        "",
        "Validation scores of each trial's best epoch by MAE, best trial first; comparison.csv names their folders.",
    ]
    if worse := [trial.name for trial in ranked if trial.is_below_gray]:
        lines += ["", f"⚠ worse than leaving the photographs gray, by MAE: {'; '.join(worse)}."]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def show(value: Any) -> str:
    """A value as people write it: 0.001, [0.5, 0.999], true, none."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def curves_png(panels: Mapping[str, Mapping[str, Trial]]) -> bytes:
    """Validation MAE by epoch as a PNG, up to 1.2 times that of gray.

    Args:
        panels: by title, the trials of a panel by the label of their line.
    """
    figure, grid = grid_of_panels(len(panels), _PANELS_PER_ROW, sharey=True)
    limits = _limits([trial for trials in panels.values() for trial in trials.values()])
    for axes, (title, trials) in zip(grid, panels.items(), strict=True):
        _draw_panel(axes, title, trials, limits)
    figure.supylabel("validation MAE (ab/110)", fontsize=10)
    return to_png(figure)


def _limits(trials: Sequence[Trial]) -> tuple[float, float]:
    """MAE at which the picture begins and ends."""
    best = rank(trials)[0].scores
    if not best:
        return 0.0, 1.0
    top = _TOP_IN_GRAYS * max(best["gray_mae_ab"], best["mae_ab"])
    return best["mae_ab"] - 0.05 * (top - best["mae_ab"]), top


def _draw_panel(axes: "Axes", title: str, trials: Mapping[str, Trial], limits: tuple[float, float]) -> None:
    from matplotlib import colormaps

    begun = {label: trial for label, trial in trials.items() if trial.epochs}
    best = rank(list(begun.values()))[:1]
    colors = colormaps["viridis"]
    for number, (label, trial) in enumerate(begun.items()):
        mark = " (best)" if trial in best else " (above)" if trial.scores["mae_ab"] > limits[1] else ""
        axes.plot(
            [row["epoch"] for row in trial.epochs],
            [row["mae_ab"] for row in trial.epochs],
            marker="o",
            markersize=3,
            linewidth=2.5 if trial in best else 1.2,
            color=colors(0.9 * number / max(len(begun) - 1, 1)),
            label=label + mark,
        )
    if begun:
        axes.axhline(best[0].scores["gray_mae_ab"], label="gray", **GRAY)  # type: ignore[arg-type]
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    axes.set_ylim(*limits)
    by_epoch(axes, title)
