"""Metrics of pixel values: errors of ab and of uint8 RGB, and colorfulness."""

import torch
from torch import Tensor

from colorize_core.metrics.registry import PSNR_CAP
from colorize_core.normalization import AB_SCALE
from colorize_core.runtime.strips import row_slices


def mae_ab(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute the mean absolute error of a and b divided by 110, per image.

    Args:
        predicted: (B, 2, H, W) float, CIELAB units.
        truth: the same shape.

    Returns:
        (B,) float, on the scale of the networks, as reported by Gray to Glory (gray: about 0.09 on photographs).
    """
    return (predicted - truth).abs().mean(dim=(1, 2, 3)) / AB_SCALE


def mse(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute the mean squared error of uint8 RGB, per image.

    Args:
        predicted: (B, 3, H, W) uint8 sRGB.
        truth: the same shape.

    Returns:
        (B,) float64, in squared pixel values (0 to 255).
    """
    batch, _, height, width = predicted.shape
    squares = torch.zeros(batch, dtype=torch.float64, device=predicted.device)
    for rows in row_slices(height, batch * width):
        difference = predicted[:, :, rows].float() - truth[:, :, rows].float()
        squares += difference.square().sum(dim=(1, 2, 3), dtype=torch.float64)
    return squares / (3 * height * width)


def psnr_of_mse(mse: Tensor, peak: float = 255.0) -> Tensor:
    """Convert mean squared errors of any shape to peak signal-to-noise ratios in dB, at most `PSNR_CAP`."""
    return (10 * torch.log10(peak**2 / mse)).clamp_max(PSNR_CAP)


def psnr(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute the peak signal-to-noise ratio in dB, per image, peak 255, at most `PSNR_CAP`; arguments as in `mse`."""
    return psnr_of_mse(mse(predicted, truth))


def colorfulness(rgb: Tensor, *, absolute: bool = False) -> Tensor:
    """Compute the colorfulness M3, per image (Hasler and Suesstrunk 2003), with signed opponent channels.

    Args:
        rgb: (B, 3, H, W) uint8 sRGB.
        absolute: take the absolute values of the opponent channels, as the published code of CT2 and DDColor does. The
            paper does not, and values are 8 to 10 % lower.

    Returns:
        (B,) float64: 0 is gray, 15 slightly, 45 quite, 82 highly colorful.
    """
    red, green, blue = rgb.double().flatten(2).unbind(1)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    if absolute:
        red_green, yellow_blue = red_green.abs(), yellow_blue.abs()
    deviation = torch.hypot(red_green.std(dim=1, correction=0), yellow_blue.std(dim=1, correction=0))
    return deviation + 0.3 * torch.hypot(red_green.mean(dim=1), yellow_blue.mean(dim=1))
