"""Structural similarity (Wang et al. 2004) with a Gaussian and with a uniform window."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colorize_core.runtime.strips import row_slices


@dataclass(frozen=True)
class _Window:
    """A separable window of weights that sum to 1."""

    weights: tuple[float, ...]
    covariance_factor: float
    """n / (n - 1) for sample variances over n pixels, 1 for population variances."""


def _gaussian(size: int, sigma: float) -> tuple[float, ...]:
    offsets = np.arange(size) - size // 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    return tuple(weights / weights.sum())


_GAUSSIAN = _Window(_gaussian(11, 1.5), 1.0)
_UNIFORM = _Window((1 / 7,) * 7, 49 / 48)


def ssim(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute the structural similarity, per image, as the mean over the RGB channels.

    Wang et al. 2004: Gaussian window 11x11 with sigma 1.5, K1 0.01, K2 0.03, range 255, windows entirely inside the
    image. Equals scikit-image with gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255.

    Args:
        predicted: (B, 3, H, W) uint8 sRGB.
        truth: the same shape.

    Returns:
        (B,) float64; NaN for images with a side shorter than the window.
    """
    return _ssim(predicted, truth, _GAUSSIAN, 255.0)


def ssim_uniform(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute the structural similarity with the defaults of scikit-image: uniform 7x7 window, sample covariance.

    Otherwise as `ssim`, from which it differs by about 0.002 on photographs.
    """
    return _ssim(predicted, truth, _UNIFORM, 255.0)


def ssim_unit(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute `ssim` of (B, C, H, W) float channels in [0, 1], as tf.image.ssim with max_val=1."""
    return _ssim(predicted, truth, _GAUSSIAN, 1.0)


def _ssim(predicted: Tensor, truth: Tensor, window: _Window, data_range: float) -> Tensor:
    batch, channels, height, width = predicted.shape
    size = len(window.weights)
    if min(height, width) < size:
        return torch.full((batch,), float("nan"), dtype=torch.float64, device=predicted.device)
    total = torch.zeros(batch, dtype=torch.float64, device=predicted.device)
    inside_rows, inside_columns = height - size + 1, width - size + 1
    for rows in row_slices(inside_rows, batch * width):
        seen = slice(rows.start, rows.stop + size - 1)
        similarity = _map(predicted[:, :, seen].float(), truth[:, :, seen].float(), window, data_range)
        total += similarity.sum(dim=(1, 2, 3), dtype=torch.float64)
    return total / (channels * inside_rows * inside_columns)


def _map(x: Tensor, y: Tensor, window: _Window, data_range: float) -> Tensor:
    # Centered, since E[x^2] - E[x]^2 in float32 would lose digits otherwise; the means of SSIM are restored below.
    center = data_range / 2
    x, y = x - center, y - center
    mean_x, mean_y = _blur(x, window), _blur(y, window)
    factor = window.covariance_factor
    var_x = factor * (_blur(x * x, window) - mean_x * mean_x)
    var_y = factor * (_blur(y * y, window) - mean_y * mean_y)
    covariance = factor * (_blur(x * y, window) - mean_x * mean_y)
    mean_x, mean_y = mean_x + center, mean_y + center
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance * (2 * covariance + c2) / (var_x + var_y + c2)


def _blur(x: Tensor, window: _Window) -> Tensor:
    """Filter the last two axes without padding. Shifted sums are 40 times faster than a CPU convolution."""
    size = len(window.weights)
    for axis in (-2, -1):
        length = x.shape[axis] - size + 1
        total = x.narrow(axis, 0, length) * window.weights[0]
        for shift in range(1, size):
            total.add_(x.narrow(axis, shift, length), alpha=window.weights[shift])
        x = total
    return x
