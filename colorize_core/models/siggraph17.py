"""Real-time user-guided colorization (Zhang et al. 2017): lightness and color hints to ab at full size."""

import torch
from torch import Tensor, nn

from colorize_core.models.base import ColorModel
from colorize_core.models.zhang_eccv16 import conv_block, init_he

_BINS = 529
"""Colors of the classifier, which is not the one of `color.bins`: 23 x 23 points of a 10-unit ab grid."""


class SIGGRAPH17(ColorModel):
    """U-Net of ten blocks with additive skip connections; it was trained with random hints and without any.

    Layers and names are those of the published PyTorch weights (richzhang/colorization, colorizers/siggraph17.py). The
    input has four channels: (L - 50) / 100, a / 110 and b / 110 of the hints, and the mask. The layer `model_class`
    classifies colors at 1/4 of the side during the authors' first stage of training. The prediction does not depend on
    it: it is kept so that all tensors of the file have a place, and it is not trained here.
    """

    takes_hints = True
    stride: int = 8

    def __init__(self, centered_mask: bool = False) -> None:
        """Build the network with random weights.

        Args:
            centered_mask: the network sees mask - 0.5, as the authors' PyTorch code trains it (colorization-pytorch,
                mask_cent 0.5), instead of the mask, as their Caffe model was trained, whose conversion
                siggraph17-df00044c.pth is.
        """
        super().__init__()
        self._mask_offset = -0.5 if centered_mask else 0.0
        self.model1 = conv_block(4, 64, 2)
        self.model2 = conv_block(64, 128, 2)
        self.model3 = conv_block(128, 256, 3)
        self.model4 = conv_block(256, 512, 3)
        self.model5 = conv_block(512, 512, 3, dilation=2)
        self.model6 = conv_block(512, 512, 3, dilation=2)
        self.model7 = conv_block(512, 512, 3)
        self.model8up = _double(512, 256)
        self.model3short8 = nn.Sequential(nn.Conv2d(256, 256, 3, padding=1))
        self.model8 = nn.Sequential(nn.ReLU(inplace=True), *conv_block(256, 256, 2))
        self.model9up = _double(256, 128)
        self.model2short9 = nn.Sequential(nn.Conv2d(128, 128, 3, padding=1))
        self.model9 = nn.Sequential(nn.ReLU(inplace=True), *conv_block(128, 128, 1))
        self.model10up = _double(128, 128)
        self.model1short10 = nn.Sequential(nn.Conv2d(64, 128, 3, padding=1))
        self.model10 = nn.Sequential(
            nn.ReLU(inplace=True), nn.Conv2d(128, 128, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)
        )
        self.model_class = nn.Sequential(nn.Conv2d(256, _BINS, 1)).requires_grad_(False)
        self.model_out = nn.Sequential(nn.Conv2d(128, 2, 1), nn.Tanh())
        self.apply(init_he)

    def outputs(self, L: Tensor, hints: Tensor | None = None) -> dict[str, Tensor]:
        """Return ab; arguments as of `forward`."""
        return {"ab": self(L, hints)}

    def forward(self, L: Tensor, hints: Tensor | None = None) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W) in [-1, 1]; H and W multiples of 8.

        Args:
            L: lightness on the network's scale.
            hints: (B, 3, H, W) a and b on the network's scale and mask (see `ColorModel`); None for no hints.
        """
        if hints is None:
            hints = L.new_zeros(L.shape[0], 3, *L.shape[2:])
        full = self.model1(torch.cat((L / 2, hints[:, :2], hints[:, 2:] + self._mask_offset), dim=1))
        half = self.model2(full[:, :, ::2, ::2])
        quarter = self.model3(half[:, :, ::2, ::2])
        x = self.model4(quarter[:, :, ::2, ::2])
        x = self.model7(self.model6(self.model5(x)))
        x = self.model8(self.model8up(x) + self.model3short8(quarter))
        x = self.model9(self.model9up(x) + self.model2short9(half))
        x = self.model10(self.model10up(x) + self.model1short10(full))
        ab: Tensor = self.model_out(x)
        return ab


def _double(inputs: int, outputs: int) -> nn.Sequential:
    """Build a transposed convolution to twice the side; the sequence gives its tensors their published names."""
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))
