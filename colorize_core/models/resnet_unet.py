"""U-Net of Gray to Glory: fastai's DynamicUnet over ResNet-18, layer for layer, in plain torch.

Source: fastai 2.4, fastai/vision/models/unet.py (UnetBlock, DynamicUnet) and fastai/layers.py (ConvLayer,
PixelShuffle_ICNR, SelfAttention, ResBlock), as `DynamicUnet(create_body(resnet18, n_in=1, cut=-2), 2, (256, 256))`
builds it: norm_type None, so decoder convolutions have a bias and no BatchNorm; no self-attention; no blur;
last_cross; the output is not bounded. 31.10 M parameters.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from colorize_core.encoders.resnet18 import gray_resnet18
from colorize_core.encoders.state_dicts import load_strictly, read_state_dict
from colorize_core.errors import UserError
from colorize_core.models.base import ColorModel
from colorize_core.models.fastai import generator_from_fastai
from colorize_core.models.initialization import init_icnr

if TYPE_CHECKING:
    from torchvision.models import ResNet


def _conv(inputs: int, outputs: int, spectral: bool) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight)
    _fill_bias(conv, 0)
    return parametrizations.spectral_norm(conv) if spectral else conv


def _fill_bias(conv: nn.Conv2d, deviation: float) -> None:
    assert conv.bias is not None
    nn.init.normal_(conv.bias, 0, deviation)


def conv_relu(inputs: int, outputs: int, spectral: bool) -> nn.Sequential:
    """Build a 3x3 convolution with a bias, and ReLU; `spectral` normalizes the convolution."""
    return nn.Sequential(_conv(inputs, outputs, spectral), nn.ReLU(inplace=True))


def resnet_features(body: "ResNet", x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the features of torchvision's ResNet at 1/32, 1/16, 1/8, 1/4 and 1/2 of the side of x (B, C, H, W)."""
    half = body.relu(body.bn1(body.conv1(x)))
    quarter = body.layer1(body.maxpool(half))
    eighth = body.layer2(quarter)
    sixteenth = body.layer3(eighth)
    return body.layer4(sixteenth), sixteenth, eighth, quarter, half


class PixelShuffleUp(nn.Sequential):
    """1x1 convolution, ReLU and pixel shuffle to twice the side and `outputs` channels."""

    def __init__(
        self, inputs: int, outputs: int, *, spectral: bool = False, norm: bool = False, blur: bool = False
    ) -> None:
        """Build with ICNR weights.

        Args:
            inputs: channels of the input.
            outputs: channels of the output.
            spectral: normalize the convolution by its largest singular value.
            norm: normalize its output by a BatchNorm, instead of adding a bias, which starts at 0.
            blur: average 2x2 pixels of the result against checkerboard artifacts (Sugawara et al. 2018).
        """
        conv = nn.Conv2d(inputs, outputs * 4, 1, bias=not norm)
        init_icnr(conv.weight, 2)
        if not norm:
            _fill_bias(conv, 0)
        if spectral:
            parametrizations.spectral_norm(conv)
        super().__init__(conv)
        if norm:
            self.append(nn.BatchNorm2d(outputs * 4))
        self.extend([nn.ReLU(inplace=True), nn.PixelShuffle(2)])
        if blur:
            self.extend([nn.ReplicationPad2d((1, 0, 1, 0)), nn.AvgPool2d(2, stride=1)])


