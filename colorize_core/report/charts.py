"""Charts as inline SVG, drawn by matplotlib, with colors from the style sheet of the page (light or dark)."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Placeholder colors that are replaced in the SVG by variables of the style sheet.
_INK, _FAINT, _ACCENT = "#010203", "#010204", "#010205"
_SERIES = tuple(f"#01030{number}" for number in range(8))
_VARIABLES = {_INK: "var(--ink-2)", _FAINT: "var(--line)", _ACCENT: "var(--accent)"} | {
    color: f"var(--series-{number})" for number, color in enumerate(_SERIES)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 8,
    "axes.formatter.useoffset": False,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.color": _FAINT,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
}
DIFFERENCE_COLORS = "inferno"
_SMALL = (3.5, 2.0)


@dataclass(frozen=True)
class Bars:
    """Histogram to draw."""

    edges: np.ndarray
    """Bin edges (N + 1,)."""
    counts: np.ndarray
    """Values per bin (N,)."""
    below: int
    """Number of values below the first edge."""
    above: int
    """Number of values above the last edge."""


def histogram_chart(bars: Bars, reference: tuple[float, str] | None, label: str) -> Markup:
    """Draw a histogram, with a reference value (value, text) if it is within the plot."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: "Axes") -> None:
        axes.stairs(bars.counts, bars.edges, fill=True, color=_ACCENT)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_ylabel("photographs")
        axes.set_xlim(bars.edges[0], bars.edges[-1])
        if reference is not None and bars.edges[0] <= reference[0] <= bars.edges[-1]:
            axes.axvline(reference[0], color=_INK, linestyle="--", linewidth=1)
            is_right = reference[0] > (bars.edges[0] + bars.edges[-1]) / 2
            above = axes.get_xaxis_transform()
            side = "right" if is_right else "left"
            axes.text(reference[0], 1.02, reference[1], transform=above, va="bottom", ha=side, fontsize=7)

    return _svg(draw, _SMALL, label)


def overlaid_chart(edges: np.ndarray, shares: Mapping[str, np.ndarray], muted: Sequence[str], label: str) -> Markup:
    """Draw several histograms as outlines in one plot.

    Args:
        edges: bin edges (N + 1,).
        shares: percentages per bin (N,) by name.
        muted: names of baselines, drawn in gray.
        label: accessible name of the chart.
    """

    def draw(axes: "Axes") -> None:
        for name, values in shares.items():
            axes.stairs(values, edges, label=name, **_line(name, list(shares), muted))
        axes.set_ylabel("% of photographs")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7, handlelength=1.4)

    return _svg(draw, _SMALL, label)


def curve_chart(curves: Mapping[str, Sequence[tuple[float, float]]], muted: Sequence[str], axis: str) -> Markup:
    """Draw lines of (epoch, value) by name."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: "Axes") -> None:
        for name, points in curves.items():
            x, y = zip(*points, strict=True)
            marker = "" if name in muted or len(points) > 30 else "o"
            axes.plot(x, y, marker=marker, markersize=3, label=name, **_line(name, list(curves), muted))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(axis)
        axes.grid(axis="y")
        axes.legend(fontsize=7, handlelength=1.4)

    return _svg(draw, _SMALL, f"{axis} by epoch: {', '.join(curves)}")


def interval_chart(
    values: Mapping[str, tuple[float, float, float]],
    muted: Sequence[str],
    axis: str,
    names: Sequence[str] | None = None,
) -> Markup:
    """Draw a dot with its interval for each name: (value, low, high); `names` is the order of colors if it differs."""
    names = names or list(values)

    def draw(axes: "Axes") -> None:
        for place, (name, (value, low, high)) in enumerate(values.items()):
            color = _line(name, names, muted)["color"]
            axes.plot([low, high], [place, place], color=color, linewidth=2, solid_capstyle="round")
            axes.plot([value], [place], "o", color=color, markersize=5)
        axes.set_yticks(range(len(values)), list(values))
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.set_xlabel(axis)
        axes.grid(axis="x")

    width, _ = _SMALL
    return _svg(draw, (width, 0.55 + 0.24 * len(values)), f"{axis} with 95% intervals: {', '.join(values)}")


def color_ramp(steps: int = 8) -> str:
    """Return the colors of difference maps as a list of CSS colors, from no difference to the limit."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return ", ".join(to_hex(colormaps[DIFFERENCE_COLORS](step / steps)) for step in range(steps + 1))


def _line(name: str, names: Sequence[str], muted: Sequence[str]) -> dict[str, Any]:
    """Return the line style of a name: models in the series colors, baselines gray and dashed in different ways."""
    if name in muted:
        number = [each for each in names if each in muted].index(name)
        return {"color": _INK, "linestyle": ("--", ":", "-.")[number % 3]}
    return {"color": _SERIES[[each for each in names if each not in muted].index(name) % len(_SERIES)]}


def _svg(draw: "Callable[[Axes], None]", size: tuple[float, float], label: str) -> Markup:
    """Return what `draw` draws, as an SVG element that takes its width and colors from the page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    sink = io.StringIO()
    with rc_context({**_STYLE, "svg.hashsalt": label}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        draw(axes)
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = sink.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    opening = re.match(r"<svg[^>]*>", svg)
    assert opening is not None
    shape = re.search(r'viewBox="[^"]*"', opening[0])
    assert shape is not None
    head = (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {shape[0]}'
    )
    svg = f'{head} role="img" aria-label="{escape(label)}">{svg[opening.end() :]}'
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    return Markup(svg)
