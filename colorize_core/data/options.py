"""Options of augmentation. This module does not import torch: command lines read it for `--help`."""

from pydantic import Field

from colorize_core.errors import UserError
from colorize_core.options import Options


class DegradationOptions(Options):
    """Degradations of the input alone: for each effect a probability and a maximum strength.

    The strength of an effect is drawn uniformly between 0 and its maximum. A probability or a maximum of 0 disables
    the effect.
    """

    film: float = Field(0.0, ge=0, le=1)
    """Probability of the tones of another film, drawn uniformly from panchromatic, orthochromatic, blue-sensitive."""
    film_strength: float = Field(1.0, ge=0, le=1)
    """Maximum weight of the film's spectral response; 0 is the luminance of the eye, 1 the film."""
    blur: float = Field(0.0, ge=0, le=1)
    """Probability of lens blur."""
    blur_strength: float = Field(1.2, ge=0, le=10)
    """Maximum standard deviation of the Gaussian blur in pixels, at most 10."""
    gamma: float = Field(0.0, ge=0, le=1)
    """Probability of a darker or lighter development (random gamma)."""
    gamma_strength: float = Field(0.5, ge=0)
    """Maximum absolute log2 of the random gamma: 0.5 draws exponents from 0.71 to 1.41."""
    contrast: float = Field(0.0, ge=0, le=1)
    """Probability of lower or higher contrast (softer or harder paper)."""
    contrast_strength: float = Field(0.3, ge=0)
    """Maximum absolute log2 of the slope at middle gray: 0.3 draws slopes from 0.81 to 1.23."""
    grain: float = Field(0.0, ge=0, le=1)
    """Probability of film grain."""
    grain_strength: float = Field(0.03, ge=0)
    """Maximum standard deviation of the grain at middle gray, as a fraction of white."""
    fading: float = Field(0.0, ge=0, le=1)
    """Probability of a faded print."""
    fading_strength: float = Field(0.2, ge=0, le=0.49)
    """Maximum by which black rises and, drawn separately, white falls, as a fraction of white, below 0.5."""
    jpeg: float = Field(0.0, ge=0, le=1)
    """Probability of JPEG compression."""
    jpeg_strength: float = Field(60.0, ge=0, le=99)
    """Maximum reduction of the JPEG quality from 100: 60 draws qualities from 40 to 100."""


class HintOptions(Options):
    """Random color hints, for models that take them (siggraph17)."""

    stop_probability: float = Field(0.125, gt=0, le=1)
    """Probability, before each hint, that no more follow: 0.125 gives 7 hints on average and none in 1 of 8
    photographs (Zhang et al. 2017). 1 trains without hints."""
    patch: int = Field(9, ge=1, le=32)
    """Maximum side of a hint in pixels; sides from 1 to it are equally likely."""


class AugmentOptions(Options):
    """Random changes of training photographs; they depend on photograph, epoch and seed, not on batch or worker."""

    flip: bool = True
    """Mirror photographs left to right with probability 0.5."""
    crop: int | None = Field(None, ge=32, multiple_of=32)
    """Side of a random square crop in pixels, a multiple of 32; the whole photograph when empty."""
    zoom: float | None = Field(None, gt=0, lt=1)
    """Minimum side of a random crop as a fraction of the photograph's side (0.5). The crop has an aspect ratio between
    8/9 and 9/8 and is resampled to augment.crop, or to the photograph's size. When empty, crops are not resampled."""
    style: DegradationOptions = Field(default_factory=DegradationOptions)
    """Degradations of the input alone, which imitate old photographs."""
    chroma: float = Field(1.0, gt=0)
    """Chroma scale of the training target. L1 and L2 losses produce desaturated colors; 1.25 compensates, at some cost
    in every score except colorfulness."""
    hints: HintOptions = Field(default_factory=HintOptions)
    """Random color hints, for models that take them (siggraph17)."""

    def require_fit(self, size: int) -> None:
        """Raise UserError if the crop does not fit into photographs with a side of `size` pixels."""
        if self.crop is None:
            return
        if self.zoom is None and self.crop >= size:
            raise UserError(f"crop = {self.crop}: must be smaller than the photographs, which have {size} px")
        if self.crop > size:
            raise UserError(f"crop = {self.crop}: must not be larger than the photographs, which have {size} px")
