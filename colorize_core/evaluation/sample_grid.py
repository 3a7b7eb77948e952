"""The sample grid: a picture of photographs (rows) by model (columns)."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 4
_HEADING = 24
_FONT_SIZE = 14
_BACKGROUND, _INK = "white", "black"


def sample_grid(columns: Mapping[str, np.ndarray], cell: int = 160) -> bytes:
    """Draw a grid.

    Args:
        columns: heading to (N, 3, S, S) uint8 sRGB; N is the same for all.
        cell: side of each picture on the page in pixels.

    Returns:
        A PNG.
    """
    rows = len(next(iter(columns.values())))
    width = len(columns) * (cell + _GAP) + _GAP
    page = Image.new("RGB", (width, _HEADING + rows * (cell + _GAP) + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(_FONT_SIZE)
    for column, (heading, pictures) in enumerate(columns.items()):
        left = _GAP + column * (cell + _GAP)
        draw.text((left + cell / 2, _HEADING / 2 + _GAP / 2), _shorten(heading, cell, font), _INK, font, anchor="mm")
        for row, picture in enumerate(pictures):
            image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
            image = image.resize((cell, cell), Image.Resampling.BICUBIC)
            page.paste(image, (left, _HEADING + _GAP + row * (cell + _GAP)))
    sink = io.BytesIO()
    page.save(sink, "PNG")
    return sink.getvalue()


def _shorten(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
