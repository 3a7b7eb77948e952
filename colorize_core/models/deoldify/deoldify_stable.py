"""DeOldify's stable model, and its video model: calmer colors, fewer gray or blue patches than `deoldify_artistic`."""

from torch import Tensor

from colorize_core.models.base import ColorModel
from colorize_core.models.deoldify.unet import WORKING_SIZE, BlockWidths, GeneratorUnet, predict_chroma

_BLOCKS = (BlockWidths(512, (512,)), BlockWidths(512, (512,)), BlockWidths(512, (512,)), BlockWidths(256, (256,)))
"""All blocks are equally wide, the last one half as wide (nf_factor 2 of DynamicUnetWide)."""


class DeOldifyStable(ColorModel):
    """DynamicUnetWide on ResNet-101, one convolution in each block of the decoder."""

    working_size: int = WORKING_SIZE

    def __init__(self) -> None:
        """Build the network with random weights."""
        super().__init__()
        self.generator = GeneratorUnet("resnet101", _BLOCKS)

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W) of a color in sRGB; H and W multiples of 32."""
        return predict_chroma(self.generator, L)
