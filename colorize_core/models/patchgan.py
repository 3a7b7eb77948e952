"""The PatchGAN discriminator of pix2pix (Isola et al. 2017, appendix 6.1.2), conditioned on L."""

import torch
from torch import Tensor, nn


class PatchGAN(nn.Module):
    """Judges overlapping patches of a colour image: 64-128-256-512-1, 4x4 kernels, LeakyReLU 0.2.

    With `layers` = 3 each logit sees 70x70 pixels, a 256 px image gives 30x30 logits, and there are 2.77 M
    parameters. BatchNorm except in the first and last convolution; weights start as N(0, 0.02), the scale of
    BatchNorm as N(1, 0.02) (pytorch-CycleGAN-and-pix2pix, models/networks.py).

    Plain BatchNorm allows one forward pass per step under DDP; `training.AdversarialStep` keeps to that.
    """

    def __init__(self, layers: int = 3, width: int = 64) -> None:
        """Build with `layers` stride-2 convolutions, the first `width` channels wide."""
        super().__init__()
        modules: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        channels = width
        for level in range(1, layers + 1):
            outputs = width * min(2**level, 8)
            stride = 2 if level < layers else 1
            modules += [
                nn.Conv2d(channels, outputs, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            channels = outputs
        modules.append(nn.Conv2d(channels, 1, 4, stride=1, padding=1))
        self.net = nn.Sequential(*modules)
        self.apply(_pix2pix_init)

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        """L (B, 1, H, W) and ab (B, 2, H, W) on the network's scale to patch logits (B, 1, h, w)."""
        return self.net(torch.cat((L, ab), dim=1))


def _pix2pix_init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
        nn.init.zeros_(module.bias)
