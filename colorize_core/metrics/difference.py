"""Color differences in CIELAB: CIEDE2000, and the area under the curve of Zhang et al. 2016."""

import torch
from torch import Tensor

from colorize_core.color.bins import SIGMA, bin_centers, nearest_bins, rebalancing_weights
from colorize_core.color.lab import chroma
from colorize_core.runtime.strips import row_slices

_AUC_LIMIT = 150.0  # CIELAB units, the largest threshold of Zhang et al. 2016
_KCHROMA = 25.0**7


def ciede2000(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute the mean CIEDE2000 color difference, per image (Sharma et al. 2005; all weights 1).

    Args:
        predicted: (B, 3, H, W) CIELAB.
        truth: the same shape.

    Returns:
        (B,) float64; 1 is about the smallest visible difference.
    """
    batch, _, height, width = predicted.shape
    total = torch.zeros(batch, dtype=torch.float64, device=predicted.device)
    for rows in row_slices(height, batch * width):
        difference = ciede2000_map(predicted[:, :, rows], truth[:, :, rows])
        total += difference.sum(dim=(1, 2), dtype=torch.float64)
    return total / (height * width)


def ciede2000_map(one: Tensor, other: Tensor) -> Tensor:
    """Compute CIEDE2000 of each pixel of two images (B, 3, H, W) in CIELAB; returns (B, H, W)."""
    (L1, a1, b1), (L2, a2, b2) = one.float().unbind(1), other.float().unbind(1)
    mean_chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    seventh = mean_chroma**7
    stretch = 1.5 - 0.5 * (seventh / (seventh + _KCHROMA)).sqrt()
    a1, a2 = a1 * stretch, a2 * stretch
    C1, C2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = torch.atan2(b1, a1) % (2 * torch.pi), torch.atan2(b2, a2) % (2 * torch.pi)

    dL, dC = L2 - L1, C2 - C1
    turn = h2 - h1
    turn = torch.where(turn > torch.pi, turn - 2 * torch.pi, torch.where(turn < -torch.pi, turn + 2 * torch.pi, turn))
    colorless = C1 * C2 == 0
    dH = 2 * (C1 * C2).sqrt() * torch.sin(torch.where(colorless, torch.zeros_like(turn), turn) / 2)

    L, C, h = (L1 + L2) / 2, (C1 + C2) / 2, h1 + h2
    far = (h1 - h2).abs() > torch.pi
    h = torch.where(far, h + torch.where(h < 2 * torch.pi, 2 * torch.pi, -2 * torch.pi), h)
    h = torch.where(colorless, h, h / 2)
    degree = torch.pi / 180
    T = (
        1
        - 0.17 * torch.cos(h - 30 * degree)
        + 0.24 * torch.cos(2 * h)
        + 0.32 * torch.cos(3 * h + 6 * degree)
        - 0.20 * torch.cos(4 * h - 63 * degree)
    )
    lightness = (L - 50).square()
    SL = 1 + 0.015 * lightness / (20 + lightness).sqrt()
    SC, SH = 1 + 0.045 * C, 1 + 0.015 * C * T
    seventh = C**7
    rotation = (60 * degree * torch.exp(-((h / degree - 275) / 25).square())).sin()
    RT = -2 * (seventh / (seventh + _KCHROMA)).sqrt() * rotation
    terms = (dL / SL).square() + (dC / SC).square() + (dH / SH).square() + RT * (dC / SC) * (dH / SH)
    return terms.clamp_min(0).sqrt()


def auc(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute the area under the curve of the share of pixels with an ab error below a threshold, per image.

    Thresholds run from 0 to 150 (Zhang et al. 2016, section 3.1). They sum over integer thresholds; this is the closed
    form over real ones: the mean of 1 - min(error, 150) / 150.

    Args:
        predicted: (B, 2, H, W) CIELAB units.
        truth: the same shape.

    Returns:
        (B,) float64 in [0, 1].
    """
    return _closeness(predicted, truth).mean(dim=(1, 2), dtype=torch.float64)


def rebalanced_auc(predicted: Tensor, truth: Tensor, bin_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `auc` with pixels weighted by the rarity of their true color (Zhang et al. 2016, section 3.1).

    Args:
        predicted: (B, 2, H, W) CIELAB units.
        truth: the same shape.
        bin_weights: (313,) weight by bin, from `rarity`.

    Returns:
        The weighted area of each image, and the mean weight of its pixels, both (B,) float64: the area of a set is the
        weighted mean of the images' areas.
    """
    weights = bin_weights.to(predicted.device)[nearest_bins(truth)[:, 0]].double()
    weighted = (weights * _closeness(predicted, truth)).sum(dim=(1, 2))
    return weighted / weights.sum(dim=(1, 2)), weights.mean(dim=(1, 2))


def _closeness(predicted: Tensor, truth: Tensor) -> Tensor:
    error = chroma(predicted - truth)
    return 1 - error.clamp_max(_AUC_LIMIT) / _AUC_LIMIT


def rarity(prior: Tensor) -> Tensor:
    """Compute the weight of each bin for `rebalanced_auc`: 1 / share (Zhang et al. 2016, eq. 4 with lambda 0).

    The shares are smoothed by a Gaussian of sigma 5, as in the paper. Bins without pixels in the prior get the weight
    of its rarest bin, since their own weight would be arbitrarily large.

    Args:
        prior: (313,) shares summing to 1.

    Returns:
        (313,) float64.
    """
    kernel = torch.exp(-torch.cdist(bin_centers(), bin_centers()).double().square() / (2 * SIGMA**2))
    smoothed = prior @ (kernel / kernel.sum(dim=1, keepdim=True))
    return rebalancing_weights(smoothed.clamp_min(float(smoothed[prior > 0].min())), smoothing=0)
