"""Sample grid: an image with photographs as rows and models as columns."""

from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from colorize_core.photo.formats import encode_image

_GAP = 4
_HEADING = 24
_FONT_SIZE = 14
_BACKGROUND, _INK = "white", "black"


def sample_grid(columns: Mapping[str, Iterable[np.ndarray]], cell: int = 160) -> bytes:
    """Draw a sample grid.

    Args:
        columns: photographs by heading, as many in each column: (3, H, W) uint8 sRGB each.
        cell: longer side of each photograph in the grid, in pixels.

    Returns:
        The grid as a PNG file.
    """
    rows = [[_fit(pixels, cell) for pixels in row] for row in zip(*columns.values(), strict=True)]
    heights = [max(image.height for image in row) for row in rows]
    width = len(columns) * (cell + _GAP) + _GAP
    grid = Image.new("RGB", (width, _HEADING + sum(heights) + len(rows) * _GAP + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(grid)
    font = ImageFont.load_default(_FONT_SIZE)
    lefts = [_GAP + column * (cell + _GAP) for column in range(len(columns))]
    for heading, left in zip(columns, lefts, strict=True):
        draw.text((left + cell / 2, _HEADING / 2 + _GAP / 2), _shorten(heading, cell, font), _INK, font, anchor="mm")
    top = _HEADING + _GAP
    for row, height in zip(rows, heights, strict=True):
        for image, left in zip(row, lefts, strict=True):
            grid.paste(image, (left + (cell - image.width) // 2, top + (height - image.height) // 2))
        top += height + _GAP
    return encode_image(grid, "PNG")


def _fit(pixels: np.ndarray, cell: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return ImageOps.contain(image, (cell, cell), Image.Resampling.BICUBIC)


def _shorten(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
