"""Base class of all architectures."""

from typing import Any

from torch import Tensor, nn


class ColorModel(nn.Module):
    """Network that predicts chroma from lightness.

    `forward(L: float (B, 1, H, W) in [-1, 1]) -> ab: float (B, 2, H, W)`, on the network's scale (`color.normalize_L`,
    `color.normalize_ab`), H and W multiples of 32.
    """

    architecture: dict[str, Any]
    """{"name", "options"} as given to `build_model`, stored in checkpoints."""

    has_bins: bool = False
    """True if `outputs` returns logits over the 313 color bins of `color.bins`."""

    backbone: str | None = None
    """Network whose weights the option `backbone_weights` names, as torchvision or `encoders` call it."""

    stride: int = 32
    """Images whose sides are multiples of this need no padding."""

    def outputs(self, L: Tensor) -> dict[str, Tensor]:
        """Return all outputs of one forward pass: ab, and logits (B, 313, h, w) if the model has bins."""
        return {"ab": self(L)}
