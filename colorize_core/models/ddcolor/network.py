"""DDColor as a whole: from lightness to ab."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from colorize_core.color.lab import denormalize_L, lightness_to_gray, normalize_ab
from colorize_core.models.ddcolor.color_decoder import ColorDecoder
from colorize_core.models.ddcolor.convnext import ConvNeXt
from colorize_core.models.ddcolor.pixel_decoder import LAST_SCALE, PixelDecoder, conv, shuffle_up
from colorize_core.normalization import IMAGENET_DEVIATION, IMAGENET_MEAN

_LARGEST_AB = 128.0
"""In CIELAB units. Users of the published weights measured up to 180 in flat regions, which gives blocks of color."""


class DDColor(nn.Module):
    """Encoder, pixel decoder, color decoder and head.

    The published head is a 1x1 convolution of the maps that the products of 100 vectors and the features E of the
    pixels are, and of the input. It is linear in E, so that here the vectors are multiplied with its weights first: two
    vectors remain, one for a and one for b. And a product over channels commutes with the shuffle and the average
    of `shuffle_up`, so that these run on two channels instead of 256. The result is the same to 1e-6 of the largest
    value (float32). Of a picture of 512 px this saves 29 % of the time and half of the memory in float32, and 55 % and
    two thirds in bfloat16 (ddcolor_tiny, one thread).
    """

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        decoder_width: int,
        queries: int,
        color_layers: int,
        spectral_norm: bool,
    ) -> None:
        """Build the network; the arguments are the options of the architectures."""
        super().__init__()
        self.encoder = ConvNeXt(widths, depths)
        self.pixel_decoder = PixelDecoder(widths, decoder_width, spectral=spectral_norm)
        self.color_decoder = ColorDecoder(self.pixel_decoder.widths, decoder_width // 2, queries, color_layers)
        self.head = conv(queries + 3, 2, 1, bias=True, spectral=spectral_norm)

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W) within 128/110; H and W multiples of 32."""
        gray = lightness_to_gray(denormalize_L(L))
        mean, deviation = (gray.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        rgb = (gray - mean) / deviation
        features, pixels = self.pixel_decoder(self.encoder(rgb))
        weight = self.head.weight.flatten(1)
        of_queries, of_rgb = weight[:, :-3], weight[:, -3:]
        ab = shuffle_up(_product(of_queries @ self.color_decoder(features), pixels), LAST_SCALE)
        ab = ab + F.conv2d(rgb, of_rgb[:, :, None, None], self.head.bias)
        return normalize_ab(ab.float().clamp(-_LARGEST_AB, _LARGEST_AB))


def _product(vectors: Tensor, pixels: Tensor) -> Tensor:
    """Multiply vectors (B, 2, C) with the features (B, 16 * C, h, w) of `PixelDecoder`; return (B, 2 * 16, h, w).

    The features are the largest tensor of the network. The norms of the encoder make everything after them
    channels_last in memory, so that this view of them is not a copy.
    """
    by_pixel = pixels.permute(0, 2, 3, 1).unflatten(3, (LAST_SCALE**2, -1))
    products = by_pixel.flatten(1, 3) @ vectors.transpose(1, 2)
    return products.unflatten(1, by_pixel.shape[1:4]).permute(0, 4, 3, 1, 2).flatten(1, 2)
