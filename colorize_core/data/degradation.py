"""The gray of old photographs, made from the colors of new ones: film, lens, development, grain, age, scan.

A model that only ever saw the lightness of color photographs meets something else in an archive: red lips black on an
orthochromatic plate, a faded print, a small JPEG. `restyle` imitates that on the input of training and leaves the
truth alone. Effects work on gray photographs as files hold them: (B, 1, H, W) float32, sRGB-encoded, in [0, 1]; their
parameters are one number per photograph.
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from colorize_core.color.lab import _lab_to_linear, lab_to_rgb, normalize_L, rgb_to_lab
from colorize_core.errors import UserError

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""What the eye makes of linear red, green and blue (ITU-R BT.709)."""

FILMS = {
    "panchromatic": (0.30, 0.35, 0.35),
    "orthochromatic": (0.02, 0.50, 0.48),
    "blue_sensitive": (0.00, 0.10, 0.90),
}
"""Shares of linear red, green and blue in what an emulsion records. Undyed silver bromide sees blue up to about
500 nm (until about 1880), orthochromatic plates also green up to 590 nm (until about 1930), panchromatic film all, and
more blue than the eye does. Rounded from where the sRGB primaries lie; no film is meant in particular."""

Draw = Callable[[str, int], Tensor]
"""Draws uniform random numbers: a name and a count to (B, count) float64 in [0, 1) on the CPU."""

_GRAIN_SIGMA = (0.4, 0.7)  # pixels, of the Gaussian that gives grains a size


@dataclass(frozen=True)
class GrayStyle:
    """How often and how much the model's input is changed.

    Of each effect a probability per photograph, and the largest strength: what is drawn is uniform up to it.
    Either at 0 leaves the effect out.
    """

    film: float = 0.0
    """Probability of the tones of another film: panchromatic, orthochromatic or blue-sensitive, equally often."""
    film_strength: float = 1.0
    """Share of the way from the eye's luminance to the film's, at most 1."""
    blur: float = 0.0
    """Probability of a blurred lens."""
    blur_strength: float = 1.2
    """Standard deviation of the Gaussian in pixels, at most 10."""
    gamma: float = 0.0
    """Probability of a darker or lighter development."""
    gamma_strength: float = 0.5
    """Octaves up or down of the exponent: 0.5 draws from 0.71 to 1.41."""
    contrast: float = 0.0
    """Probability of softer or harder paper."""
    contrast_strength: float = 0.3
    """Octaves up or down of the slope at middle gray: 0.3 draws from 0.81 to 1.23."""
    grain: float = 0.0
    """Probability of film grain."""
    grain_strength: float = 0.03
    """Standard deviation of the grain in middle gray, as a share of white."""
    fading: float = 0.0
    """Probability of a faded print."""
    fading_strength: float = 0.2
    """How far black rises and, separately, white falls, as a share of white, below 0.5."""
    jpeg: float = 0.0
    """Probability of JPEG compression."""
    jpeg_strength: float = 60.0
    """How far the quality falls below 100, at most 99: 60 draws from 40 to 100."""

    def __post_init__(self) -> None:
        """Raise UserError for a number out of range."""
        largest = {"film_strength": 1.0, "blur_strength": 10.0, "fading_strength": 0.49, "jpeg_strength": 99.0}
        for field in fields(self):
            value = getattr(self, field.name)
            limit = largest.get(field.name, math.inf if field.name.endswith("_strength") else 1.0)
            if not 0 <= value <= limit:
                bounds = "at least 0" if limit == math.inf else f"between 0 and {limit:g}"
                raise UserError(f"{field.name} = {value}: must be {bounds}")


OLD_PHOTO = GrayStyle(film=0.6, blur=0.3, gamma=0.5, contrast=0.4, grain=0.5, fading=0.4, jpeg=0.4)
"""For colorizing real black-and-white photographs: one in 66 stays as it is."""


