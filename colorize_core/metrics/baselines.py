"""Trivial baselines, and the upper bound that the working size imposes."""

import torch
from torch import Tensor

from colorize_core.inference.prediction import enlarge, shrink, working_shape


def gray(ab: Tensor) -> Tensor:
    """Predict no color: zeros like (B, 2, H, W) ab."""
    return torch.zeros_like(ab)


def constant_color(ab: Tensor, color: tuple[float, float]) -> Tensor:
    """Predict one color (a and b) for every pixel of every photograph: the median of the training set."""
    return torch.tensor(color, dtype=ab.dtype, device=ab.device).view(1, 2, 1, 1).expand_as(ab)


def best_constant(ab: Tensor) -> Tensor:
    """Predict the median a and b of each photograph itself for all its pixels: the best single color by MAE."""
    return ab.flatten(2).median(dim=2).values[:, :, None, None].expand_as(ab)


def ceiling(ab: Tensor, working_size: int) -> Tensor:
    """Downscale true chroma to the working size and upscale it again, as a perfect model would predict it."""
    height, width = ab.shape[-2:]
    return enlarge(shrink(ab, working_shape(height, width, working_size)), (height, width))
