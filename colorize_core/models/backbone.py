"""ResNet-18 on lightness, and first weights: torchvision's enum, or a state dict at a path or URI.

torchvision is imported where it is used: it takes two seconds, in every process of a job.
"""

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from colorize_core.errors import UserError
from colorize_core.models.base import load_strictly
from colorize_core.runtime.files import read_file

if TYPE_CHECKING:
    from torchvision.models import ResNet, WeightsEnum

_HEAD = ("fc.weight", "fc.bias")


def gray_resnet18(weights: str | None) -> "ResNet":
    """ResNet-18 with a one-channel stem, without pooling and classifier.

    Args:
        weights: "imagenet" for torchvision's weights, a path or s3:// URI of a torchvision ResNet-18 state dict
            (.safetensors or .pth), or None for random weights. The stem's RGB weights are summed.

    Raises:
        UserError: the weights cannot be had, or are not a ResNet-18's.
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
    """State dict of torchvision's ResNet-18, without the classifier.

    Args:
        source: "imagenet", or a path or s3:// URI of a state dict, .safetensors or torchvision's .pth (read with
            torch's restricted loader: tensors only, no code).

    Raises:
        UserError: the weights cannot be downloaded, read, or belong to another network.
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
    """The same weights for one input channel: the stem's are summed over RGB, as fastai and timm do."""
    return {**state, "conv1.weight": state["conv1.weight"].sum(dim=1, keepdim=True)}


def read_state_dict(source: str) -> dict[str, Tensor]:
    """Read a state dict from a path or URI; raises UserError when it is not there or not a state dict."""
    data = read_file(source)
    try:
        if source.endswith(".safetensors"):
            return load_safetensors(data)
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{source}: not a readable state dict ({type(error).__name__})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{source}: not a state dict of tensors")
    return state


def download_state_dict(weights: "WeightsEnum", hint: str) -> dict[str, Tensor]:
    """Weights that torchvision publishes; raises UserError, with `hint`, when neither cache nor network has them."""
    try:
        with redirect_stdout(io.StringIO()):  # torch.hub announces the download
            return dict(weights.get_state_dict(progress=False, check_hash=True))
    except Exception as error:  # URLError, HTTPError, socket and hash errors: all mean "not to be had"
        raise UserError(f"torchvision's {weights} cannot be downloaded ({error}); {hint}") from error
