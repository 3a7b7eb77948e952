"""The U-Net of seed 000: fastai's DynamicUnet over ResNet-18, layer for layer, in plain torch.

Source: fastai 2.4, fastai/vision/models/unet.py (UnetBlock, DynamicUnet) and fastai/layers.py (ConvLayer,
PixelShuffle_ICNR, ResBlock), as `DynamicUnet(create_body(resnet18, n_in=1, cut=-2), 2, (256, 256))` builds it:
norm_type None, so decoder convolutions have a bias and no BatchNorm; no self-attention; no blur; last_cross; the
output is not bounded. 31.10 M parameters.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from colorize_core.models.backbone import gray_stem, resnet18_weights
from colorize_core.models.base import ColorModel, load_strictly


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight)
    _fill_bias(conv, 0)
    return conv


def _fill_bias(conv: nn.Conv2d, deviation: float) -> None:
    assert conv.bias is not None
    nn.init.normal_(conv.bias, 0, deviation)


def _conv_relu(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs), nn.ReLU(inplace=True))


def _icnr_(weight: Tensor, scale: int = 2) -> None:
    """Initialise so that pixel shuffle starts as nearest-neighbour upsampling (Aitken et al. 2017)."""
    outputs, inputs, height, width = weight.shape
    kernel = torch.empty(outputs // scale**2, inputs, height, width)
    nn.init.kaiming_normal_(kernel)
    with torch.no_grad():
        weight.copy_(kernel.repeat_interleave(scale**2, dim=0))


class PixelShuffleUp(nn.Sequential):
    """1x1 convolution, ReLU and pixel shuffle: twice the side, `outputs` channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build with ICNR weights and zero bias."""
        conv = nn.Conv2d(inputs, outputs * 4, 1)
        _icnr_(conv.weight)
        _fill_bias(conv, 0)
        super().__init__(conv, nn.ReLU(inplace=True), nn.PixelShuffle(2))


class UNetBlock(nn.Module):
    """Upsample by pixel shuffle, join the normalised skip, two 3x3 convolutions."""

    def __init__(self, inputs: int, skip: int, *, halve: bool = False) -> None:
        """Build from the channels below and of the skip; `halve` halves the output, as the last block does."""
        super().__init__()
        self.up = PixelShuffleUp(inputs, inputs // 2)
        self.norm = nn.BatchNorm2d(skip)
        joined = inputs // 2 + skip
        self.channels = joined // 2 if halve else joined
        self.conv1 = _conv_relu(joined, self.channels)
        self.conv2 = _conv_relu(self.channels, self.channels)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """From below (B, inputs, H, W) and skip (B, skip, 2H, 2W) to (B, channels, 2H, 2W)."""
        return self.conv2(self.conv1(F.relu(torch.cat((self.up(below), self.norm(skip)), dim=1))))


class ResBlock(nn.Module):
    """Two 3x3 convolutions around an identity, ReLU after the sum."""

    def __init__(self, channels: int) -> None:
        """Build for `channels` in and out."""
        super().__init__()
        self.conv1 = _conv_relu(channels, channels)
        self.conv2 = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape."""
        return F.relu(x + self.conv2(self.conv1(x)))


class ResNetUNet(ColorModel):
    """U-Net on ResNet-18 with a one-channel stem; decoder channels 512, 384, 256, 96, then 97 at full size."""

    def __init__(self, backbone_weights: str | None = None) -> None:
        """Build the network.

        Args:
            backbone_weights: "imagenet" for torchvision's weights, a path or s3:// URI of a torchvision ResNet-18
                state dict (.safetensors or .pth), or None for random weights. The stem's RGB weights are summed.

        Raises:
            UserError: the weights cannot be had, or are not a ResNet-18's.
        """
        super().__init__()
        body = resnet18(weights=None)
        body.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(body.conv1.weight, mode="fan_out", nonlinearity="relu")
        del body.fc, body.avgpool
        if backbone_weights is not None:
            weights = gray_stem(resnet18_weights(backbone_weights))
            load_strictly(body, weights, backbone_weights, "ResNet-18")
        self.body = body
        self.norm = nn.BatchNorm2d(512)
        self.middle = nn.Sequential(_conv_relu(512, 1024), _conv_relu(1024, 512))
        self.block1 = UNetBlock(512, 256)
        self.block2 = UNetBlock(self.block1.channels, 128)
        self.block3 = UNetBlock(self.block2.channels, 64)
        self.block4 = UNetBlock(self.block3.channels, 64, halve=True)
        self.up = PixelShuffleUp(self.block4.channels, self.block4.channels)
        self.cross = ResBlock(self.block4.channels + 1)
        self.to_ab = nn.Conv2d(self.block4.channels + 1, 2, 1)
        _fill_bias(self.to_ab, 0.01)

    def forward(self, L: Tensor) -> Tensor:
        """L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W), unbounded; H and W multiples of 32."""
        body = self.body
        half = body.relu(body.bn1(body.conv1(L)))
        quarter = body.layer1(body.maxpool(half))
        eighth = body.layer2(quarter)
        sixteenth = body.layer3(eighth)
        x = self.middle(F.relu(self.norm(body.layer4(sixteenth))))
        x = self.block1(x, sixteenth)
        x = self.block2(x, eighth)
        x = self.block3(x, quarter)
        x = self.block4(x, half)
        x = torch.cat((self.up(x), L), dim=1)
        return self.to_ab(self.cross(x))
