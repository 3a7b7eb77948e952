"""Bootstrap intervals."""

from collections.abc import Callable

import numpy as np


def bootstrap(
    statistic: Callable[[np.ndarray], float], count: int, *, resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """Compute a statistic of resamples of the images, drawn with replacement (Efron 1979).

    Args:
        statistic: function of the indices of the images (with repetitions).
        count: number of images.
        resamples: number of resamples.
        seed: random seed; with the same seed and images the resamples of two models are the same, so that the
            differences of their values are those of a paired bootstrap.

    Returns:
        (resamples,) float64.
    """
    generator = np.random.default_rng(seed)
    return np.array([statistic(generator.integers(0, count, count)) for _ in range(resamples)], np.float64)


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the bounds that contain the share `level` of the values of a bootstrap, with equal tails."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
