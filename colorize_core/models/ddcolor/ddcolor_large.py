"""DDColor with the encoder ConvNeXt-L: 227.9 M parameters."""

from torch import Tensor

from colorize_core.models.base import ColorModel
from colorize_core.models.ddcolor.network import DDColor
from colorize_core.models.ddcolor.options import ColorLayers, DecoderWidth, Depths, Queries, Widths


class DDColorLarge(ColorModel):
    """See `network.DDColor`; without arguments it is the published network."""

    backbone = "convnext_large"
    working_size = 512

    def __init__(
        self,
        widths: Widths = (192, 384, 768, 1536),
        depths: Depths = (3, 3, 27, 3),
        decoder_width: DecoderWidth = 512,
        queries: Queries = 100,
        color_layers: ColorLayers = 9,
        spectral_norm: bool = False,
        backbone_weights: str | None = None,
    ) -> None:
        """Build the network; `options` describes the arguments.

        Raises:
            UserError: the weights cannot be loaded, or are not of this encoder.
        """
        super().__init__()
        self.network = DDColor(widths, depths, decoder_width, queries, color_layers, spectral_norm)
        if backbone_weights is not None:
            self.network.encoder.load(backbone_weights, self.backbone)

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W) within 128/110; H and W multiples of 32."""
        ab: Tensor = self.network(L)
        return ab
