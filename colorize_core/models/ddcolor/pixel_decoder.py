"""The pixel decoder of DDColor: fastai's wide U-Net blocks, as in DeOldify, from stride 32 to 4."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from colorize_core.models.initialization import init_icnr

LAST_SCALE = 4
"""Factor of the last upsampling, to full size."""


def conv(inputs: int, outputs: int, kernel: int, *, bias: bool, spectral: bool) -> nn.Conv2d:
    """Build a convolution that keeps the size, from He et al.'s normal distribution; `spectral` divides its weight by
    its largest singular value (Miyato et al. 2018).
    """
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    nn.init.kaiming_normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if spectral:
        parametrizations.spectral_norm(layer)
    return layer


def shuffle_up(x: Tensor, scale: int) -> Tensor:
    """Shuffle (B, C * scale^2, h, w) to (B, C, scale * h, scale * w), and average each pixel with those above and left.

    The average of 2x2 pixels is against checkerboard patterns (Sugawara et al. 2018).
    """
    return F.avg_pool2d(F.pad(F.pixel_shuffle(x, scale), (1, 0, 1, 0), mode="replicate"), 2, stride=1)


class Upsampler(nn.Module):
    """1x1 convolution, BatchNorm, ReLU and `shuffle_up`, to twice the side."""

    def __init__(self, inputs: int, outputs: int, *, spectral: bool) -> None:
        """Build for `inputs` and `outputs` channels."""
        super().__init__()
        self.conv = upsampling_conv(inputs, outputs, 2, bias=False, spectral=spectral)
        self.norm = nn.BatchNorm2d(outputs * 4)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, h, w) to (B, outputs, 2h, 2w)."""
        return shuffle_up(F.relu(self.norm(self.conv(x)), inplace=True), 2)


def upsampling_conv(inputs: int, outputs: int, scale: int, *, bias: bool, spectral: bool) -> nn.Conv2d:
    """Build a 1x1 convolution before `shuffle_up`; at the start the shuffled pixels of one pixel are equal (ICNR)."""
    layer = nn.Conv2d(inputs, outputs * scale**2, 1, bias=bias)
    init_icnr(layer.weight, scale)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if spectral:
        parametrizations.spectral_norm(layer)
    return layer


class Block(nn.Module):
    """Upsampling, the normalized features of the encoder beside it, ReLU, and a 3x3 convolution."""

    def __init__(self, inputs: int, skip: int, outputs: int, *, spectral: bool) -> None:
        """Build for `inputs` channels from below and `skip` from the encoder."""
        super().__init__()
        self.up = Upsampler(inputs, outputs, spectral=spectral)
        self.skip_norm = nn.BatchNorm2d(skip)
        self.conv = conv(outputs + skip, outputs, 3, bias=False, spectral=spectral)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """Map below (B, inputs, h, w) and skip (B, skip, 2h, 2w) to (B, outputs, 2h, 2w)."""
        x = F.relu(torch.cat((self.up(below), self.skip_norm(skip)), dim=1), inplace=True)
        return self.norm(F.relu(self.conv(x), inplace=True))


class PixelDecoder(nn.Module):
    """Three blocks, from stride 32 to 16, 8 and 4, and the convolution before the last upsampling, to full size."""

    def __init__(self, encoder_widths: Sequence[int], width: int, *, spectral: bool) -> None:
        """Build over an encoder; the blocks have `width`, `width` and half as many channels."""
        super().__init__()
        first, *skips = reversed(encoder_widths)
        self.widths = (width, width, width // 2)
        """Channels of the features at strides 16, 8 and 4."""
        inputs = (first, *self.widths)
        self.blocks = nn.ModuleList(
            Block(below, skip, outputs, spectral=spectral)
            for below, skip, outputs in zip(inputs, skips, self.widths, strict=False)
        )
        self.last = upsampling_conv(width // 2, width // 2, LAST_SCALE, bias=True, spectral=spectral)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Decode the features of the encoder, at strides 4, 8, 16 and 32.

        Returns:
            Features (B, C, h, w) at strides 16, 8 and 4; and those of the pixels at full size, before their shuffle:
            (B, 16 * width / 2, H/4, W/4), the channels of one of the 16 pixels after those of another.
        """
        *skips, x = features
        decoded = []
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            x = block(x, skip)
            decoded.append(x)
        assert self.last.bias is not None
        pixels = F.conv2d(x, _pixels_first(self.last.weight), _pixels_first(self.last.bias))
        return decoded, F.relu(pixels, inplace=True)


def _pixels_first(weight: Tensor) -> Tensor:
    """Sort the outputs (C * 16, ...) of the last convolution, which `pixel_shuffle` expects by channel, by pixel."""
    return weight.unflatten(0, (-1, LAST_SCALE**2)).transpose(0, 1).flatten(0, 1)
