"""Measures of the color images of an archive, and their distributions in constant memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from colorize_core.color.gray import GRAY_CHROMA
from colorize_core.metrics.registry import METRICS
from colorize_core.report.charts import Bars

_FINE_BINS = 65_536
_BARS = 40
_VALUES_PER_BAR = 4  # at least, on average: fewer values make a comb
_CUT_OFF = 0.002  # share of values beyond each end of a plot, so that outliers do not compress it


@dataclass(frozen=True)
class Measure:
    """A numeric column of the rows of an archive."""

    name: str
    title: str
    meaning: str
    low: float
    """Lower end of the value range; values outside the range are clipped to it."""
    high: float
    """Upper end of the value range."""
    digits: int
    reference: tuple[float, str] | None = None
    """A value for comparison, with its label."""


def _metric(name: str, meaning: str, low: float, high: float, reference: tuple[float, str] | None = None) -> Measure:
    """Describe a metric of inputs that were in color, with the title and digits of the registry."""
    metric = METRICS[name]
    return Measure(name, metric.title, f"{meaning}; only for inputs in color", low, high, metric.digits, reference)


MEASURES = (
    Measure(
        "mean_chroma",
        "Mean chroma",
        "colorfulness: mean of sqrt(a² + b²) in CIELAB units; a higher value is not a better one",
        0,
        150,
        1,
        (GRAY_CHROMA, "below: classified as gray"),
    ),
    Measure(
        "gamut_clipped",
        "Gamut clipping",
        "share of pixels whose predicted color is outside sRGB and was desaturated",
        0,
        1,
        4,
    ),
    Measure(
        "max_lightness_error",
        "Lightness error",
        "largest difference in lightness between image and photograph, on the scale 0 to 255, before lossy encoding",
        0,
        255,
        2,
        (1.0, "one step of 8 bits"),
    ),
    Measure(
        "disagreement",
        "Disagreement",
        "difference of the colors that the members of the ensemble predict, in CIELAB units, averaged over pixels and "
        "pairs of members",
        0,
        150,
        1,
    ),
    _metric("mae_ab", "mean error of a and b", 0, 2, (0.09, "gray image of a typical photograph")),
    _metric("psnr", "similarity of RGB values; higher is better", 0, 100),
    _metric("ssim", "similarity of RGB structure; higher is better", -1, 1),
)
"""Measures in the order of the page."""


class Distribution:
    """Histogram with fine bins; its memory does not grow with the number of values."""

    def __init__(self, low: float, high: float) -> None:
        """Cover the range from `low` to `high`; values outside it are clipped."""
        self._low, self._high = low, high
        self._counts = np.zeros(_FINE_BINS, np.int64)
        self._sum = 0.0

    def add(self, values: np.ndarray) -> None:
        """Count values (N,), ignoring NaN and infinities."""
        values = values[np.isfinite(values)]
        bins = ((values - self._low) / (self._high - self._low) * _FINE_BINS).astype(np.int64)
        self._counts += np.bincount(bins.clip(0, _FINE_BINS - 1), minlength=_FINE_BINS)
        self._sum += float(values.sum())

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self._counts.sum())

    @property
    def mean(self) -> float:
        """Mean of all values; NaN if there are none."""
        return self._sum / self.count if self.count else float("nan")

    def quantile(self, share: float) -> float:
        """Return the quantile at `share`, accurate to one fine bin; NaN if there are no values."""
        if not self.count:
            return float("nan")
        index = int(np.searchsorted(self._counts.cumsum(), share * self.count))
        return self._low + (min(index, _FINE_BINS - 1) + 0.5) * (self._high - self._low) / _FINE_BINS

    def bars(self) -> Bars:
        """Return up to forty bars, fewer for few values, that cover all values except the outermost ones."""
        if not self.count:
            return Bars(np.array([self._low, self._high]), np.zeros(1, np.int64), 0, 0)
        total = self._counts.cumsum()
        first = int(np.searchsorted(total, _CUT_OFF * self.count, side="right"))
        last = int(np.searchsorted(total, (1 - _CUT_OFF) * self.count))
        bars = max(1, min(_BARS, self.count // _VALUES_PER_BAR))
        width = max(1, -(-(last - first + 1) // bars))
        number = -(-(last - first + 1) // width)
        shown = np.zeros(number * width, np.int64)
        stop = min(first + number * width, _FINE_BINS)
        shown[: stop - first] = self._counts[first:stop]
        edges = self._low + (first + width * np.arange(number + 1)) * (self._high - self._low) / _FINE_BINS
        counts = shown.reshape(number, width).sum(1)
        return Bars(edges, counts, int(self._counts[:first].sum()), int(self._counts[stop:].sum()))


def histogram(values: Sequence[float] | np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of the finite values in each bin (N,); values beyond the edges count in the outer bins."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)].clip(edges[0], edges[-1])
    return np.histogram(finite, edges)[0] / max(len(finite), 1)