def restyle(L: Tensor, ab: Tensor, style: GrayStyle, draw: Draw) -> Tensor:
    """Lightness as an old photograph of the same scene would show it.

    A changed photograph goes through an 8-bit gray file, as a scan does; one that nothing was drawn for is exact.

    Args:
        L: (B, 1, H, W) uint8 (see `color.lab_to_uint8`).
        ab: (B, 2, H, W) uint8.
        style: what to do.
        draw: random numbers; each effect draws under its own name, so that none moves with another's settings.

    Returns:
        (B, 1, H, W) float32 on the network's scale, on the device of L.
    """
    seen = normalize_L(L.float() / 2.55)
    names = [name for name in _NAMES if getattr(style, name) and getattr(style, f"{name}_strength")]
    if not names:
        return seen
    gray = _look_up(_gray_of_lightness(L.device), L)
    changed = torch.zeros(len(L), dtype=torch.bool)
    for name in names:
        numbers = draw(name, 4)
        chosen = numbers[:, 0] < getattr(style, name)
        if not chosen.any():
            continue
        changed |= chosen
        rows, numbers = chosen.nonzero().flatten().to(L.device), numbers[chosen, 1:]
        if name == "film":
            gray[rows] = film(L[rows], ab[rows], film_weights(numbers, style.film_strength))
        else:
            gray[rows] = _EFFECTS[name](gray[rows], numbers, getattr(style, f"{name}_strength"))
    old = normalize_L(_look_up(_lightness_of_gray(L.device), (gray * 255).round_()))
    return torch.where(_per_photograph(changed, old).bool(), old, seen)


def film_weights(numbers: Tensor, strength: float) -> Tensor:
    """Shares of linear red, green and blue from uniform numbers (B, >= 2): a film, and how far toward it."""
    films = torch.tensor(list(FILMS.values()), dtype=torch.float64)
    luminance = torch.tensor(LUMINANCE, dtype=torch.float64)
    chosen = films[(numbers[:, 0] * len(films)).long()]
    return luminance + strength * numbers[:, 1:2] * (chosen - luminance)


def film(L: Tensor, ab: Tensor, weights: Tensor) -> Tensor:
    """The gray photograph a film makes of a scene: a weighted sum of its linear red, green and blue.

    It is exposed as a photographer would, so that the mean light is what it was; where that leaves [0, 1] it is
    clipped, as skies were on old plates. A neutral scene looks the same on every film.

    Args:
        L: (B, 1, H, W) uint8.
        ab: (B, 2, H, W) uint8.
        weights: (B, 3), of sum 1.
    """
    linear = _lab_to_linear(torch.cat((L.float() / 2.55, ab.float() - 128), dim=1)).clamp_(0, 1)
    light = torch.einsum("bchw,c->bhw", linear, linear.new_tensor(LUMINANCE))[:, None]
    recorded = torch.einsum("bchw,bc->bhw", linear, weights.to(linear))[:, None]
    recorded *= light.mean((2, 3), keepdim=True) / recorded.mean((2, 3), keepdim=True).clamp_min(1e-6)
    encoded = torch.where(
        recorded > 0.0031308, 1.055 * recorded.clamp_min(0.0031308).pow(1 / 2.4) - 0.055, 12.92 * recorded
    )  # IEC 61966-2-1
    return encoded.clamp_(0, 1)


