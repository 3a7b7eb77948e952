"""Visible label in the corner of an image."""

from PIL import Image, ImageDraw, ImageFont

_HEIGHT = 0.025  # of the letters, as a share of the shorter side
_SMALLEST = 9.0  # pixels that can be read
_LARGEST_WIDTH = 0.5  # of the label, as a share of the width
_WHITE, _SHADE = (255, 255, 255), (0, 0, 0, 150)


def draw_label(image: Image.Image, text: str) -> None:
    """Draw white words on a dark strip into the lower right corner of an RGB or RGBA image, in place.

    The letters have 2.5 % of the shorter side, at least 9 px, and fewer if the words would fill more than half of the
    width.
    """
    size = max(_HEIGHT * min(image.size), _SMALLEST)
    size *= min(1.0, _LARGEST_WIDTH * image.width / ImageFont.load_default(size).getlength(text))
    font = ImageFont.load_default(max(size, 1.0))
    left, top, right, bottom = font.getbbox(text)
    margin = round(0.4 * size)
    width, height = round(right - left) + 2 * margin, round(bottom - top) + 2 * margin
    corner = max(image.width - width, 0), max(image.height - height, 0)
    strip = Image.new("RGBA", (width, height), _SHADE)
    ImageDraw.Draw(strip).text((margin - left, margin - top), text, _WHITE, font)
    image.paste(strip.convert("RGB"), corner, strip.getchannel("A"))
