"""The PatchGAN discriminator of pix2pix (Isola et al. 2017, appendix 6.1.2), conditioned on L."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from colorize_core.errors import UserError
from colorize_core.models.initialization import init_pix2pix

Norm = Literal["batch", "instance", "spectral", "none"]


class PatchGAN(nn.Module):
    """Judges overlapping patches of a color image: 64-128-256-512-1, 4x4 kernels, LeakyReLU 0.2.

    With `layers` = 3 each logit sees 70x70 pixels, a 256 px image gives 30x30 logits, and there are 2.77 M
    parameters; 1, 2, 4 and 5 layers see 16, 34, 142 and 286 pixels. 0 layers is the PixelGAN, 1x1 convolutions that
    judge each pixel by itself (pytorch-CycleGAN-and-pix2pix, models/networks.py).

    `norm` follows every convolution but the first and the last:

    - batch: BatchNorm. A step may take only one forward pass under DDP (see `training.AdversarialStep`).
    - instance: InstanceNorm without parameters; images are judged apart.
    - spectral: every convolution, the first and last too, divided by its largest singular value (Miyato et al. 2018).
    - none.
    """

    def __init__(self, layers: int = 3, width: int = 64, norm: Norm = "batch") -> None:
        """Build with `layers` stride-2 convolutions, the first `width` channels wide."""
        super().__init__()
        self.smallest_side = 3 * 2**layers if layers else 1
        if layers == 0:
            convolutions = [nn.Conv2d(3, width, 1), nn.Conv2d(width, width * 2, 1), nn.Conv2d(width * 2, 1, 1)]
        else:
            widths = [3, *(width * min(2**level, 8) for level in range(layers + 1)), 1]
            convolutions = [
                nn.Conv2d(inputs, outputs, 4, stride=2 if level < layers else 1, padding=1)
                for level, (inputs, outputs) in enumerate(pairwise(widths))
            ]
        self.net = _joined(convolutions, norm)
        init_pix2pix(self.net)
        if norm == "spectral":
            for convolution in convolutions:
                parametrizations.spectral_norm(convolution)

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        """Judge colors.

        Args:
            L: (B, 1, H, W) on the network's scale, no side below `smallest_side`.
            ab: (B, 2, H, W) on the network's scale.

        Returns:
            Patch logits (B, 1, h, w).

        Raises:
            UserError: the images are too small for so many layers.
        """
        height, width = L.shape[-2:]
        if min(height, width) < self.smallest_side:
            raise UserError(
                f"discriminator.layers: images of {width}x{height} are too small, "
                f"the side must be {self.smallest_side} or more; use fewer layers"
            )
        return self.net(torch.cat((L, ab), dim=1))


def _joined(convolutions: list[nn.Conv2d], norm: Norm) -> nn.Sequential:
    """The convolutions with LeakyReLU between them, and the norm where it belongs."""
    first, *middle, last = convolutions
    modules: list[nn.Module] = [first, nn.LeakyReLU(0.2, inplace=True)]
    for convolution in middle:
        modules.append(convolution)
        if norm in ("batch", "instance"):
            convolution.bias = None  # the norm takes it out again
            kind = nn.BatchNorm2d if norm == "batch" else nn.InstanceNorm2d
            modules.append(kind(convolution.out_channels))
        modules.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*modules, last)
