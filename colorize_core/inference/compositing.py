"""Lightness and chroma at full size to a picture's levels, on whatever device they are."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colorize_core.color.lab import chroma, fit_gamut, lab_to_rgb, rgb_to_lab


@dataclass
class ComposedRows:
    """Some rows of a picture."""

    levels: np.ndarray
    """(n, W, 3) sRGB, uint8 or uint16."""
    ab: Tensor
    """(1, 2, n, W) the chroma they have before rounding, CIELAB units."""
    chroma: float
    """Its sum over all pixels."""
    clipped: int
    """How many pixels lost chroma to fit sRGB."""
    lightness_error: float
    """The largest difference of L between the levels and what was asked for."""


def paint(L: Tensor, ab: Tensor, depth: int) -> ComposedRows:
    """Paint rows, keeping their lightness: colors outside sRGB lose chroma (`color.fit_gamut`).

    Args:
        L: (1, 1, n, W) float32 lightness in [0, 100].
        ab: (1, 2, n, W) float32 finite chroma, CIELAB units; may be overwritten.
        depth: 8 or 16 bits.
    """
    return _compose_rgb_on_cpu(L, ab, depth) if L.device.type == "cpu" else compose_rgb_on_device(L, ab, depth)


def _compose_rgb_on_cpu(L: Tensor, ab: Tensor, depth: int) -> ComposedRows:
    from colorize_core.color.kernels import compose_rows

    ab = ab.contiguous()
    levels, clipped, chroma_sum, error = compose_rows(L[0, 0].contiguous().numpy(), ab[0].numpy(), depth)
    return ComposedRows(levels, ab, chroma_sum, clipped, error)


def compose_rgb_on_device(L: Tensor, ab: Tensor, depth: int) -> ComposedRows:
    """`paint` in torch, for any device."""
    white = 2**depth - 1
    fitted, clipped = fit_gamut(torch.cat((L, ab), dim=1))
    levels = (lab_to_rgb(fitted) * white).round_()
    error = (rgb_to_lab(levels / white)[:, :1] - L).abs().max()
    pixels = levels[0].permute(1, 2, 0).to(torch.int32).cpu().numpy().astype(np.uint16 if depth == 16 else np.uint8)
    ab = fitted[:, 1:]
    return ComposedRows(pixels, ab, float(chroma(ab).sum()), int(clipped.sum()), float(error))
