"""Composition of full-size lightness and chroma to sRGB pixel values, on any device."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colorize_core.color.lab import chroma, fit_gamut, lab_to_rgb, rgb_to_lab


@dataclass
class ComposedRows:
    """Composed rows of an image, with sums for its scores."""

    pixels: np.ndarray
    """(n, W, 3) sRGB, uint8 or uint16."""
    ab: Tensor
    """(1, 2, n, W) chroma before rounding, CIELAB units."""
    chroma: float
    """Sum of the chroma of all pixels."""
    clipped: int
    """Number of pixels whose chroma was reduced to fit the sRGB gamut."""
    lightness_error: float
    """Maximum difference between the lightness of the rounded pixels and the given L."""


def compose_rgb(L: Tensor, ab: Tensor, depth: int) -> ComposedRows:
    """Compose rows, keeping their lightness: colors outside sRGB lose chroma (`color.lab.fit_gamut`).

    Args:
        L: (1, 1, n, W) float32 lightness in [0, 100].
        ab: (1, 2, n, W) float32 finite chroma, CIELAB units; may be overwritten.
        depth: 8 or 16 bits.
    """
    return _compose_rgb_on_cpu(L, ab, depth) if L.device.type == "cpu" else compose_rgb_on_device(L, ab, depth)


def _compose_rgb_on_cpu(L: Tensor, ab: Tensor, depth: int) -> ComposedRows:
    from colorize_core.color.kernels import compose_rows

    ab = ab.contiguous()
    pixels, clipped, chroma_sum, error = compose_rows(L[0, 0].contiguous().numpy(), ab[0].numpy(), depth)
    return ComposedRows(pixels, ab, chroma_sum, clipped, error)


def compose_rgb_on_device(L: Tensor, ab: Tensor, depth: int) -> ComposedRows:
    """Compose rows in torch, for any device; arguments as of `compose_rgb`."""
    white = 2**depth - 1
    fitted, clipped = fit_gamut(torch.cat((L, ab), dim=1))
    values = (lab_to_rgb(fitted) * white).round_()
    error = (rgb_to_lab(values / white)[:, :1] - L).abs().max()
    pixels = values[0].permute(1, 2, 0).to(torch.int32).cpu().numpy().astype(np.uint16 if depth == 16 else np.uint8)
    ab = fitted[:, 1:]
    return ComposedRows(pixels, ab, float(chroma(ab).sum()), int(clipped.sum()), float(error))
