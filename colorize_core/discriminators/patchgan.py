"""The PatchGAN discriminator of pix2pix (Isola et al. 2017, appendix 6.1.2), conditioned on L."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from colorize_core.discriminators import require_size
from colorize_core.models.initialization import init_pix2pix


class PatchGAN(nn.Module):
    """Classifies overlapping patches of a color image: 64-128-256-512-1, 4x4 kernels, LeakyReLU 0.2.

    With `layers` = 3 each logit has a receptive field of 70x70 pixels, a 256 px image gives 30x30 logits, and there are
    2.77 M parameters; 1, 2, 4 and 5 layers have 16, 34, 142 and 286 pixels. 0 layers is the PixelGAN, 1x1 convolutions
    that classify each pixel by itself (pytorch-CycleGAN-and-pix2pix, models/networks.py).

    `norm` follows every convolution except the first and the last:

    - batch: BatchNorm. A step may take only one forward pass under DDP (see `training.steps.AdversarialStep`).
    - instance: InstanceNorm without parameters; the logits of an image depend on this image only.
    - spectral: every convolution, also the first and last, is divided by its largest singular value (Miyato et al.
      2018).
    - none: no normalization.
    """

    def __init__(self, layers: int = 3, width: int = 64, norm: str = "batch") -> None:
        """Build with `layers` stride-2 convolutions, the first with `width` channels."""
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
        """Classify colors as real or predicted.

        Args:
            L: (B, 1, H, W) on the network's scale, no side below `smallest_side`.
            ab: (B, 2, H, W) on the network's scale.

        Returns:
            Patch logits (B, 1, h, w).

        Raises:
            UserError: the images are too small for the number of layers.
        """
        require_size(L.shape[2], L.shape[3], self.smallest_side)
        return self.net(torch.cat((L, ab), dim=1))


def _joined(convolutions: list[nn.Conv2d], norm: str) -> nn.Sequential:
    """Join the convolutions with LeakyReLU and the norm between them."""
    first, *middle, last = convolutions
    modules: list[nn.Module] = [first, nn.LeakyReLU(0.2, inplace=True)]
    for convolution in middle:
        modules.append(convolution)
        if norm in ("batch", "instance"):
            convolution.bias = None  # the norm would remove it
            kind = nn.BatchNorm2d if norm == "batch" else nn.InstanceNorm2d
            modules.append(kind(convolution.out_channels))
        modules.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*modules, last)
