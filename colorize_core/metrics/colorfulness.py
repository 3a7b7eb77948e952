"""How colorful a picture is, whatever its colors (Hasler and Suesstrunk 2003)."""

import torch
from torch import Tensor


def colorfulness(rgb: Tensor) -> Tensor:
    """Hasler and Suesstrunk's measure M3, per image, with opponent channels that keep their sign.

    Args:
        rgb: (B, 3, H, W) uint8 sRGB.

    Returns:
        (B,) float64: 0 is gray, 15 slightly, 45 quite, 82 highly colorful.
    """
    red, green, blue = rgb.double().flatten(2).unbind(1)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    deviation = torch.hypot(red_green.std(dim=1, correction=0), yellow_blue.std(dim=1, correction=0))
    return deviation + 0.3 * torch.hypot(red_green.mean(dim=1), yellow_blue.mean(dim=1))
