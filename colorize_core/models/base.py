"""Base class of all architectures, and strict loading of weights."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from colorize_core.errors import UserError


class ColorModel(nn.Module):
    """Network that predicts chroma from lightness.

    `forward(L: float (B, 1, H, W) in [-1, 1]) -> ab: float (B, 2, H, W)`, on the network's scale (`color.normalize_L`,
    `color.normalize_ab`), H and W multiples of 32.
    """

    architecture: dict[str, Any]
    """{"name", "options"} as given to `build_model`, stored in checkpoints."""

    has_bins: ClassVar[bool] = False
    """True if `outputs` returns logits over the 313 color bins of `color.bins`."""

    stride: int = 32
    """Images whose sides are multiples of this need no padding."""

    def outputs(self, L: Tensor) -> dict[str, Tensor]:
        """Return all outputs of one forward pass: ab, and logits (B, 313, h, w) if the model has bins."""
        return {"ab": self(L)}


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], where: str, kind: str) -> None:
    """Copy a state dict into a network; raises UserError with the first tensor whose name or shape does not match.

    On the meta device names and shapes are compared and nothing is copied.

    Args:
        network: network to load into.
        state: tensors by name.
        where: location of the state, for the message.
        kind: name of the network, for the message.
    """
    own = network.state_dict()
    for key in sorted(own.keys() | state.keys()):
        found, expected = state.get(key), own.get(key)
        if found is None or expected is None or found.shape != expected.shape:
            raise UserError(
                f"{where}: weights of another architecture than {kind} "
                f"({key}: {_shape(found)} in the file, {_shape(expected)} in the model)"
            )
    if not any(tensor.is_meta for tensor in own.values()):
        network.load_state_dict(state)


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else "x".join(map(str, tensor.shape)) or "a number"
