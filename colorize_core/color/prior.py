"""Distribution of colors in a set of photographs: median, and prior over an ab grid."""

import numpy as np

_GRID = 10  # CIELAB units between bin centers (Zhang et al. 2016, section 2.1)


class ColorCounter:
    """Histogram of 8-bit a and b, from which median and prior follow exactly; counts of several shards can be added."""

    def __init__(self, counts: np.ndarray | None = None) -> None:
        """Start from (256, 256) int64 counts indexed by a + 128 and b + 128, or from zeros."""
        self.counts = np.zeros((256, 256), np.int64) if counts is None else counts

    def add(self, ab: np.ndarray) -> None:
        """Count the pixels of (B, 2, S, S) uint8 ab."""
        index = ab[:, 0].astype(np.int64) * 256 + ab[:, 1]
        self.counts += np.bincount(index.ravel(), minlength=65536).reshape(256, 256)

    def median(self) -> tuple[float, float]:
        """Return median a and median b in CIELAB units; (0, 0) if nothing was counted."""
        if not self.counts.any():
            return 0.0, 0.0
        a, b = (int(np.searchsorted(np.cumsum(self.counts.sum(axis)), self.counts.sum() / 2)) for axis in (1, 0))
        return float(a - 128), float(b - 128)

    def prior(self) -> list[list[float]]:
        """Return the share of pixels nearest to each grid point as [a, b, share], largest share first."""
        a, b = np.nonzero(self.counts)
        weights = self.counts[a, b]
        shares: dict[tuple[int, int], int] = {}
        for point_a, point_b, weight in zip(_nearest_grid(a), _nearest_grid(b), weights, strict=True):
            shares[int(point_a), int(point_b)] = shares.get((int(point_a), int(point_b)), 0) + int(weight)
        total = max(int(weights.sum()), 1)
        ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
        return [[float(a), float(b), count / total] for (a, b), count in ordered]


def _nearest_grid(stored: np.ndarray) -> np.ndarray:
    return (np.round((stored - 128) / _GRID) * _GRID).astype(int)
