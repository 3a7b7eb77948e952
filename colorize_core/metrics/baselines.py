"""What a model must beat, and the best it could do."""

import torch
from torch import Tensor

from colorize_core.inference.prediction import enlarge, shrink, working_shape


def gray(ab: Tensor) -> Tensor:
    """The gray baseline: no color at all, for (B, 2, H, W) ab."""
    return torch.zeros_like(ab)


def constant_color(ab: Tensor, color: tuple[float, float]) -> Tensor:
    """The constant-color baseline: every pixel painted `color` (a and b, the median of the training set)."""
    return torch.tensor(color, dtype=ab.dtype, device=ab.device).view(1, 2, 1, 1).expand_as(ab)


def best_constant(ab: Tensor) -> Tensor:
    """The oracle constant: every pixel painted the median a and b of its own photograph, the best for MAE."""
    return ab.flatten(2).median(dim=2).values[:, :, None, None].expand_as(ab)


def ceiling(ab: Tensor, working_size: int) -> Tensor:
    """True chroma as a perfect model would give it: at the working size, and enlarged again."""
    height, width = ab.shape[-2:]
    return enlarge(shrink(ab, working_shape(height, width, working_size)), (height, width))
