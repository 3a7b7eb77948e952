"""Classification networks of torchvision as encoders of lightness, without their classifiers."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from colorize_core.normalization import IMAGENET_DEVIATION, IMAGENET_MEAN


@dataclass(frozen=True)
class _Network:
    weights: str
    """Name of torchvision's weights enumeration."""
    head: tuple[str, ...]
    """Submodules that are left out."""
    outputs: tuple[int, int, int, int]
    """Numbers of the layers whose outputs are the features at strides 4, 8, 16 and 32."""


NETWORKS = {
    "efficientnet_v2_s": _Network("EfficientNet_V2_S_Weights", ("classifier", "avgpool"), (2, 3, 5, 6)),
    "convnext_tiny": _Network("ConvNeXt_Tiny_Weights", ("classifier", "avgpool"), (1, 3, 5, 7)),
    "resnet34": _Network("ResNet34_Weights", ("fc", "avgpool"), (4, 5, 6, 7)),
}
"""Supported networks by torchvision's name."""


class TorchvisionEncoder(nn.Module):
    """Features at strides 4 to 32, and a vector of the whole image: the mean of the last layer."""

    @torch.no_grad()
    def __init__(self, name: str) -> None:
        """Build one of NETWORKS with random weights."""
        super().__init__()
        from torchvision import models

        self._known = NETWORKS[name]
        self.network = models.get_model(name, weights=None)
        for part in self._known.head:
            delattr(self.network, part)
        features, scene = self.eval()(torch.zeros(1, 1, 32, 32))
        self.train()
        self.channels = tuple(feature.shape[1] for feature in features)
        """Channels of the features at strides 4, 8, 16 and 32."""
        self.scene_channels = scene.shape[1]
        """Length of the vector of the whole image."""

    def forward(self, L: Tensor) -> tuple[list[Tensor], Tensor]:
        """Map L (B, 1, H, W) in [-1, 1] to features at strides 4 to 32 and a vector (B, scene_channels)."""
        mean, deviation = (L.new_tensor(values).reshape(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        x = ((L + 1) / 2 - mean) / deviation
        features = []
        for number, layer in enumerate(self._layers()):
            x = layer(x)
            if number in self._known.outputs:
                features.append(x)
        return features, x.mean((2, 3))

    def stages(self) -> list[list[nn.Module]]:
        """Return the modules of each stage, whose outputs are the features at strides 4, 8, 16 and 32.

        The layers after the last feature belong to the last stage.
        """
        layers = self._layers()
        ends = [number + 1 for number in self._known.outputs[:-1]]
        return [layers[begin:end] for begin, end in pairwise([0, *ends, len(layers)])]

    def _layers(self) -> list[nn.Module]:
        return list(getattr(self.network, "features", self.network).children())

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename the tensors of torchvision's state dict to this module's, without those of the classifier."""
        return {
            f"network.{key}": value for key, value in state.items() if key.partition(".")[0] not in self._known.head
        }
