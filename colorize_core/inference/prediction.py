"""Prediction of chroma for lightness of any size, with a model that runs at its working size."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from colorize_core.color.lab import denormalize_ab, normalize_L

STRIDE = 32  # height and width of model inputs are multiples of this
_MAX_DISTORTION = 9 / 8  # of the aspect ratio

Network = Callable[[Tensor], Tensor]
"""A model, or what an engine made of it: L (B, 1, h, w) in [-1, 1] to ab (B, 2, h, w) on the network's scale."""


def working_shape(height: int, width: int, working_size: int) -> tuple[int, int]:
    """Return height and width of the model input for a photograph: multiples of 32, area about `working_size` squared.

    The aspect ratio is the nearest possible at constant area; no side is longer than the area divided by 32.
    """
    longest = max(working_size**2 // STRIDE, STRIDE)
    root = math.sqrt(height / width)
    ideal = (working_size * root, working_size / root)
    sides = [min(max(round(side / STRIDE), 1) * STRIDE, longest // STRIDE * STRIDE) for side in ideal]
    return sides[0], sides[1]


def content_shape(height: int, width: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Return height and width that the photograph occupies within its working shape; `pad` fills the rest.

    This is the whole working shape, unless that would distort the aspect ratio by more than 1/8 (panoramas, small
    working sizes), since models predict wrong colors for distorted content. Then it is the largest size of the right
    aspect ratio.
    """
    distortion = (shape[0] / shape[1]) / (height / width)
    if 1 / _MAX_DISTORTION <= distortion <= _MAX_DISTORTION:
        return shape
    scale = min(shape[0] / height, shape[1] / width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def pad(L: Tensor, shape: tuple[int, int]) -> Tensor:
    """Pad (B, C, h, w) to a shape at the bottom and right, by repeated mirroring."""
    for axis, wanted in zip((2, 3), shape, strict=True):
        size = L.shape[axis]
        if size < wanted:
            turn = torch.arange(wanted, device=L.device) % (2 * size)
            L = L.index_select(axis, torch.minimum(turn, 2 * size - 1 - turn))
    return L


@torch.inference_mode()
def predict_ab(model: Network, L: Tensor) -> Tensor:
    """Run the model on lightness at its working shape.

    Args:
        model: a network in evaluation mode.
        L: (B, 1, h, w) float CIELAB lightness in [0, 100], h and w multiples of 32, on the model's device.

    Returns:
        (B, 2, h, w) float32 a and b, CIELAB units.
    """
    return denormalize_ab(model(normalize_L(L)).float())


def shrink(L: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize lightness (B, 1, H, W) to a smaller shape, antialiased bilinear."""
    if L.shape[-2:] == shape:
        return L
    return F.interpolate(L, shape, mode="bilinear", antialias=True, align_corners=False)


def enlarge(ab: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize chroma (B, 2, h, w) to a larger shape, bilinear."""
    if ab.shape[-2:] == shape:
        return ab
    return F.interpolate(ab, shape, mode="bilinear", align_corners=False)


def colorize_lightness(model: Network, L: Tensor, working_size: int) -> Tensor:
    """Predict a and b (B, 2, H, W), CIELAB units, of lightness (B, 1, H, W) in [0, 100]; all of one size, any size."""
    height, width = L.shape[-2:]
    shape = working_shape(height, width, working_size)
    content = content_shape(height, width, shape)
    ab = predict_ab(model, pad(shrink(L, content), shape))
    return enlarge(ab[..., : content[0], : content[1]], (height, width))
