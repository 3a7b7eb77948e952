"""From lightness at any size to chroma at the same size: the model sees its working size."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from colorize_core.color.lab import denormalize_ab, normalize_L

STRIDE = 32  # models take sides that are multiples of this
_MOST_SQUASHED = 9 / 8


def working_shape(height: int, width: int, working_size: int) -> tuple[int, int]:
    """Height and width of what the model is given for a photograph: multiples of 32, about `working_size` squared.

    The nearest to the aspect ratio at constant area, at most as long as the area is in rows of 32.
    """
    longest = max(working_size**2 // STRIDE, STRIDE)
    root = math.sqrt(height / width)
    ideal = (working_size * root, working_size / root)
    sides = [min(max(round(side / STRIDE), 1) * STRIDE, longest // STRIDE * STRIDE) for side in ideal]
    return sides[0], sides[1]


def content_shape(height: int, width: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Height and width that a photograph itself takes of its working shape; `pad` fills the rest.

    All of it, unless that would squash the photograph by more than an eighth (panoramas, small working sizes): a
    model does not know what is squashed, and its colors turn wrong. Then as much as the aspect ratio allows.
    """
    squash = (shape[0] / shape[1]) / (height / width)
    if 1 / _MOST_SQUASHED <= squash <= _MOST_SQUASHED:
        return shape
    scale = min(shape[0] / height, shape[1] / width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def pad(L: Tensor, shape: tuple[int, int]) -> Tensor:
    """Fill (B, C, h, w) up to a shape, at the bottom and on the right, by mirroring as often as it takes."""
    for axis, wanted in zip((2, 3), shape, strict=True):
        size = L.shape[axis]
        if size < wanted:
            turn = torch.arange(wanted, device=L.device) % (2 * size)
            L = L.index_select(axis, torch.minimum(turn, 2 * size - 1 - turn))
    return L


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


class LargestFeatures(TorchFunctionMode):
    """While active, watches how large the features (B, C, h, w) of networks become."""

    bytes = 0
    """Of the largest so far."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call one of torch's functions and look at its result."""
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim == 4:
            self.bytes = max(self.bytes, result.nbytes)
        return result


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
    shape = working_shape(height, width, working_size)
    content = content_shape(height, width, shape)
    ab = predict_ab(model, pad(shrink(L, content), shape))
    return enlarge(ab[..., : content[0], : content[1]], (height, width))
