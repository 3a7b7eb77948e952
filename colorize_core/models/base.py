"""What every architecture is."""

from typing import Any

from torch import nn


class ColorModel(nn.Module):
    """A network from lightness to chroma.

    `forward(L: float (B, 1, H, W) in [-1, 1]) -> ab: float (B, 2, H, W)`, on the network's scale (`color.normalize_L`,
    `color.normalize_ab`), H and W multiples of 32.
    """

    architecture: dict[str, Any]
    """{"name", "options"} that `build_model` built it from; goes into checkpoints."""
