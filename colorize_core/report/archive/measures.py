"""What an archive's rows measure, and how its values are spread, however many rows there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from colorize_core.color.gray import GRAY_CHROMA
from colorize_core.report.charts import Bars

_FINE_BINS = 65_536
_BARS = 40
_WORTH_SHOWING = 0.002  # share of values beyond either end of a plot, so that one odd value does not press it flat


@dataclass(frozen=True)
class Measure:
    """One column of an archive's rows that is a number about the picture."""

    name: str
    title: str
    meaning: str
    low: float
    high: float
    """Between which all values lie; what is beyond counts as at the end."""
    digits: int
    reference: tuple[float, str] | None = None
    """A value to compare with, and what it stands for."""


MEASURES = (
    Measure(
        "mean_chroma",
        "Mean chroma",
        "how colorful the picture is, mean of sqrt(a² + b²) in CIELAB units; more is not better",
        0,
        150,
        1,
        (GRAY_CHROMA, "below: counts as gray"),
    ),
    Measure(
        "gamut_clipped",
        "Clipped color",
        "share of pixels whose predicted color did not fit into sRGB and lost chroma",
        0,
        1,
        4,
    ),
    Measure(
        "max_lightness_error",
        "Lightness error",
        "how far the lightness of any pixel is from the photograph's, in levels of 255, before lossy encoding",
        0,
        255,
        2,
        (1.0, "one level"),
    ),
    Measure(
        "mae_ab",
        "Color error (MAE, ab/110)",
        "mean distance in a and b from the photograph, for inputs that were in color",
        0,
        2,
        4,
        (0.09, "gray, on ordinary photographs"),
    ),
    Measure("psnr", "PSNR (dB)", "of RGB against the photograph, for inputs that were in color", 0, 100, 2),
    Measure("ssim", "SSIM", "of RGB against the photograph, for inputs that were in color", -1, 1, 4),
)
"""Every measure of an archive's rows, in the order of the page."""


class Distribution:
    """Exact counts of values in fine bins: memory does not grow with the rows."""

    def __init__(self, low: float, high: float) -> None:
        """Between two ends; values beyond them count as at the ends."""
        self._low, self._high = low, high
        self._counts = np.zeros(_FINE_BINS, np.int64)
        self._sum = 0.0

    def add(self, values: np.ndarray) -> None:
        """Count values (N,); those that are not finite are left out."""
        values = values[np.isfinite(values)]
        bins = ((values - self._low) / (self._high - self._low) * _FINE_BINS).astype(np.int64)
        self._counts += np.bincount(bins.clip(0, _FINE_BINS - 1), minlength=_FINE_BINS)
        self._sum += float(values.sum())

    @property
    def count(self) -> int:
        """How many values."""
        return int(self._counts.sum())

    @property
    def mean(self) -> float:
        """Of all values; NaN without any."""
        return self._sum / self.count if self.count else float("nan")

    def quantile(self, share: float) -> float:
        """The value below which a share lies, to the width of a bin; NaN without values."""
        if not self.count:
            return float("nan")
        place = int(np.searchsorted(self._counts.cumsum(), share * self.count))
        return self._low + (min(place, _FINE_BINS - 1) + 0.5) * (self._high - self._low) / _FINE_BINS

    def bars(self) -> Bars:
        """About forty bars over all but the furthest values."""
        if not self.count:
            return Bars(np.array([self._low, self._high]), np.zeros(1, np.int64), 0, 0)
        total = self._counts.cumsum()
        first = int(np.searchsorted(total, _WORTH_SHOWING * self.count, side="right"))
        last = int(np.searchsorted(total, (1 - _WORTH_SHOWING) * self.count))
        width = max(1, -(-(last - first + 1) // _BARS))
        number = -(-(last - first + 1) // width)
        shown = np.zeros(number * width, np.int64)
        stop = min(first + number * width, _FINE_BINS)
        shown[: stop - first] = self._counts[first:stop]
        edges = self._low + (first + width * np.arange(number + 1)) * (self._high - self._low) / _FINE_BINS
        counts = shown.reshape(number, width).sum(1)
        return Bars(edges, counts, int(self._counts[:first].sum()), int(self._counts[stop:].sum()))


def histogram(values: Sequence[float] | np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of values in each bin (N,), of finite values; what is beyond the edges counts to the end bins."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)].clip(edges[0], edges[-1])
    return np.histogram(finite, edges)[0] / max(len(finite), 1)
