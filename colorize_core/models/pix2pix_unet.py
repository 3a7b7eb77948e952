"""The U-Net of pix2pix (Isola et al. 2017, appendix 6.1.1): baseline of gray-to-glory, generator of unet-gan."""

from functools import partial
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from colorize_core.models.base import ColorModel
from colorize_core.models.initialization import init_pix2pix


class Pix2PixUNet(ColorModel):
    """U-Net of `levels` 4x4 stride-2 convolutions, 64-128-256-512-512-..., and as many transposed ones, with skips.

    BatchNorm; LeakyReLU in the encoder, ReLU in the decoder, dropout in the innermost decoder layers, tanh at the end;
    initial weights from N(0, 0.02). With 8 levels, for 256 px, 54.41 M parameters.

    Variant "pix2pix" is UnetGenerator of pytorch-CycleGAN-and-pix2pix (models/networks.py): slope 0.2, no norm at
    the bottleneck and no dropout right after it, skips pass through a ReLU.

    Variant "keras" is unet-gan's generator, from TensorFlow's pix2pix tutorial: slope 0.3 (Keras' default),
    norm at the bottleneck too, dropout in the three innermost layers, skips keep their LeakyReLU, BatchNorm with Keras'
    epsilon 0.001 and momentum 0.99. With 7 levels, for 128 px, the 41.83 M parameters that Keras prints: 41,825,922
    and 8,832 running statistics of BatchNorm. "pix2pix" with 7 levels has 1,024 fewer.
    """

    def __init__(
        self,
        levels: Annotated[int, Field(ge=5, le=8)] = 8,
        width: PositiveInt = 64,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        variant: Literal["pix2pix", "keras"] = "pix2pix",
    ) -> None:
        """Build the network.

        Args:
            levels: number of levels, 5 to 8. The input is padded to a multiple of 2**levels.
            width: number of channels of the first level.
            dropout: probability of dropout in the innermost layers.
            variant: "pix2pix" or "keras", see above.
        """
        super().__init__()
        keras = variant == "keras"
        norm = partial(_BatchNorm, eps=1e-3, momentum=0.01) if keras else _BatchNorm
        self.stride = 2**levels
        self._slope = 0.3 if keras else 0.2
        self._skip_slope = self._slope if keras else 0.0
        normed_downs = range(1, levels if keras else levels - 1)
        dropped_ups = range(3) if keras else range(1, levels - 4)

        widths = [width * min(2**level, 8) for level in range(levels)]
        self.downs = nn.ModuleList()
        for level, (inputs, outputs) in enumerate(pairwise([1, *widths])):
            down = nn.Sequential(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False))
            if level in normed_downs:
                down.append(norm(outputs))
            self.downs.append(down)

        self.ups = nn.ModuleList()
        inputs = widths[-1]
        for number, outputs in enumerate(reversed(widths[:-1])):
            up = nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False), norm(outputs))
            if number in dropped_ups:
                up.append(nn.Dropout(dropout))
            self.ups.append(up)
            inputs = outputs * 2
        self.to_ab = nn.ConvTranspose2d(inputs, 2, 4, stride=2, padding=1)
        init_pix2pix(self, norm_deviation=0 if keras else 0.02)

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W) in [-1, 1]; any H and W."""
        height, width = L.shape[-2:]
        x = F.pad(L, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        skips: list[Tensor] = []
        for down in self.downs:
            x = down(F.leaky_relu(x, self._slope) if skips else x)
            skips.append(x)
        x = F.leaky_relu(skips.pop(), self._skip_slope)
        for up in self.ups:
            x = torch.cat((F.leaky_relu(skips.pop(), self._skip_slope), F.relu(up(x))), dim=1)
        return torch.tanh(self.to_ab(x))[..., :height, :width]


class _BatchNorm(nn.BatchNorm2d):
    """BatchNorm that uses its running statistics if a batch has one value per channel, hence no variance."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
