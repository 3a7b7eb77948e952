"""The baseline of Gray to Glory: a convolutional encoder-decoder without skip connections."""

from collections.abc import Sequence

from pydantic import PositiveInt
from torch import Tensor, nn

from colorize_core.models.base import ColorModel


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class EncoderDecoder(ColorModel):
    """Encoder of convolutions and max-pooling to a compact latent, decoder of transposed convolutions.

    Each width is one level: two 3x3 convolutions (one at the first level, where pixels are many), then 2x2
    max-pooling. The default (32, 64, 128, 256) gives a latent of `latent` = 512 channels at 1/16 of the side.
    The decoder mirrors it with 4x4 stride-2 transposed convolutions; a 3x3 convolution and tanh give ab. The paper
    (Gray to Glory, section "CNN Encoder-Decoder") names the kinds of layers and no widths; the widths are our choice.
    """

    def __init__(self, widths: Sequence[PositiveInt] = (32, 64, 128, 256), latent: PositiveInt = 512) -> None:
        """Build the network from the channels of each encoder level and of the latent."""
        super().__init__()
        encoder: list[nn.Module] = []
        channels = 1
        for level, width in enumerate(widths):
            encoder.append(_conv(channels, width))
            if level > 0:
                encoder.append(_conv(width, width))
            encoder.append(nn.MaxPool2d(2))
            channels = width
        self.encoder = nn.Sequential(*encoder)
        self.latent = nn.Sequential(_conv(channels, latent), _conv(latent, latent))
        decoder: list[nn.Module] = []
        channels = latent
        for width in reversed(widths):
            decoder += [
                nn.ConvTranspose2d(channels, width, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.decoder = nn.Sequential(*decoder)
        self.to_ab = nn.Sequential(nn.Conv2d(channels, 2, 3, padding=1), nn.Tanh())

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W) in [-1, 1]; H and W multiples of 16."""
        return self.to_ab(self.decoder(self.latent(self.encoder(L))))
