"""The U-Net of DeOldify's generators, and its use on lightness.

Source: jantic/DeOldify, deoldify/unet.py (DynamicUnetDeep, DynamicUnetWide), deoldify/layers.py, and its copy of
fastai 1.0 (fastai/layers.py). It differs from the network of `resnet_unet` in that convolutions of the decoder have a
BatchNorm after the ReLU and no bias, every pixel shuffle is blurred, and the input is RGB. Spectral and weight norm are
not part of the network: published weights are imported with both folded into the convolutions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorize_core.color.lab import denormalize_L, lightness_to_gray, normalize_ab, rgb_to_lab
from colorize_core.models.resnet_unet import PixelShuffleUp, SelfAttention, conv_relu, resnet_features
from colorize_core.normalization import IMAGENET_DEVIATION, IMAGENET_MEAN

WORKING_SIZE = 544
"""Default working size of the generators: the multiple of 32 below 560 px, DeOldify's render factor 35."""

_LIMIT = 3.0  # of the predicted RGB, in standard deviations of ImageNet from its mean


@dataclass(frozen=True)
class BlockWidths:
    """Channels of one block of the decoder."""

    up: int
    """Channels of the upsampled features from below."""
    convolutions: Sequence[int]
    """Channels after each 3x3 convolution."""


class GeneratorUnet(nn.Module):
    """U-Net on a ResNet: RGB to RGB, both normalized by the mean and standard deviation of ImageNet."""

    def __init__(self, body: Literal["resnet34", "resnet101"], blocks: Sequence[BlockWidths]) -> None:
        """Build the network with random weights.

        Args:
            body: encoder, as torchvision calls it.
            blocks: channels of the four blocks of the decoder, the coarsest first. Self-attention is in the second one,
                at 1/8 of the side.
        """
        super().__init__()
        from torchvision import models

        self.body = models.get_model(body, weights=None)
        del self.body.fc, self.body.avgpool
        expansion = self.body.layer1[0].expansion
        bottom, *skips = (512 * expansion, 256 * expansion, 128 * expansion, 64 * expansion, 64)
        self.norm = nn.BatchNorm2d(bottom)
        self.middle = nn.Sequential(_conv_relu_norm(bottom, 2 * bottom), _conv_relu_norm(2 * bottom, bottom))
        self.blocks = nn.ModuleList()
        below = bottom
        for number, (skip, widths) in enumerate(zip(skips, blocks, strict=True)):
            self.blocks.append(DecoderBlock(below, skip, widths, attention=number == 1))
            below = widths.convolutions[-1]
        self.up = PixelShuffleUp(below, below, blur=True)
        self.cross = nn.Sequential(*(conv_relu(below + 3, below + 3, spectral=False) for _ in range(2)))
        self.to_rgb = nn.Conv2d(below + 3, 3, 1)
        nn.init.kaiming_normal_(self.to_rgb.weight)
        assert self.to_rgb.bias is not None
        nn.init.zeros_(self.to_rgb.bias)

    def forward(self, rgb: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 3, H, W) float32 in [-3, 3]; H and W multiples of 32."""
        bottom, *skips = resnet_features(self.body, rgb)
        x = self.middle(F.relu(self.norm(bottom)))
        for block, skip in zip(self.blocks, skips, strict=True):
            x = block(x, skip)
        x = torch.cat((self.up(x), rgb), dim=1)
        return 2 * _LIMIT * torch.sigmoid(self.to_rgb(x + self.cross(x)).float()) - _LIMIT


class DecoderBlock(nn.Module):
    """Blurred pixel shuffle upsampling, concatenation with the normalized skip, 3x3 convolutions."""

    def __init__(self, inputs: int, skip: int, widths: BlockWidths, *, attention: bool) -> None:
        """Build for `inputs` channels from below and `skip` from the encoder; attention follows the convolutions."""
        super().__init__()
        self.up = PixelShuffleUp(inputs, widths.up, norm=True, blur=True)
        self.norm = nn.BatchNorm2d(skip)
        self.convs = nn.Sequential()
        channels = widths.up + skip
        for outputs in widths.convolutions:
            self.convs.append(_conv_relu_norm(channels, outputs))
            channels = outputs
        if attention:
            self.convs.append(SelfAttention(channels, spectral=False))

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """Map below (B, inputs, H, W) and skip (B, skip, 2H, 2W) to (B, channels, 2H, 2W)."""
        result: Tensor = self.convs(F.relu(torch.cat((self.up(below), self.norm(skip)), dim=1)))
        return result


def _conv_relu_norm(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return nn.Sequential(conv, nn.ReLU(inplace=True), nn.BatchNorm2d(outputs))


def predict_chroma(generator: GeneratorUnet, L: Tensor) -> Tensor:
    """Return the chroma of the RGB image that a generator makes of a gray photograph.

    DeOldify feeds the luma of ITU-R BT.601, which for a gray photograph is its gray value: the sRGB gray that has the
    lightness L. It keeps the luma of the photograph and takes U and V of the generated image; this function takes a and
    b instead, because lightness is what this project keeps. The RGB values are clipped to [0, 1] as DeOldify does, so
    that a and b are those of a color in sRGB.

    Args:
        generator: the network.
        L: (B, 1, H, W) in [-1, 1], H and W multiples of 32.

    Returns:
        (B, 2, H, W) ab on the network's scale.
    """
    mean, deviation = (L.new_tensor(values).reshape(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    gray = lightness_to_gray(denormalize_L(L))
    generated = generator((gray - mean) / deviation) * deviation + mean
    return normalize_ab(rgb_to_lab(generated.clamp(0, 1))[:, 1:])
