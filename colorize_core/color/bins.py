"""Color as classification: 313 bins of the ab plane, soft labels, class rebalancing (Zhang et al. 2016, section 2).

The bins are a property of sRGB; the prior over them comes from the training photographs (`dataset.json`).
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

GRID = 10  # CIELAB units between bin centers
NEIGHBORS = 10  # bins of a soft label, as in the authors' training code; the paper says 5
SIGMA = 5.0  # standard deviation of the Gaussian weights of a soft label, CIELAB units
TEMPERATURE = 0.38  # softmax temperature of the annealed mean (Zhang et al. 2016, eq. 5)

# First and last b of the bins at each a: the corners of the 10-unit cells that contain colors of the sRGB gamut, and
# six more at its tips. The last layer of the published network fixes their number and order.
_ROWS = {
    -90: (50, 90),
    -80: (20, 90),
    -70: (0, 90),
    -60: (-20, 90),
    -50: (-30, 100),
    -40: (-40, 100),
    -30: (-50, 100),
    -20: (-50, 100),
    -10: (-60, 100),
    0: (-70, 100),
    10: (-80, 90),
    20: (-80, 90),
    30: (-90, 90),
    40: (-100, 90),
    50: (-100, 80),
    60: (-110, 80),
    70: (-110, 80),
    80: (-110, 70),
    90: (-110, 70),
    100: (-90, 0),
}
BINS = sum((last - first) // GRID + 1 for first, last in _ROWS.values())


@cache
def _centers() -> Tensor:
    points = [(a, b) for a, (first, last) in _ROWS.items() for b in range(first, last + 1, GRID)]
    return torch.tensor(points, dtype=torch.float32, device="cpu")


def bin_centers(device: torch.device | str = "cpu") -> Tensor:
    """Return a and b of the 313 bins, (313, 2) float32, in the order of the published network: by a, then b."""
    return _centers().to(device, copy=True)


@cache
def _neighbor_table(count: int) -> Tensor:
    """Return the `count` bins nearest to every integer a and b: (256 * 256, count), row (a + 128) * 256 + b + 128."""
    axis = torch.arange(-128, 128, dtype=torch.float32)
    colors = torch.cartesian_prod(axis, axis)
    return torch.cat([torch.cdist(part, _centers()).topk(count, largest=False).indices for part in colors.split(8192)])


def nearest_bins(ab: Tensor, count: int = 1) -> Tensor:
    """Return the indices of the bins nearest to each color, nearest first.

    Args:
        ab: (B, 2, H, W) float, CIELAB units; rounded to integer a and b for the lookup.
        count: number of bins per color.

    Returns:
        (B, count, H, W) int64.
    """
    whole = ab.round().clamp(-128, 127).long() + 128
    table = _neighbor_table(count).to(ab.device)
    return table[whole[:, 0] * 256 + whole[:, 1]].permute(0, 3, 1, 2)


def soft_encode(ab: Tensor) -> tuple[Tensor, Tensor]:
    """Encode each color as Gaussian weights (sigma 5) of its 10 nearest bins (Zhang et al. 2016, section 2.1).

    The encoding is sparse: all other bins have weight 0.

    Args:
        ab: (B, 2, H, W) float, CIELAB units.

    Returns:
        Indices (B, 10, H, W) int64 of the bins, and their weights, float32, which sum to 1 over dimension 1.
    """
    indices = nearest_bins(ab, NEIGHBORS)
    centers = bin_centers(ab.device)[indices]  # (B, 10, H, W, 2)
    squares = (centers - ab.permute(0, 2, 3, 1).unsqueeze(1)).square().sum(-1)
    return indices, torch.softmax(-squares / (2 * SIGMA**2), dim=1)


def bin_prior(color_prior: Sequence[Sequence[float]]) -> Tensor:
    """Return the share of each bin, (313,) float64 summing to 1.

    Args:
        color_prior: [a, b, share] of grid points, as in `dataset.json`; a point that is no bin counts for the nearest
            bin. Empty, as in a dataset without training photographs: all bins have the same share.
    """
    if not color_prior:
        return torch.full((BINS,), 1 / BINS, dtype=torch.float64)
    prior = torch.zeros(BINS, dtype=torch.float64)
    points = torch.tensor([list(row) for row in color_prior], dtype=torch.float64).reshape(-1, 3)
    nearest = nearest_bins(points[:, :2].T[None, :, :, None]).flatten()
    prior.index_add_(0, nearest, points[:, 2])
    return prior / prior.sum()


def rebalancing_weights(prior: Tensor, smoothing: float = 0.5) -> Tensor:
    """Return the class-rebalancing weight of each bin, larger for rare colors (Zhang et al. 2016, eq. 4).

    Args:
        prior: (313,) shares summing to 1.
        smoothing: lambda, the share of the uniform distribution mixed into the prior.

    Returns:
        (313,) float64, proportional to 1 / ((1 - smoothing) prior + smoothing / 313), mean 1 under the prior.
    """
    weights = 1 / ((1 - smoothing) * prior + smoothing / len(prior))
    return weights / (prior * weights).sum()
