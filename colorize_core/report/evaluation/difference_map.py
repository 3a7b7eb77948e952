"""Maps of the color difference between two images."""

import numpy as np
import torch
from torch import Tensor

from colorize_core.color.lab import rgb_to_lab
from colorize_core.metrics.difference import ciede2000_map
from colorize_core.report.charts import DIFFERENCE_COLORS


def difference_map(rgb: Tensor, truth: Tensor, limit: float) -> np.ndarray:
    """Render the CIEDE2000 of each pixel as a color from dark (0) to bright (`limit` or more).

    Args:
        rgb: (3, H, W) uint8 sRGB.
        truth: the same shape.
        limit: CIEDE2000 at the bright end.

    Returns:
        (3, H, W) uint8.
    """
    from matplotlib import colormaps

    lab = rgb_to_lab(torch.stack((rgb, truth)).float() / 255)
    difference = ciede2000_map(lab[:1], lab[1:])[0]
    colors = colormaps[DIFFERENCE_COLORS]((difference / limit).clamp(0, 1).numpy(), bytes=True)
    return np.ascontiguousarray(colors[..., :3].transpose(2, 0, 1))
