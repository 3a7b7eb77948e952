"""Options of reading and writing photographs, also used by job configurations. Imports no imaging library."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, field_validator

MAX_PIXELS = 200_000_000
"""Default limit of width x height of a photograph."""

_LATIN = 0x100  # the font of labels has the letters below
_IN_BASE_60 = {14644: "4:4:4", 14520: "4:2:0"}  # YAML 1.1 reads unquoted a:b:c as a number in base 60


def _undo_base_60(value: object) -> object:
    return _IN_BASE_60.get(value, value) if isinstance(value, int) else value


Subsampling = Annotated[Literal["4:4:4", "4:2:0"], BeforeValidator(_undo_base_60)]
BitDepth = Literal[8, "same"]


class EncodingOptions(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Quality and depth of encoded color images."""

    quality: int = Field(95, ge=1, le=100)
    """JPEG and WebP quality, 1 to 100."""
    subsampling: Subsampling = "4:2:0"
    """JPEG chroma subsampling. Predicted chroma is smoother than half the resolution: 4:4:4 makes files of photographs
    16 % larger and lowers the mean lightness error by 2 %. WebP always uses 4:2:0."""
    compression: int = Field(3, ge=0, le=9)
    """PNG and TIFF compression level (zlib), 0 to 9. On a photograph of 3 megapixels, 6 saves 2 % more than 3 and takes
    three times as long."""
    label: str | None = Field(None, min_length=1, max_length=60)
    """Words to draw small into the lower right corner of JPEG and WebP images, such as "colorized", for access copies.
    PNG and TIFF images are never labeled. Latin letters only."""
    bit_depth: BitDepth = 8
    """Bits per channel of PNG and TIFF images. `same` keeps 16 bits for photographs that have them."""

    @field_validator("label")
    @classmethod
    def _require_known_letters(cls, label: str | None) -> str | None:
        if label and not (label.isprintable() and all(ord(letter) < _LATIN for letter in label)):
            raise ValueError("has characters that cannot be drawn; use Latin letters")
        return label
