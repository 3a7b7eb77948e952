"""Sample grid: an image with photographs as rows and models as columns."""

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from colorize_core.photo.formats import encode_image

_GAP = 4
_HEADING = 24
_FONT_SIZE = 14
_BACKGROUND, _INK = "white", "black"


def sample_grid(columns: Mapping[str, np.ndarray], cell: int = 160) -> bytes:
    """Draw a sample grid.

    Args:
        columns: (N, 3, S, S) uint8 sRGB by heading, with the same N for all.
        cell: side of each cell in pixels.

    Returns:
        The grid as a PNG file.
    """
    rows = len(next(iter(columns.values())))
    width = len(columns) * (cell + _GAP) + _GAP
    grid = Image.new("RGB", (width, _HEADING + rows * (cell + _GAP) + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(grid)
    font = ImageFont.load_default(_FONT_SIZE)
    for column, (heading, images) in enumerate(columns.items()):
        left = _GAP + column * (cell + _GAP)
        draw.text((left + cell / 2, _HEADING / 2 + _GAP / 2), _shorten(heading, cell, font), _INK, font, anchor="mm")
        for row, pixels in enumerate(images):
            image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
            image = image.resize((cell, cell), Image.Resampling.BICUBIC)
            grid.paste(image, (left, _HEADING + _GAP + row * (cell + _GAP)))
    return encode_image(grid, "PNG")


def _shorten(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
