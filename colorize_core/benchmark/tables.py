"""Figures as Markdown tables and as stacked bar charts."""

import io
from collections.abc import Mapping, Sequence

from colorize_core.formatting import markdown_table

_COLORS = ("#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#9c755f", "#e15759", "#76b7b2", "#edc948", "#bab0ac")


def figure_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format a Markdown table of a text column and number columns; floats are rounded, None is a dash."""
    cells = [[_cell(value) for value in row] for row in rows]
    return markdown_table(headings, cells, range(1, len(headings)))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"
    return "–" if value is None else str(value)


def stacked_bars(bars: Mapping[str, Mapping[str, float]], stages: Sequence[str], title: str) -> bytes:
    """Draw milliseconds by stage as horizontal stacked bars, a PNG.

    Args:
        bars: milliseconds by stage, by name of the bar, from top to bottom.
        stages: in order, at most nine; a bar may lack some.
        title: of the chart.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.1 + 0.55 * len(bars)), layout="constrained")
    axes = figure.subplots()
    left = dict.fromkeys(bars, 0.0)
    for stage, color in zip(stages, _COLORS, strict=False):
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
