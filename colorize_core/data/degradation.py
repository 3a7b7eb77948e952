"""Imitation of old gray photographs, made from color ones: film, lens, development, grain, fading, compression.

A model that has only seen the lightness of modern photographs meets other tones in an archive: red lips are black on an
orthochromatic plate, prints have faded, scans are small JPEG files. `degrade` imitates this on the training input and
leaves the target unchanged. Effects work on gray photographs as files store them: (B, 1, H, W) float32, sRGB-encoded,
in [0, 1]. Their parameters have one value per photograph.
"""

import io
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from colorize_core.color.lab import lab_to_linear, lab_to_rgb, normalize_L, rgb_to_lab
from colorize_core.data.options import DegradationOptions

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Luminance weights of linear red, green and blue (ITU-R BT.709)."""

FILMS = {
    "panchromatic": (0.30, 0.35, 0.35),
    "orthochromatic": (0.02, 0.50, 0.48),
    "blue_sensitive": (0.00, 0.10, 0.90),
}
"""Response of a photographic emulsion to linear red, green and blue. Undyed silver bromide is sensitive to blue, up to
about 500 nm (until about 1880), orthochromatic plates also to green up to 590 nm (until about 1930), panchromatic film
to all colors, and to blue more than the eye is. Rounded estimates from the wavelengths of the sRGB primaries, not
measurements of particular films."""

Draw = Callable[[str, int], Tensor]
"""Draws uniform random numbers: (name, count) to (B, count) float64 in [0, 1) on the CPU."""

_GRAIN_SIGMA = (0.4, 0.7)  # pixels; range of the Gaussian that sets the size of grains


def degrade(L: Tensor, ab: Tensor, options: DegradationOptions, draw: Draw) -> Tensor:
    """Return the lightness that an old photograph of the same scene would show.

    A degraded photograph passes through 8-bit gray, as a scan does; a photograph without any effect is exact.

    Args:
        L: (B, 1, H, W) uint8 (see `color.lab_to_uint8`).
        ab: (B, 2, H, W) uint8.
        options: probabilities and strengths of the effects.
        draw: random numbers. Each effect draws under its own name, so that it does not depend on the other effects.

    Returns:
        (B, 1, H, W) float32 on the network's scale, on the device of L.
    """
    seen = normalize_L(L.float() / 2.55)
    names = [name for name in _NAMES if getattr(options, name) and getattr(options, f"{name}_strength")]
    if not names:
        return seen
    gray = _look_up(_gray_of_lightness(L.device), L)
    changed = torch.zeros(len(L), dtype=torch.bool)
    for name in names:
        numbers = draw(name, 4)
        chosen = numbers[:, 0] < getattr(options, name)
        if not chosen.any():
            continue
        changed |= chosen
        rows, numbers = chosen.nonzero().flatten().to(L.device), numbers[chosen, 1:]
        if name == "film":
            gray[rows] = film(L[rows], ab[rows], film_weights(numbers, options.film_strength))
        else:
            gray[rows] = _EFFECTS[name](gray[rows], numbers, getattr(options, f"{name}_strength"))
    old = normalize_L(_look_up(_lightness_of_gray(L.device), (gray * 255).round_()))
    return torch.where(_per_photograph(changed, old).bool(), old, seen)


def film_weights(numbers: Tensor, strength: float) -> Tensor:
    """Choose weights (B, 3) of linear red, green and blue from uniform numbers (B, >= 2).

    The first number chooses a film, the second interpolates between the eye's luminance and the film, up to `strength`.
    """
    films = torch.tensor(list(FILMS.values()), dtype=torch.float64)
    luminance = torch.tensor(LUMINANCE, dtype=torch.float64)
    chosen = films[(numbers[:, 0] * len(films)).long()]
    return luminance + strength * numbers[:, 1:2] * (chosen - luminance)


def film(L: Tensor, ab: Tensor, weights: Tensor) -> Tensor:
    """Make the gray photograph that a film records: a weighted sum of linear red, green and blue.

    The exposure keeps the mean luminance of the scene. Values outside [0, 1] are clipped, as the sky was on old plates.
    A neutral scene looks the same on every film.

    Args:
        L: (B, 1, H, W) uint8.
        ab: (B, 2, H, W) uint8.
        weights: (B, 3), each row with sum 1.
    """
    linear = lab_to_linear(torch.cat((L.float() / 2.55, ab.float() - 128), dim=1)).clamp_(0, 1)
    luminance = torch.einsum("bchw,c->bhw", linear, linear.new_tensor(LUMINANCE))[:, None]
    recorded = torch.einsum("bchw,bc->bhw", linear, weights.to(linear))[:, None]
    recorded *= luminance.mean((2, 3), keepdim=True) / recorded.mean((2, 3), keepdim=True).clamp_min(1e-6)
    encoded = torch.where(
        recorded > 0.0031308, 1.055 * recorded.clamp_min(0.0031308).pow(1 / 2.4) - 0.055, 12.92 * recorded
    )  # IEC 61966-2-1
    return encoded.clamp_(0, 1)


def blur(gray: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Convolve with a Gaussian of `sigma` (B,) pixels, truncated at `radius` pixels; edges are mirrored.

    The caller gives the radius, rather than the largest sigma of the batch, so that the result for a photograph does
    not depend on its batch.
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
    """Return kernels (B, 2 * radius + 1), float64, with sum 1; sigma 0 gives the identity."""
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    return torch.softmax(-offsets.square() / (2 * sigma.double().clamp_min(1e-3)[:, None] ** 2), dim=1)


def gamma(gray: Tensor, exponent: Tensor) -> Tensor:
    """Raise each photograph to its exponent (B,)."""
    return gray.pow(_per_photograph(exponent, gray))


def contrast(gray: Tensor, slope: Tensor) -> Tensor:
    """Scale contrast around middle gray by a slope (B,) and clip to [0, 1]."""
    return torch.lerp(torch.full_like(gray, 0.5), gray, _per_photograph(slope, gray)).clamp_(0, 1)


def grain(gray: Tensor, noise: Tensor, deviation: Tensor) -> Tensor:
    """Add `noise` (B, 1, H, W) of unit variance, scaled to the standard `deviation` (B,) at middle gray.

    Grains cover a random fraction g of the print, whose standard deviation is proportional to sqrt(g (1 - g)): pure
    black and pure white have no grain.
    """
    return (gray + 2 * _per_photograph(deviation, gray) * (gray * (1 - gray)).sqrt() * noise).clamp_(0, 1)


def fade(gray: Tensor, black: Tensor, white: Tensor) -> Tensor:
    """Map [0, 1] linearly to [`black`, `white`], both (B,)."""
    low = _per_photograph(black, gray)
    return low + (_per_photograph(white, gray) - low) * gray


def compress(gray: Tensor, quality: Tensor) -> Tensor:
    """Encode and decode as JPEG of `quality` (B,), whole numbers from 1 to 100.

    This runs in Pillow on the CPU: a DCT in torch takes three times as long there and rounds differently than decoders.
    """
    pixels = (gray * 255).round_().byte().cpu().numpy()
    photographs = []
    for photograph, rate in zip(pixels[:, 0], quality.tolist(), strict=True):
        file = io.BytesIO()
        Image.fromarray(photograph).save(file, "JPEG", quality=int(rate))
        photographs.append(torch.from_numpy(np.array(Image.open(file))))
    return torch.stack(photographs)[:, None].to(gray.device).float() / 255


def _per_photograph(values: Tensor, gray: Tensor) -> Tensor:
    return values.to(gray)[:, None, None, None]


def _log_uniform(numbers: Tensor, octaves: float) -> Tensor:
    """Map uniform numbers to factors between 2**-octaves and 2**octaves, log-uniformly."""
    return 2 ** (octaves * (2 * numbers[:, 0] - 1))


def _draw_blur(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    return blur(gray, strength * numbers[:, 0], radius=math.ceil(3 * strength))


def _draw_gamma(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    return gamma(gray, _log_uniform(numbers, strength))


def _draw_contrast(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    return contrast(gray, _log_uniform(numbers, strength))


def _draw_grain(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    # Drawn on the CPU, so that the noise is the same on every device.
    white = torch.stack(
        [torch.randn(gray.shape[1:], generator=torch.Generator().manual_seed(int(n * 2**32))) for n in numbers[:, 2]]
    )
    smallest, largest = _GRAIN_SIGMA
    size = smallest + (largest - smallest) * numbers[:, 1]
    radius = math.ceil(3 * largest)
    gain = _gaussian(size, radius).square().sum(1)  # of the two blur passes, on the standard deviation
    noise = blur(white.to(gray.device), size, radius) / _per_photograph(gain, gray)
    return grain(gray, noise, strength * numbers[:, 0])


def _draw_fading(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    return fade(gray, strength * numbers[:, 0], 1 - strength * numbers[:, 1])


def _draw_jpeg(gray: Tensor, numbers: Tensor, strength: float) -> Tensor:
    return compress(gray, (100 - strength * numbers[:, 0]).round())


# In the order of application. `film` comes first and is not listed, because it also needs the colors.
_EFFECTS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "blur": _draw_blur,
    "gamma": _draw_gamma,
    "contrast": _draw_contrast,
    "grain": _draw_grain,
    "fading": _draw_fading,
    "jpeg": _draw_jpeg,
}
_NAMES = ("film", *_EFFECTS)


def _look_up(table: Tensor, indices: Tensor) -> Tensor:
    return table.index_select(0, indices.flatten().int()).view(indices.shape)  # six times as fast as table[indices]


@cache
def _gray_of_lightness(device: torch.device) -> Tensor:
    """Return the gray values (256,) in [0, 1] of 8-bit L."""
    lab = torch.zeros(1, 3, 256, 1)
    lab[0, 0, :, 0] = torch.arange(256) / 2.55
    return lab_to_rgb(lab)[0, 1, :, 0].to(device)


@cache
def _lightness_of_gray(device: torch.device) -> Tensor:
    """Return the lightness (256,) in [0, 100] of 8-bit gray."""
    gray = torch.arange(256) / 255
    return rgb_to_lab(gray.expand(1, 3, 1, 256))[0, 0, 0].to(device)
