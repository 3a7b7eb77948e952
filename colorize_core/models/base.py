"""Base class of all architectures."""

from typing import Any

from torch import Tensor, nn


class ColorModel(nn.Module):
    """Network that predicts chroma from lightness.

    `forward(L: float (B, 1, H, W) in [-1, 1]) -> ab: float (B, 2, H, W)`, on the network's scale (`color.normalize_L`,
    `color.normalize_ab`), H and W multiples of 32.

    A model with `takes_hints` has an optional second argument, colors that are known in some pixels:
    `forward(L, hints: float (B, 3, H, W) | None = None)`, and `outputs` likewise. The channels of the hints are a and b
    on the network's scale, and a mask that is 1 where the color is known and 0 elsewhere; a and b are 0 where the mask
    is 0. None is the same as zeros, no hints, so that every model can be called with L alone. A model that was trained
    with another convention for the mask converts it inside.
    """

    architecture: dict[str, Any]
    """{"name", "options"} as given to `build_model`, stored in checkpoints."""

    has_bins: bool = False
    """True if `outputs` returns logits over the 313 color bins of `color.bins`."""

    temperature: float | None = None
    """Temperature of the annealed mean over the color bins; None if `forward` computes no such mean. May be changed."""

    takes_hints: bool = False
    """True if `forward` and `outputs` take hints as a second argument. Training then draws them (`data.hints`)."""

    backbone: str | None = None
    """Network whose weights the option `backbone_weights` names, as torchvision or `encoders` call it."""

    stride: int = 32
    """Images whose sides are multiples of this need no padding."""

    working_size: int = 256
    """Side in pixels at which weights published for this architecture are used, unless a checkpoint says otherwise."""

    def outputs(self, L: Tensor) -> dict[str, Tensor]:
        """Return all outputs of one forward pass: ab, and logits (B, 313, h, w) if the model has bins."""
        return {"ab": self(L)}
