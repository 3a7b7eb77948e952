"""What every architecture is, and how weights get into one."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from colorize_core.errors import UserError


class ColorModel(nn.Module):
    """A network from lightness to chroma.

    `forward(L: float (B, 1, H, W) in [-1, 1]) -> ab: float (B, 2, H, W)`, on the network's scale (`color.normalize_L`,
    `color.normalize_ab`), H and W multiples of 32.
    """

    architecture: dict[str, Any]
    """{"name", "options"} that `build_model` built it from; goes into checkpoints."""

    has_bins: ClassVar[bool] = False
    """Whether `outputs` holds logits over the 313 colors of `bins`."""

    stride: int = 32
    """Sides that are multiples of it are taken without padding."""

    def outputs(self, L: Tensor) -> dict[str, Tensor]:
        """All that training may need, from one forward pass: ab, and logits (B, 313, h, w) of a model with bins."""
        return {"ab": self(L)}


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], where: str, kind: str) -> None:
    """Copy a state dict into a network of the same layers; raises UserError naming the first tensor that does not fit.

    Args:
        network: any.
        state: its tensors, by name.
        where: location of the state, for the message.
        kind: what the network is, for the message.
    """
    own = network.state_dict()
    for key in sorted(own.keys() | state.keys()):
        found, expected = state.get(key), own.get(key)
        if found is None or expected is None or found.shape != expected.shape:
            raise UserError(
                f"{where}: weights of another architecture than {kind} "
                f"({key}: {_shape(found)} in the file, {_shape(expected)} in the model)"
            )
    network.load_state_dict(state)


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else "x".join(map(str, tensor.shape)) or "a number"
