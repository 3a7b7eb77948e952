"""Settings of the colors, for a whole run and for single photographs.

The module works without torch, which takes seconds to import: command lines read its options for `--help`.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from colorize_core.errors import UserError
from colorize_core.options import describe_problem

if TYPE_CHECKING:
    from torch import Tensor

OnTone = Literal["neutralize", "keep"]

HUES = {
    "red": (10.0, 55.0),
    "orange": (55.0, 85.0),
    "yellow": (85.0, 110.0),
    "green": (110.0, 165.0),
    "cyan": (165.0, 225.0),
    "blue": (225.0, 290.0),
    "violet": (290.0, 335.0),
    "magenta": (335.0, 370.0),
}
"""Ranges of the CIELAB hue angle in degrees, by name. The blue of sRGB's primary, at 306 degrees, counts as violet."""
_RAMP_DEGREES = 15.0
"""Width of the transition outside both ends of a range of hues, without which gradients would show its edge."""
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


def hue_range(name: str) -> tuple[float, float]:
    """Return the hue angles at which a range begins and ends, in degrees; the end may exceed 360.

    Args:
        name: a name of HUES, or degrees such as 290-335; 330-20 goes through 0.

    Raises:
        ValueError: another text, or degrees outside 0 to 360.
    """
    if name in HUES:
        return HUES[name]
    found = _DEGREES.fullmatch(name)
    if not found:
        raise ValueError(f"{name!r} is no hue: give {', '.join(HUES)}, or degrees such as 290-335")
    first, last = float(found[1]), float(found[2])
    if first > 360 or last > 360 or first == last:
        raise ValueError(f"{name!r}: degrees are from 0 to 360, and the two differ")
    return first, last if last > first else last + 360


def _check_hues(calm: dict[str, float]) -> dict[str, float]:
    for name in calm:
        hue_range(name)
    return calm


class ColorSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Settings of the predicted colors."""

    strength: float = Field(1.0, ge=0, le=2, allow_inf_nan=False)
    """Factor of the predicted chroma, 0 to 2: below 1 for calmer colors, above for stronger ones."""
    max_chroma: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Largest chroma of a pixel in CIELAB units, after `strength`; no limit when empty. 60 is a ripe orange."""
    calm: Annotated[dict[str, Annotated[float, Field(ge=0, le=1)]], AfterValidator(_check_hues)] = Field(
        default_factory=dict
    )
    """Factors of the chroma of hues, 0 to 1, such as {violet: 0.5}: red, orange, yellow, green, cyan, blue, violet,
    magenta, or degrees of the CIELAB hue such as 290-335."""
    temperature: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Temperature of models that predict distributions (pretrained_unet with bins, zhang_eccv16): 1 gives the mean of
    the distribution, values near 0 its most frequent color; that of the checkpoint when empty."""
    working_size: int | None = Field(None, ge=32)
    """Approximate side in pixels of the image that the model receives; that of the checkpoint when empty."""
    on_tone: OnTone = "neutralize"
    """Handling of toned gray photographs (sepia, cyanotype): neutralize replaces their tone by the predicted colors,
    keep treats them as photographs in color, about which on_color decides."""


class PhotoSettings(ColorSettings):
    """Settings of one photograph."""

    checkpoint: str | None = None
    """Name of the one of several checkpoints that colors the photograph; their mixture when empty."""
    skip: bool = False
    """Make no color image of the photograph."""

    @classmethod
    def of(cls, options: ColorSettings) -> "PhotoSettings":
        """Return the settings that a configuration gives."""
        given = options.model_fields_set & ColorSettings.model_fields.keys()
        return cls(**{name: getattr(options, name) for name in given})

    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, as JSON has them."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def updated(self, values: Mapping[str, Any]) -> "PhotoSettings":
        """Return a copy with other values; raises UserError for an unknown setting or a wrong value."""
        if not values:
            return self
        if unknown := values.keys() - PhotoSettings.model_fields.keys():
            known = ", ".join(PhotoSettings.model_fields)
            raise UserError(f"{min(unknown)}: unknown setting; the settings are {known}")
        try:
            return PhotoSettings.model_validate(self.model_dump(exclude_unset=True) | dict(values))
        except ValidationError as error:
            raise UserError(describe_problem(error)) from None


class NetworkChoice(NamedTuple):
    """The settings that decide which network runs, and how; photographs with equal ones share batches."""

    checkpoint: str | None = None
    working_size: int | None = None
    temperature: float | None = None

    @classmethod
    def of(cls, settings: PhotoSettings) -> "NetworkChoice":
        """Return the choice of a photograph."""
        return cls(settings.checkpoint, settings.working_size, settings.temperature)


def adjust_chroma(ab: "Tensor", settings: ColorSettings) -> "Tensor":
    """Apply `calm`, `strength` and `max_chroma` to chroma; the hue of every pixel stays.

    Args:
        ab: (B, 2, h, w) a and b, CIELAB units.
        settings: others have no effect.

    Returns:
        (B, 2, h, w); `ab` itself if the settings change nothing.
    """
    if settings.calm:
        ab = ab * _calm_factors(ab, settings.calm)
    if settings.strength != 1:
        ab = ab * settings.strength
    if settings.max_chroma is not None:
        chroma = ab.square().sum(dim=1, keepdim=True).sqrt()
        ab = ab * (settings.max_chroma / chroma.clamp_min(1e-6)).clamp_max(1)
    return ab


def _calm_factors(ab: "Tensor", calm: Mapping[str, float]) -> "Tensor":
    """Return factors (B, 1, h, w): that of a range inside it, 1 beyond its ramps, the lowest where ranges overlap."""
    hue = ab[:, 1:].atan2(ab[:, :1]).rad2deg()
    lowest = None
    for name, factor in calm.items():
        first, last = hue_range(name)
        distance = ((hue - (first + last) / 2 + 180) % 360 - 180).abs() - (last - first) / 2
        factors = factor + (1 - factor) * (distance / _RAMP_DEGREES).clamp(0, 1)
        lowest = factors if lowest is None else lowest.minimum(factors)
    assert lowest is not None
    return lowest
