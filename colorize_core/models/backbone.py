"""ResNet-18 for lightness, and initial weights from torchvision or from a state dict at a path or URI.

torchvision is imported where it is used, because the import takes two seconds in every process of a job.
"""

import io
import os
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import load as load_safetensors
from torch import Tensor, hub, nn

from colorize_core.errors import UserError
from colorize_core.models.base import load_strictly
from colorize_core.runtime.files import locate, read_file

if TYPE_CHECKING:
    from torchvision.models import ResNet, WeightsEnum

_HEAD = ("fc.weight", "fc.bias")


def gray_resnet18(weights: str | None) -> "ResNet":
    """Build ResNet-18 with a one-channel stem, without pooling and classifier.

    Args:
        weights: "imagenet" for torchvision's weights, a path or s3:// URI of a torchvision ResNet-18 state dict
            (.safetensors or .pth), or None for random weights. The stem's RGB weights are summed.

    Raises:
        UserError: the weights cannot be loaded, or are not of ResNet-18.
    """
    from torchvision.models import resnet18

    body = resnet18(weights=None)
    body.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(body.conv1.weight, mode="fan_out", nonlinearity="relu")
    del body.fc, body.avgpool
    if weights is not None:
        load_strictly(body, gray_stem(resnet18_weights(weights)), weights, "ResNet-18")
    return body


def resnet18_weights(source: str) -> dict[str, Tensor]:
    """Load the state dict of torchvision's ResNet-18, without the classifier.

    Args:
        source: "imagenet", or a path or s3:// URI of a state dict, .safetensors or torchvision's .pth (read with
            torch's restricted loader: tensors only, no code).

    Raises:
        UserError: the weights cannot be downloaded or read, or are of another network.
    """
    if source == "imagenet":
        from torchvision.models import ResNet18_Weights

        hint = "give model.options.backbone_weights=PATH to a torchvision state dict, or null to train from scratch"
        state = download_state_dict(ResNet18_Weights.IMAGENET1K_V1, hint)
    else:
        state = read_state_dict(source)
    if "conv1.weight" not in state or tuple(state["conv1.weight"].shape[1:]) != (3, 7, 7):
        raise UserError(f"{source}: not a ResNet-18 state dict of torchvision (no conv1.weight of 64x3x7x7)")
    return {key: value for key, value in state.items() if key not in _HEAD}


def gray_stem(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights to one input channel: those of the stem are summed over RGB, as fastai and timm do."""
    return {**state, "conv1.weight": state["conv1.weight"].sum(dim=1, keepdim=True)}


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


def cached_weights(weights: "WeightsEnum") -> bool:
    """Return True if torchvision's weights have been downloaded to this machine already."""
    return os.path.isfile(os.path.join(hub.get_dir(), "checkpoints", os.path.basename(weights.url)))


def download_state_dict(weights: "WeightsEnum", hint: str) -> dict[str, Tensor]:
    """Load torchvision's weights from its cache or the network; raises UserError, with `hint`, if neither has them."""
    try:
        with redirect_stdout(io.StringIO()):  # torch.hub prints a line about the download
            return dict(weights.get_state_dict(progress=False, check_hash=True))
    except Exception as error:  # URLError, HTTPError, socket and hash errors
        raise UserError(f"torchvision's {weights} cannot be downloaded ({error}); {hint}") from error
