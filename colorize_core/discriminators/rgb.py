"""The discriminator of DDColor, which is DeOldify's critic with other widths: unconditional, on sRGB."""

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from colorize_core.color.lab import network_rgb
from colorize_core.discriminators import require_size
from colorize_core.models.resnet_unet import SelfAttention


class RGBDiscriminator(nn.Module):
    """Classifies overlapping patches of an sRGB image, without knowing which photograph was to be colorized.

    4x4 convolutions with stride 2, to 64 channels and then to twice as many `layers` times, each of the latter after a
    3x3 convolution; self-attention after the first doubling; a 3x3 convolution and a 4x4 one without padding give the
    logits, 13x13 of a 256 px image with 3 layers. ReLU in between, and spectral norm on every convolution. Source:
    piddnad/DDColor, basicsr/archs/discriminator_arch.py.
    """

    def __init__(self, layers: int = 3, width: int = 64) -> None:
        """Build with `layers` doublings of `width` channels."""
        super().__init__()
        self.smallest_side = 4 * 2 ** (layers + 1)
        blocks = [*_conv_relu(3, width, 4, stride=2)]
        for number in range(layers):
            inputs, outputs = width * 2**number, width * 2 ** (number + 1)
            blocks += [*_conv_relu(inputs, inputs, 3), *_conv_relu(inputs, outputs, 4, stride=2)]
            if number == 0:
                blocks.append(SelfAttention(outputs))
        last = width * 2**layers
        self.net = nn.Sequential(*blocks, *_conv_relu(last, last, 3), _conv(last, 1, 4, padding=0, bias=False))

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        """Classify colors as real or predicted.

        Args:
            L: (B, 1, H, W) on the network's scale, no side below `smallest_side`.
            ab: (B, 2, H, W) on the network's scale.

        Returns:
            Logits (B, 1, h, w).

        Raises:
            UserError: the images are too small for the number of layers.
        """
        require_size(L.shape[2], L.shape[3], self.smallest_side)
        logits: Tensor = self.net(network_rgb(L, ab))
        return logits


def _conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 1, bias: bool = True) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=bias)
    nn.init.kaiming_normal_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return parametrizations.spectral_norm(conv)


def _conv_relu(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> list[nn.Module]:
    return [_conv(inputs, outputs, kernel, stride=stride), nn.ReLU(inplace=True)]
