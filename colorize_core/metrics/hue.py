"""Plausible and implausible colors by pixel: how much of the color is right, and how much is wrong.

Mean errors reward gray where the color is uncertain. These two shares ask what a viewer asks: is the grass green, and
is there a blue face. Designed in this project; the thresholds are in CIELAB units and degrees.
"""

import math

import torch
from torch import Tensor

_COLORED = 20.0  # true chroma of a pixel that a viewer calls colored
_VISIBLE = 8.0  # predicted chroma from which a pixel is not seen as gray
_RIGHT_DEGREES = 35.0
_STRONG = 16.0  # predicted chroma from which a wrong color is disturbing
_WRONG_DEGREES = 70.0
_GRAY = 6.0  # true chroma below which a pixel is gray


def colored(truth: Tensor) -> Tensor:
    """Return the share of pixels with a chroma of at least 20, (B,) float; truth: (B, 2, H, W) ab."""
    return _mean(_chroma(truth) >= _COLORED)


def right_hue(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the share of colored pixels that receive a visible color of the right hue.

    Args:
        predicted: (B, 2, H, W) ab.
        truth: (B, 2, H, W) ab.

    Returns:
        (B,) float in [0, 1]: of the pixels with a true chroma of at least 20, the share with a predicted chroma of at
        least 8 and a hue within 35 degrees; 0 for an image without such pixels.
    """
    known = _chroma(truth) >= _COLORED
    right = known & (_chroma(predicted) >= _VISIBLE) & _hue_within(predicted, truth, _RIGHT_DEGREES)
    return right.sum((1, 2)) / known.sum((1, 2)).clamp(min=1)


def false_color(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the share of pixels that receive a strong color that is wrong.

    Args:
        predicted: (B, 2, H, W) ab.
        truth: (B, 2, H, W) ab.

    Returns:
        (B,) float in [0, 1]: of all pixels, the share with a predicted chroma of at least 16 whose hue is off by more
        than 70 degrees, or whose true chroma is below 6.
    """
    wrong = (_chroma(truth) < _GRAY) | ~_hue_within(predicted, truth, _WRONG_DEGREES)
    return _mean((_chroma(predicted) >= _STRONG) & wrong)


def _chroma(ab: Tensor) -> Tensor:
    return torch.linalg.vector_norm(ab, dim=1)


def _hue_within(one: Tensor, other: Tensor, degrees: float) -> Tensor:
    """Return where the angle between two colors is at most `degrees`, by their scalar product."""
    return (one * other).sum(1) >= math.cos(math.radians(degrees)) * _chroma(one) * _chroma(other)


def _mean(mask: Tensor) -> Tensor:
    return mask.float().mean((1, 2))
