"""From lightness at any size to chroma at the same size: the model sees its working size."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorize_core.color import denormalize_ab, normalize_L

STRIDE = 32  # models take sides that are multiples of this


def working_shape(height: int, width: int, working_size: int) -> tuple[int, int]:
    """Height and width at which the model sees a photograph.

    The aspect ratio is kept, as far as multiples of 32 allow, at about `working_size` squared pixels; squashing a
    panorama to a square turns its colours wrong. Beyond the ratio at which the short side would be under 32 pixels
    the picture is squashed after all, which bounds the long side.
    """
    longest = max(working_size**2 // STRIDE, STRIDE)
    root = math.sqrt(height / width)
    ideal = (working_size * root, working_size / root)
    sides = [min(max(round(side / STRIDE), 1) * STRIDE, longest // STRIDE * STRIDE) for side in ideal]
    return sides[0], sides[1]


@torch.inference_mode()
def predict_ab(model: nn.Module, L: Tensor) -> Tensor:
    """Run the model on lightness that is already at its working shape.

    Args:
        model: in evaluation mode.
        L: (B, 1, h, w) float CIELAB lightness in [0, 100], h and w multiples of 32, on the model's device.

    Returns:
        (B, 2, h, w) float32 a and b, CIELAB units.
    """
    return denormalize_ab(model(normalize_L(L)).float())


def shrink(L: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize lightness (B, 1, H, W) to a working shape, antialiased bilinear."""
    if L.shape[-2:] == shape:
        return L
    return F.interpolate(L, shape, mode="bilinear", antialias=True, align_corners=False)


def enlarge(ab: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize chroma (B, 2, h, w) to the photograph's size, bilinear."""
    if ab.shape[-2:] == shape:
        return ab
    return F.interpolate(ab, shape, mode="bilinear", align_corners=False)


def colorize_lightness(model: nn.Module, L: Tensor, working_size: int) -> Tensor:
    """Predict a and b (B, 2, H, W), CIELAB units, for lightness (B, 1, H, W) in [0, 100] of any one size."""
    height, width = L.shape[-2:]
    small = shrink(L, working_shape(height, width, working_size))
    return enlarge(predict_ab(model, small), (height, width))
