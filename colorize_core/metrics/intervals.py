"""Bootstrap intervals."""

from collections.abc import Callable

import numpy as np


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float],
    count: int,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of a statistic over images (Efron 1979).

    Args:
        statistic: function of the indices of the images (with repetitions).
        count: number of images.
        resamples: number of resamples.
        level: coverage, 0.95 for a 95% interval.
        seed: random seed; models scored on the same images with the same seed get paired resamples.
    """
    generator = np.random.default_rng(seed)
    values = [statistic(generator.integers(0, count, count)) for _ in range(resamples)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
