"""Color enhancement of the truth in training (DDColor, basicsr/utils/color_enhance.py)."""

import torch
from torch import Tensor

from colorize_core.color.lab import network_rgb, normalize_ab, normalize_L, rgb_to_lab

_LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, with torchvision's digits


def enhance(rgb: Tensor, factor: float) -> Tensor:
    """Move sRGB (B, 3, H, W) in [0, 1] away from its gray of equal luma by `factor`, and clip it; 1 leaves it."""
    gray = (rgb * rgb.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return torch.lerp(gray, rgb, factor).clamp(0, 1)


def enhance_truth(L: Tensor, ab: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """Return lightness and ab of the enhanced photograph, on the network's scale as L (B, 1, H, W) and ab."""
    if factor == 1:
        return L, ab
    lab = rgb_to_lab(enhance(network_rgb(L, ab), factor))
    return normalize_L(lab[:, :1]), normalize_ab(lab[:, 1:])
