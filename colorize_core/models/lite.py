"""Small U-Net for CPUs and real-time use; designed in this project."""

from itertools import pairwise

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from colorize_core.models.base import ColorModel

# One value for each level, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the side. Fine levels have few channels; recognizing the
# content needs many, at coarse levels, where there are few pixels.
_CHANNELS = (1, 3, 6, 10, 16)  # in units of `width`
_BLOCKS = (0, 1, 2, 3, 1)  # residual blocks


class Lite(ColorModel):
    """U-Net with a residual encoder and additive skips, 3.9 M parameters and 2.7 GFLOP per 256 px image.

    Built from operations that are fast on CPUs: dense 3x3 convolutions (depthwise ones have few operations but are
    slow) with BatchNorm, which can be folded into them, and channels in multiples of 16. Color varies slowly, so ab is
    predicted at half the side and upsampled bilinearly. At the bottleneck every pixel receives global context.
    """

    def __init__(self, width: PositiveInt = 16) -> None:
        """Build the network with `width` channels at half the side; the number of parameters grows with its square."""
        super().__init__()
        channels = [width * factor for factor in _CHANNELS]
        self.encoder = nn.ModuleList(
            nn.Sequential(conv_norm_relu(inputs, outputs, stride=2), *(ResBlock(outputs) for _ in range(blocks)))
            for inputs, outputs, blocks in zip([1, *channels], channels, _BLOCKS, strict=False)
        )
        self.context = GlobalContext(channels[-1])
        upwards = channels[::-1]
        self.decoder = nn.ModuleList(Up(below, skip) for below, skip in pairwise(upwards))
        self.to_ab = chroma_head(width)

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W), unbounded; H and W multiples of 32."""
        x, skips = L, []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        x = self.context(skips.pop())
        for up in self.decoder:
            x = up(x, skips.pop())
        return F.interpolate(self.to_ab(x), scale_factor=2, mode="bilinear")


class ResBlock(nn.Module):
    """Two 3x3 convolutions around an identity (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        """Build for `channels` input and output channels."""
        super().__init__()
        self.conv1 = conv_norm_relu(channels, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        return F.relu(x + self.norm(self.conv2(self.conv1(x))), inplace=True)


class GlobalContext(nn.Module):
    """Adds features of the whole image, computed from the mean over all pixels (Iizuka et al. 2016)."""

    def __init__(self, channels: int) -> None:
        """Build for `channels` input and output channels."""
        super().__init__()
        self.scene = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 4, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        return F.relu(x + self.scene(x))


class Up(nn.Module):
    """Doubles the side: 1x1 convolution to the skip's channels, bilinear upsampling, sum, 3x3 convolution."""

    def __init__(self, below: int, skip: int) -> None:
        """Build for `below` channels from the level below and `skip` channels from the encoder."""
        super().__init__()
        self.reduce = nn.Conv2d(below, skip, 1, bias=False)
        self.conv = conv_norm_relu(skip, skip)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """Map below (B, below, H, W) and skip (B, skip, 2H, 2W) to (B, skip, 2H, 2W)."""
        return self.conv(skip + F.interpolate(self.reduce(below), scale_factor=2, mode="bilinear"))


def chroma_head(channels: int) -> nn.Conv2d:
    """Build the 3x3 convolution from features to ab; its small weights let training start near gray."""
    conv = nn.Conv2d(channels, 2, 3, padding=1)
    nn.init.normal_(conv.weight, 0, 0.01)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def conv_norm_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Build a 3x3 convolution with BatchNorm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
