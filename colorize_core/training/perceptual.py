"""Perceptual losses: distance between two images in the features of VGG-16 (Johnson et al. 2016)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorize_core.encoders.state_dicts import download_state_dict, is_cached, read_state_dict, read_tensor_shapes
from colorize_core.errors import UserError
from colorize_core.models.initialization import on_meta_device
from colorize_core.normalization import IMAGENET_DEVIATION, IMAGENET_MEAN


@dataclass(frozen=True)
class Features:
    """Layers of one of torchvision's networks whose outputs are compared."""

    network: str
    """Name in torchvision."""
    title: str
    """Name for messages."""
    stops: tuple[int, ...]
    """Numbers of the layers after those that are compared."""
    weights: tuple[float, ...]
    """Weight of each mean absolute difference."""
    hint: str
    """What to do where the weights of the network cannot be downloaded."""


_HINT = "loss.{} needs them: give loss.{}=PATH to the state dict"
RELU_FEATURES = Features(
    "vgg16", "VGG-16", (4, 9, 16, 23), (0.25, 0.25, 0.25, 0.25), _HINT.format("perceptual", "vgg_weights")
)
"""relu1_2, relu2_2, relu3_3 and relu4_3, as Johnson et al. (2016); equal weights and the absolute difference follow
DeOldify and fastai, which use L1 for every term.
"""
CONV_FEATURES = Features(
    "vgg16_bn",
    "VGG-16 with BatchNorm",
    (1, 8, 15, 25, 35),
    (0.0625, 0.125, 0.25, 0.5, 1.0),
    _HINT.format("perceptual_conv", "vgg_bn_weights"),
)
"""conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1 before their BatchNorm, as DDColor (options/train/train_ddcolor.yml,
basicsr/archs/vgg_arch.py).
"""


class VGGDistance(nn.Module):
    """Weighted sum of the mean absolute differences of features."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: Features, weights: str | None = None) -> None:
        """Load the network.

        Args:
            features: layers that are compared.
            weights: path or URI of torchvision's state dict of the network; None downloads it.

        Raises:
            UserError: the weights cannot be loaded or are not of the network; random weights are never used.
        """
        super().__init__()
        from torchvision.models import get_model_weights  # imported here because it takes two seconds

        if weights:
            state = read_state_dict(weights)
        else:
            state = download_state_dict(get_model_weights(features.network).DEFAULT, features.hint)
        layers = _layers(features)
        _require_fit(layers, features, {key: value.shape for key, value in state.items()}, weights)
        layers.load_state_dict({key: state[f"features.{key}"] for key in layers.state_dict()})
        self.stages = nn.ModuleList(layers[start:stop] for start, stop in pairwise((0, *features.stops)))
        self._weights = features.weights
        self.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1), persistent=False)

    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Compute the distance between two images.

        Args:
            predicted: (B, 3, H, W) sRGB in [0, 1]; gradients flow through it.
            truth: (B, 3, H, W) sRGB in [0, 1].

        Returns:
            Scalar.
        """
        x, y = ((rgb - self.mean) / self.deviation for rgb in (predicted, truth))
        total = predicted.new_zeros(())
        for stage, weight in zip(self.stages, self._weights, strict=True):
            x = stage(x)
            with torch.no_grad():
                y = stage(y)
            total = total + weight * F.l1_loss(x, y)
        return total


def check_vgg_weights(features: Features, weights: str | None) -> None:
    """Check the weights of a network without loading them; arguments and errors as of `VGGDistance`."""
    from torchvision.models import get_model_weights

    if weights is None:
        published = get_model_weights(features.network).DEFAULT
        if not is_cached(published.url):
            download_state_dict(published, features.hint)
    elif shapes := read_tensor_shapes(weights):
        with on_meta_device():
            _require_fit(_layers(features), features, shapes, weights)


def _layers(features: Features) -> nn.Sequential:
    """Return the layers of the network up to the last that is compared, with random weights."""
    from torchvision.models import vgg

    # The whole network would draw 124 M weights for its classifier, which takes a second.
    layers: nn.Sequential = vgg.make_layers(vgg.cfgs["D"], batch_norm=features.network.endswith("_bn"))
    return layers[: features.stops[-1]]


def _require_fit(layers: nn.Module, features: Features, shapes: Mapping[str, torch.Size], where: str | None) -> None:
    for key, value in layers.state_dict().items():
        if shapes.get(f"features.{key}") != value.shape:
            raise UserError(f"{where}: not a {features.title} state dict of torchvision (features.{key} does not fit)")
