"""Options that `ddcolor_tiny` and `ddcolor_large` share; both also have these:

- `spectral_norm`: divide the weights of the pixel decoder and the head by their largest singular values (Miyato et al.
  2018), for training as published. Imported weights need it no more: the division is done.
- `backbone_weights`: initial weights of the encoder; see `convnext.ConvNeXt.load`.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, PositiveInt

Widths = Annotated[Sequence[PositiveInt], Field(min_length=4, max_length=4)]
"""Channels of the encoder's stages, at strides 4, 8, 16 and 32."""
Depths = Annotated[Sequence[PositiveInt], Field(min_length=4, max_length=4)]
"""Blocks in the encoder's stages."""
DecoderWidth = Annotated[int, Field(ge=16, multiple_of=16)]
"""Channels of the pixel decoder at strides 16 and 8. At stride 4 and in the color decoder there are half as many."""
Queries = PositiveInt
"""Queries of the color decoder."""
ColorLayers = Annotated[int, Field(ge=3)]
"""Layers of the color decoder, which attend to the three scales in turn."""
