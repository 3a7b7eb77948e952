"""DeOldify's artistic model: vivid colors, with more errors than `deoldify_stable`."""

from torch import Tensor

from colorize_core.models.base import ColorModel
from colorize_core.models.deoldify.unet import WORKING_SIZE, BlockWidths, GeneratorUnet, predict_chroma

_BLOCKS = (
    BlockWidths(256, (768, 768)),
    BlockWidths(384, (768, 768)),
    BlockWidths(384, (672, 672)),
    BlockWidths(336, (300, 300)),
)
"""Half of the channels from below are kept; each convolution has 1.5 times the joined channels, in the last block half
of that (nf_factor 1.5 of DynamicUnetDeep)."""


class DeOldifyArtistic(ColorModel):
    """DynamicUnetDeep on ResNet-34, two convolutions in each block of the decoder."""

    working_size: int = WORKING_SIZE

    def __init__(self) -> None:
        """Build the network with random weights."""
        super().__init__()
        self.generator = GeneratorUnet("resnet34", _BLOCKS)

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W) of a color in sRGB; H and W multiples of 32."""
        return predict_chroma(self.generator, L)