def blur(gray: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Convolve with a Gaussian of `sigma` (B,) pixels, cut at `radius` pixels; edges are mirrored.

    The radius is the caller's, and not that of the largest sigma, so that no photograph depends on its batch.
    """
    taps = _gaussian(sigma, radius).to(gray)[:, :, None, None, None].unbind(1)
    padded = torch.nn.functional.pad(gray, (radius, radius, radius, radius), mode="reflect")
    return _convolve(_convolve(padded, taps, dim=-2), taps, dim=-1)


def _convolve(gray: Tensor, taps: Sequence[Tensor], dim: int) -> Tensor:
    length = gray.shape[dim] - len(taps) + 1
    result = torch.zeros_like(gray.narrow(dim, 0, length))
    for offset, tap in enumerate(taps):
        result.addcmul_(gray.narrow(dim, offset, length), tap)
    return result


def _gaussian(sigma: Tensor, radius: int) -> Tensor:
    """(B, 2 * radius + 1) float64 of sum 1; the identity where sigma is 0."""
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    return torch.softmax(-offsets.square() / (2 * sigma.double().clamp_min(1e-3)[:, None] ** 2), dim=1)


def gamma(gray: Tensor, exponent: Tensor) -> Tensor:
    """Raise to an exponent (B,)."""
    return gray.pow(_per_photograph(exponent, gray))


def contrast(gray: Tensor, slope: Tensor) -> Tensor:
    """Stretch about middle gray by a slope (B,); what leaves [0, 1] is clipped."""
    return torch.lerp(torch.full_like(gray, 0.5), gray, _per_photograph(slope, gray)).clamp_(0, 1)


def grain(gray: Tensor, noise: Tensor, deviation: Tensor) -> Tensor:
    """Add grain: `noise` (B, 1, H, W) of unit variance, with the `deviation` (B,) in middle gray.

    Grains cover a share g of the print by chance, whose standard deviation goes as sqrt(g (1 - g)): none in pure
    black or white.
    """
    return (gray + 2 * _per_photograph(deviation, gray) * (gray * (1 - gray)).sqrt() * noise).clamp_(0, 1)


def fade(gray: Tensor, black: Tensor, white: Tensor) -> Tensor:
    """Raise black to `black` (B,) and lower white to `white` (B,)."""
    low = _per_photograph(black, gray)
    return low + (_per_photograph(white, gray) - low) * gray


def compress(gray: Tensor, quality: Tensor) -> Tensor:
    """Through a JPEG file of `quality` (B,), whole numbers from 1 to 100.

    By Pillow, on the CPU: there a DCT in torch takes three times as long, and rounds otherwise than decoders do.
    """
    levels = (gray * 255).round_().byte().cpu().numpy()
    photographs = []
    for level, rate in zip(levels[:, 0], quality.tolist(), strict=True):
        file = io.BytesIO()
        Image.fromarray(level).save(file, "JPEG", quality=int(rate))
        photographs.append(torch.from_numpy(np.array(Image.open(file))))
    return torch.stack(photographs)[:, None].to(gray.device).float() / 255


def _per_photograph(values: Tensor, gray: Tensor) -> Tensor:
    return values.to(gray)[:, None, None, None]


def _octaves(numbers: Tensor, most: float) -> Tensor:
    """Factors between 2**-most and 2**most, a half as likely as a double."""
    return 2 ** (most * (2 * numbers[:, 0] - 1))


def _draw_blur(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    return blur(gray, strength * numbers[:, 0], radius=math.ceil(3 * strength))


def _draw_gamma(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    return gamma(gray, _octaves(numbers, strength))


def _draw_contrast(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    return contrast(gray, _octaves(numbers, strength))


def _draw_grain(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    # Noise is drawn on the CPU, so that it is the same on every device.
    white = torch.stack(
        [torch.randn(gray.shape[1:], generator=torch.Generator().manual_seed(int(n * 2**32))) for n in numbers[:, 2]]
    )
    smallest, largest = _GRAIN_SIGMA
    size = smallest + (largest - smallest) * numbers[:, 1]
    radius = math.ceil(3 * largest)
    gain = _gaussian(size, radius).square().sum(1)  # of the standard deviation, by two passes
    noise = blur(white.to(gray.device), size, radius) / _per_photograph(gain, gray)
    return grain(gray, noise, strength * numbers[:, 0])


def _draw_fading(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    return fade(gray, strength * numbers[:, 0], 1 - strength * numbers[:, 1])


def _draw_jpeg(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    return compress(gray, (100 - strength * numbers[:, 0]).round())


# In the order in which a photograph goes through them; film, which is first, also needs the colors.
_EFFECTS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "blur": _draw_blur,
    "gamma": _draw_gamma,
    "contrast": _draw_contrast,
    "grain": _draw_grain,
    "fading": _draw_fading,
    "jpeg": _draw_jpeg,
}
_NAMES = ("film", *_EFFECTS)


def _look_up(table: Tensor, levels: Tensor) -> Tensor:
    return table.index_select(0, levels.flatten().int()).view(levels.shape)  # six times as fast as table[levels]


@cache
def _gray_of_lightness(device: torch.device) -> Tensor:
    """Gray by 8-bit L."""
    lab = torch.zeros(1, 3, 256, 1)
    lab[0, 0, :, 0] = torch.arange(256) / 2.55
    return lab_to_rgb(lab)[0, 1, :, 0].to(device)


@cache
def _lightness_of_gray(device: torch.device) -> Tensor:
    """L in [0, 100] by 8-bit gray."""
    levels = torch.arange(256) / 255
    return rgb_to_lab(levels.expand(1, 3, 1, 256))[0, 0, 0].to(device)
