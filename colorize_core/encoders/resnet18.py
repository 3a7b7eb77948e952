"""ResNet-18 for lightness, with initial weights of torchvision or of a state dict at a path or URI."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from colorize_core.encoders.state_dicts import download_state_dict, load_strictly, read_state_dict
from colorize_core.errors import UserError

if TYPE_CHECKING:
    from torchvision.models import ResNet

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
