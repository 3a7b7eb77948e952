"""Conversion of 8-bit and 16-bit pixel values to CIELAB."""

import functools

import numpy as np
import torch
from torch import Tensor

from colorize_core.color.lab import rgb_to_lab


def pixels_to_lab(pixels: np.ndarray, device: torch.device) -> Tensor:
    """Convert pixel values to CIELAB on a device.

    Args:
        pixels: (H, W, 3) sRGB or (H, W) gray, uint8 or uint16.
        device: device of the result.

    Returns:
        float32: L, a and b (1, 3, H, W) of sRGB pixels; L alone (1, 1, H, W) of gray ones.
    """
    white = np.iinfo(pixels.dtype).max
    if pixels.ndim == 2:  # numpy's take is twice as fast as its indexing, and five times as fast as torch's
        return torch.from_numpy(_lightness_table(white + 1).take(pixels))[None, None].to(device)
    if device.type == "cpu":
        from colorize_core.color.kernels import pixels_to_lab_rows

        return torch.from_numpy(pixels_to_lab_rows(pixels))[None]
    values = torch.from_numpy(pixels.astype(np.int32)).to(device)
    return rgb_to_lab(values.permute(2, 0, 1)[None].float() / white)


@functools.cache
def _lightness_table(count: int) -> np.ndarray:
    """Return L of every gray value, (count,) float32."""
    ramp = torch.linspace(0, 1, count).view(1, 1, 1, count).expand(1, 3, 1, count)
    return rgb_to_lab(ramp)[0, 0, 0].numpy()
