"""State dicts: from a file or URI, or from torchvision's cache or download, and strict loading into a network.

torchvision is imported where it is used, because the import takes two seconds in every process of a job.
"""

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import load as load_safetensors
from torch import Tensor, hub, nn

from colorize_core.errors import UserError
from colorize_core.runtime.files import locate, read_file

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum


def read_state_dict(source: str) -> dict[str, Tensor]:
    """Read a state dict from a path or URI; raises UserError if the file is missing or not a state dict."""
    data = read_file(source)
    try:
        if source.endswith(".safetensors"):
            return load_safetensors(data)
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{source}: not a readable state dict ({type(error).__name__})") from error
    return _require_tensors(state, source)


def read_tensor_shapes(source: str) -> dict[str, torch.Size]:
    """Read names and shapes in a state dict without its data; errors as of `read_state_dict`.

    Returns:
        Shapes by name. Empty for an S3 URI, for which the function only checks that the file exists.
    """
    if "://" in source:
        system, path = locate(source)
        try:
            system.open_input_file(path).close()
        except OSError:
            read_file(source)  # raises the error in one line
        return {}
    try:
        if source.endswith(".safetensors"):
            with safe_open(source, "pt") as file:
                names = file.keys()
                return {name: torch.Size(file.get_slice(name).get_shape()) for name in names}
        state = torch.load(source, map_location="meta", mmap=True, weights_only=True)
    except Exception:  # also files of torch before 1.6, which cannot be mapped
        state = read_state_dict(source)
    return {name: value.shape for name, value in _require_tensors(state, source).items()}


def _require_tensors(state: object, source: str) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{source}: not a state dict of tensors")
    return state


def is_cached(url: str) -> bool:
    """Return True if torch has downloaded the file of this URL to this machine already."""
    return os.path.isfile(os.path.join(hub.get_dir(), "checkpoints", os.path.basename(url)))


def download_state_dict(weights: "WeightsEnum", hint: str) -> dict[str, Tensor]:
    """Load torchvision's weights from its cache or the network; raises UserError, with `hint`, if neither has them."""
    try:
        with redirect_stdout(io.StringIO()):  # torch.hub prints a line about the download
            return dict(weights.get_state_dict(progress=False, check_hash=True))
    except Exception as error:  # URLError, HTTPError, socket and hash errors
        raise UserError(f"torchvision's {weights} cannot be downloaded ({error}); {hint}") from error


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
