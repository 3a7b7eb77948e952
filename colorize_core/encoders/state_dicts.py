"""State dicts: from a file or URI, or from torchvision's cache or download, and strict loading into a network.

torchvision is imported where it is used, because the import takes two seconds in every process of a job.
"""

import io
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_safetensors
from torch import Tensor, hub, nn

from colorize_core.errors import UserError
from colorize_core.runtime.files import locate, read_file

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum


_WRAPPERS = ("params_ema", "params", "state_dict", "model")
"""Names under which training programs store a state dict beside other values: BasicSR, Lightning, fastai and others.

The moving average of BasicSR is what inference uses where a file has both.
"""
_NAMED_MISMATCHES = 5
_WEB_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
_LFS_POINTER = re.compile(rb"version https://git-lfs.*?oid sha256:(\w+)\s+size (\d+)", re.DOTALL)
_FORBIDDEN_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_CUT_OFF = re.compile(
    "central directory|seek value|unexpected EOF|invalid header length|incomplete metadata|too small|exhausted"
)


def read_state_dict(source: str) -> dict[str, Tensor]:
    """Read a state dict from a path or URI; raises UserError if the file is missing or not a state dict."""
    return parse_state_dict(read_file(source), source)


def parse_state_dict(data: bytes, source: str, allowed: Sequence[type] = ()) -> dict[str, Tensor]:
    """Read a state dict, alone or under one of `_WRAPPERS`, from the content of a file, by torch's restricted loader.

    Args:
        data: content of a .safetensors file, or of one that torch.save wrote, of any version.
        source: location of the file; its ending says which of the two it is.
        allowed: types that the loader may build in addition to tensors and containers of them. Nothing else is built,
            and no code runs.

    Raises:
        UserError: this is not a state dict. Web pages, Git LFS pointers and incomplete downloads are named as such.
    """
    if fault := _other_content(data):
        raise UserError(f"{source}: {fault}")
    try:
        if source.endswith(".safetensors"):
            return load_safetensors(data)
        with torch.serialization.safe_globals(list(allowed)):
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{source}: not a readable state dict ({_load_fault(data, error)})") from error
    return _require_tensors(state, source)


def _other_content(data: bytes) -> str | None:
    """Return what the content of a file is if it is a well-known kind of failed download, or None."""
    if not data:
        return "the file is empty; download it again"
    if pointer := _LFS_POINTER.match(data):
        return (
            f"a Git LFS pointer to a file of {int(pointer[2]):,} bytes (SHA-256 {pointer[1].decode()}), not the file; "
            "fetch it with git lfs pull, or download it"
        )
    if _WEB_PAGE.match(data):
        return "a web page, not weights; download the file itself (its address may need a login)"
    return None


def _load_fault(data: bytes, error: Exception) -> str:
    """Describe an error of the loader."""
    if forbidden := _FORBIDDEN_GLOBAL.search(str(error)):
        return f"it asks for {forbidden[1]}; only tensors are loaded, and no code is run"
    if isinstance(error, EOFError | SafetensorError | RuntimeError | ValueError) and _CUT_OFF.search(
        str(error) or "exhausted"
    ):
        return f"cut off after {len(data):,} bytes; download it again"
    return type(error).__name__


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
    if isinstance(state, dict):
        state = next((state[name] for name in _WRAPPERS if isinstance(state.get(name), dict)), state)
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
    """Copy a state dict into a network; raises UserError if a name or shape does not match (`require_shapes`).

    On the meta device names and shapes are compared and nothing is copied.

    Args:
        network: network to load into.
        state: tensors by name.
        where: location of the state, for the message.
        kind: name of the network, for the message.
    """
    own = network.state_dict()
    require_shapes(state, {key: tensor.shape for key, tensor in own.items()}, where, kind)
    if not any(tensor.is_meta for tensor in own.values()):
        network.load_state_dict(state)


def require_shapes(
    state: Mapping[str, Tensor], expected: Mapping[str, torch.Size | tuple[int, ...]], where: str, kind: str
) -> None:
    """Compare the names and shapes of a state dict with those that a network expects.

    Args:
        state: tensors by name.
        expected: shapes by name.
        where: location of the state, for the message.
        kind: name of the network, for the message.

    Raises:
        UserError: tensors are missing, unknown or of another shape; the message names the first five.
    """
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    wanted = {key: tuple(shape) for key, shape in expected.items()}
    wrong = [key for key in sorted(found.keys() | wanted.keys()) if found.get(key) != wanted.get(key)]
    if not wrong:
        return
    named = [
        f"{key}: {_describe(found.get(key))} in the file, {_describe(wanted.get(key))} in the model"
        for key in wrong[:_NAMED_MISMATCHES]
    ]
    if len(wrong) > len(named):
        named.append(f"and {len(wrong) - len(named)} more")
    raise UserError(f"{where}: weights of another architecture than {kind} ({'; '.join(named)})")


def _describe(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"