class SelfAttention(nn.Module):
    """Attention between all pixels, added with a weight that starts at 0 (Zhang et al. 2019, SAGAN).

    As in fastai, the softmax is over queries, not keys. Memory grows with the square of the number of pixels.
    """

    def __init__(self, channels: int, *, spectral: bool = True) -> None:
        """Build for `channels` input and output channels; queries and keys have an eighth of them.

        The projections are spectrally normalized if `spectral` is true, as fastai has them.
        """
        super().__init__()
        self.query = self._projection(channels, channels // 8, spectral)
        self.key = self._projection(channels, channels // 8, spectral)
        self.value = self._projection(channels, channels, spectral)
        self.gamma = nn.Parameter(torch.zeros(1))

    @staticmethod
    def _projection(inputs: int, outputs: int, spectral: bool) -> nn.Module:
        conv = nn.Conv1d(inputs, outputs, 1, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        return parametrizations.spectral_norm(conv) if spectral else conv

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        pixels = x.flatten(2)
        scores = self.query(pixels).transpose(1, 2) @ self.key(pixels)
        return x + self.gamma * (self.value(pixels) @ scores.softmax(dim=1)).view_as(x)


class UNetBlock(nn.Module):
    """Pixel shuffle upsampling, concatenation with the normalized skip, two 3x3 convolutions, optional attention."""

    def __init__(
        self,
        inputs: int,
        skip: int,
        *,
        halve: bool = False,
        attention: bool = False,
        spectral: bool = False,
        blur: bool = False,
    ) -> None:
        """Build for `inputs` channels from below and `skip` from the encoder; `halve` halves the output."""
        super().__init__()
        self.up = PixelShuffleUp(inputs, inputs // 2, spectral=spectral, blur=blur)
        self.norm = nn.BatchNorm2d(skip)
        joined = inputs // 2 + skip
        self.channels = joined // 2 if halve else joined
        self.conv1 = conv_relu(joined, self.channels, spectral)
        self.conv2 = conv_relu(self.channels, self.channels, spectral)
        if attention:
            self.conv2.append(SelfAttention(self.channels))

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """Map below (B, inputs, H, W) and skip (B, skip, 2H, 2W) to (B, channels, 2H, 2W)."""
        return self.conv2(self.conv1(F.relu(torch.cat((self.up(below), self.norm(skip)), dim=1))))


class ResBlock(nn.Module):
    """Residual block of two 3x3 convolutions, with ReLU after the sum."""

    def __init__(self, channels: int, *, spectral: bool = False) -> None:
        """Build for `channels` input and output channels."""
        super().__init__()
        self.conv1 = conv_relu(channels, channels, spectral)
        self.conv2 = _conv(channels, channels, spectral)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        return F.relu(x + self.conv2(self.conv1(x)))


class ResNetUNet(ColorModel):
    """U-Net on ResNet-18 with a one-channel stem; decoder channels 512, 384, 256, 96, then 97 at full size."""

    backbone = "resnet18"

    def __init__(
        self,
        backbone_weights: str | None = None,
        weights: str | None = None,
        self_attention: bool = False,
        spectral_norm: bool = False,
        blur: bool = False,
    ) -> None:
        """Build the network.

        Args:
            backbone_weights: weights of the encoder: "imagenet" for torchvision's, a path or s3:// URI of a torchvision
                ResNet-18 state dict (.safetensors or .pth), or None for random weights. The stem's weights are summed
                over RGB.
            weights: weights of the whole network, instead of `backbone_weights`: path or s3:// URI of the published
                tutorial's fastai generator (see `fastai.generator_from_fastai`), which has none of the options below.
            self_attention: attention between all pixels at 1/8 of the side, as in fastai.
            spectral_norm: normalize every convolution of the decoder by its largest singular value (Miyato et al.
                2018), as fastai's NormType.Spectral does.
            blur: average 2x2 pixels after every pixel shuffle except the last.

        Raises:
            UserError: the weights cannot be loaded, or are not of this network.
        """
        super().__init__()
        if weights is not None and backbone_weights is not None:
            raise UserError("model 'resnet_unet': give weights or backbone_weights, not both")
        self.body = gray_resnet18(backbone_weights)
        self.norm = nn.BatchNorm2d(512)
        self.middle = nn.Sequential(conv_relu(512, 1024, spectral_norm), conv_relu(1024, 512, spectral_norm))
        decoder = {"spectral": spectral_norm, "blur": blur}
        self.block1 = UNetBlock(512, 256, **decoder)
        self.block2 = UNetBlock(self.block1.channels, 128, attention=self_attention, **decoder)
        self.block3 = UNetBlock(self.block2.channels, 64, **decoder)
        self.block4 = UNetBlock(self.block3.channels, 64, halve=True, **decoder)
        self.up = PixelShuffleUp(self.block4.channels, self.block4.channels, spectral=spectral_norm)
        self.cross = ResBlock(self.block4.channels + 1, spectral=spectral_norm)
        self.to_ab = nn.Conv2d(self.block4.channels + 1, 2, 1)
        _fill_bias(self.to_ab, 0.01)
        if spectral_norm:
            parametrizations.spectral_norm(self.to_ab)
        if weights is not None:
            load_strictly(self, generator_from_fastai(read_state_dict(weights), weights), weights, "'resnet_unet'")

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W), unbounded; H and W multiples of 32."""
        bottom, sixteenth, eighth, quarter, half = resnet_features(self.body, L)
        x = self.middle(F.relu(self.norm(bottom)))
        x = self.block1(x, sixteenth)
        x = self.block2(x, eighth)
        x = self.block3(x, quarter)
        x = self.block4(x, half)
        x = torch.cat((self.up(x), L), dim=1)
        return self.to_ab(self.cross(x))
