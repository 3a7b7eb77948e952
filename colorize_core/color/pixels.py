"""Levels of files, 8 or 16 bits, and the CIELAB they stand for."""

import functools

import numpy as np
import torch
from torch import Tensor

from colorize_core.color.lab import rgb_to_lab


def pixels_to_lab(pixels: np.ndarray, device: torch.device) -> Tensor:
    """CIELAB (1, 3, H, W) of pixels in color, lightness (1, 1, H, W) alone of gray ones, of 8 or 16 bits."""
    white = np.iinfo(pixels.dtype).max
    if pixels.ndim == 2:  # numpy's take is twice as fast as its indexing, and five times as fast as torch's
        return torch.from_numpy(_lightness_table(white + 1).take(pixels))[None, None].to(device)
    if device.type == "cpu":
        from colorize_core.color.kernels import pixels_to_lab_rows

        return torch.from_numpy(pixels_to_lab_rows(pixels))[None]
    values = torch.from_numpy(pixels.astype(np.int32)).to(device)
    return rgb_to_lab(values.permute(2, 0, 1)[None].float() / white)


@functools.cache
def _lightness_table(levels: int) -> np.ndarray:
    """L of every gray level, (levels,) float32."""
    ramp = torch.linspace(0, 1, levels).view(1, 1, 1, levels).expand(1, 3, 1, levels)
    return rgb_to_lab(ramp)[0, 0, 0].numpy()
