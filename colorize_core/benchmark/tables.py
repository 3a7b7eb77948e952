"""Figures as Markdown, and stages as a picture of stacked bars."""

import io
from collections.abc import Mapping, Sequence

_COLORS = ("#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#9c755f", "#e15759", "#76b7b2", "#edc948", "#bab0ac")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"
    return str(value)


def stacked_bars(bars: Mapping[str, Mapping[str, float]], stages: Sequence[str], title: str) -> bytes:
    """Horizontal bars of milliseconds by stage, as a PNG.

    Args:
        bars: milliseconds by stage, by the bar's name, from top to bottom.
        stages: in order, at most nine; one that a bar lacks is left out of it.
        title: what is shown.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.1 + 0.55 * len(bars)), layout="constrained")
    axes = figure.subplots()
    left = dict.fromkeys(bars, 0.0)
    for stage, color in zip(stages, _COLORS[: len(stages)], strict=True):
        widths = [bar.get(stage, 0.0) for bar in bars.values()]
        axes.barh(list(bars), widths, left=list(left.values()), color=color, label=stage)
        left = {name: left[name] + width for name, width in zip(bars, widths, strict=True)}
    for place, total in enumerate(left.values()):
        axes.text(total, place, f" {total:.1f}", va="center", fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(left.values()))
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=120)
    return sink.getvalue()
