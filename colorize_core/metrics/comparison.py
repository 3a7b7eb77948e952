"""Inputs of the metrics per image: a batch of photographs and a prediction of their colors."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from colorize_core.color.lab import rgb_to_lab
from colorize_core.metrics.difference import rebalanced_auc
from colorize_core.metrics.perceptual import LPIPS
from colorize_core.metrics.pixel import colorfulness, mse

# Ranges of 8-bit a and b in the training set of the paper unet-gan, to which its two channels are scaled.
_UNET_GAN_LOW, _UNET_GAN_HIGH = (42.0, 20.0), (226.0, 223.0)


@dataclass
class Photographs:
    """A batch of photographs; values that serve every prediction are computed once."""

    rgb: Tensor
    """(B, 3, H, W) uint8 sRGB."""
    L: Tensor
    """(B, 1, H, W) CIELAB lightness of `rgb`."""
    ab: Tensor
    """(B, 2, H, W) CIELAB a and b of `rgb`."""
    bin_weights: Tensor | None = None
    """(313,) weights of the rebalanced AuC; needed for that metric only."""
    network: LPIPS | None = None
    """Network of LPIPS; without it there is no LPIPS."""

    @cached_property
    def lab(self) -> Tensor:
        """(B, 3, H, W) CIELAB."""
        return torch.cat((self.L, self.ab), dim=1)

    @cached_property
    def colorfulness(self) -> Tensor:
        """(B,) colorfulness M3."""
        return colorfulness(self.rgb)

    @cached_property
    def colorfulness_absolute(self) -> Tensor:
        """(B,) colorfulness M3 of absolute opponent channels."""
        return colorfulness(self.rgb, absolute=True)

    @cached_property
    def features(self) -> list[Tensor]:
        """LPIPS features of RGB in [-1, 1]."""
        assert self.network
        return self.network.features(self.rgb)

    @cached_property
    def features_unit(self) -> list[Tensor]:
        """LPIPS features of RGB in [0, 1]."""
        assert self.network
        return self.network.features(self.rgb, unit_range=True)


@dataclass
class Comparison:
    """A prediction for a batch of photographs; values that serve several metrics are computed once."""

    predicted_ab: Tensor
    """(B, 2, H, W) float, CIELAB units."""
    image: Tensor
    """(B, 3, H, W) uint8 sRGB: `predicted_ab` with the lightness of the photographs."""
    truth: Photographs
    """The photographs."""

    @cached_property
    def lab(self) -> Tensor:
        """(B, 3, H, W) CIELAB of `image`."""
        return rgb_to_lab(self.image.float() / 255)

    @cached_property
    def mse(self) -> Tensor:
        """(B,) mean squared error of uint8 RGB."""
        return mse(self.image, self.truth.rgb)

    @cached_property
    def rebalanced_auc(self) -> tuple[Tensor, Tensor]:
        """Weighted area and mean weight of each image, both (B,)."""
        assert self.truth.bin_weights is not None
        return rebalanced_auc(self.predicted_ab, self.truth.ab, self.truth.bin_weights)

    @cached_property
    def scaled_ab(self) -> tuple[Tensor, Tensor]:
        """Predicted and true a and b, scaled to [0, 1] by the ranges of the training set of the paper unet-gan."""
        low = self.truth.ab.new_tensor(_UNET_GAN_LOW).view(1, 2, 1, 1)
        width = self.truth.ab.new_tensor(_UNET_GAN_HIGH).view(1, 2, 1, 1) - low
        return (self.predicted_ab + 128 - low) / width, (self.truth.ab + 128 - low) / width

    def lpips(self, *, unit_range: bool = False) -> Tensor | None:
        """Compute LPIPS, (B,) float64; None without its network. `unit_range` is that of `LPIPS.features`."""
        network = self.truth.network
        if network is None:
            return None
        truth = self.truth.features_unit if unit_range else self.truth.features
        return network.distance(network.features(self.image, unit_range=unit_range), truth)
