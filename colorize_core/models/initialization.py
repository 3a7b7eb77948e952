"""Initial weights of pix2pix (Isola et al. 2017, section 6.2; pytorch-CycleGAN-and-pix2pix, models/networks.py)."""

from torch import nn

_DEVIATION = 0.02


def init_pix2pix(network: nn.Module, norm_deviation: float = _DEVIATION) -> None:
    """Draw convolutions from N(0, 0.02) and BatchNorm scales from N(1, `norm_deviation`); biases are 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, _DEVIATION)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, norm_deviation)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
