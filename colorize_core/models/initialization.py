"""Initial weights of networks."""

import torch
from torch import Tensor, nn

_DEVIATION = 0.02


def init_pix2pix(network: nn.Module, norm_deviation: float = _DEVIATION) -> None:
    """Draw convolutions from N(0, 0.02) and BatchNorm scales from N(1, `norm_deviation`); biases are 0.

    Source: Isola et al. 2017, section 6.2; pytorch-CycleGAN-and-pix2pix, models/networks.py.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, _DEVIATION)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, norm_deviation)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def init_icnr(weight: Tensor, scale: int) -> None:
    """Draw weights (outputs, inputs, h, w) so that pixel shuffle by `scale` starts as nearest-neighbor upsampling.

    Source: Aitken et al. 2017.
    """
    outputs, inputs, height, width = weight.shape
    kernel = torch.empty(outputs // scale**2, inputs, height, width)
    nn.init.kaiming_normal_(kernel)
    with torch.no_grad():
        weight.copy_(kernel.repeat_interleave(scale**2, dim=0))
