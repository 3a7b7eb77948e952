"""Tone of gray photographs: sepia, cyanotype and other prints whose one color follows from lightness."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from colorize_core.color.gray import GRAY_CHROMA
from colorize_core.color.lab import rgb_to_lab

_SIDE = 40  # averages grain and JPEG noise away, and keeps objects that have a color of their own
# Mean residual and mean chroma across the tone's hue, in CIELAB units. Of 250 photographs in color, the lowest pair
# above these limits is 1.42 and 4.8 (pink dunes), then 1.72; toned prints, made from photographs with noise, stains and
# uneven fading, have a median of 1.03 and 0.58, and 92 % of them are within the limits.
_MAX_RESIDUAL, _MAX_ACROSS = 1.6, 3.5
_SEPIA, _BLUE = (10, 115), (190, 310)  # degrees


@dataclass(frozen=True)
class Tone:
    """The one color of a toned photograph."""

    name: str
    """"sepia", "blue" (cyanotypes) or "toned"."""
    hue: float
    """Hue angle in CIELAB, degrees from 0 to 360."""
    chroma: float
    """Mean chroma in CIELAB units."""


def find_tone(rgb: np.ndarray) -> Tone | None:
    """Return the tone of a photograph, or None if it is gray or in color.

    a and b of a toned photograph are smooth functions of lightness, and change slowly with position where a print has
    faded unevenly. A polynomial of degree 4 in L and 1 in position is fitted to a reduced copy; what it leaves is small
    in a toned photograph, and there is little color across the mean hue.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
    """
    small = np.asarray(Image.fromarray(rgb).resize((_SIDE, _SIDE), Image.Resampling.BOX))
    lab = rgb_to_lab(torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float() / 255)[0].double().numpy()
    L, ab = lab[0].ravel() / 50 - 1, lab[1:].reshape(2, -1).T
    chroma = float(np.hypot(*ab.T).mean())
    if chroma < GRAY_CHROMA:
        return None
    y, x = (axis.ravel() / (_SIDE / 2) - 1 for axis in np.mgrid[:_SIDE, :_SIDE])
    terms = np.stack([L**0, L, L**2, L**3, L**4, x, y], axis=1)
    fitted, *_ = np.linalg.lstsq(terms, ab, rcond=None)
    a, b = ab.mean(axis=0)
    length = max(math.hypot(a, b), 1e-9)
    across = np.abs(ab @ np.array([-b, a]) / length).mean()
    residual = np.hypot(*(ab - terms @ fitted).T).mean()
    if residual > _MAX_RESIDUAL or across > _MAX_ACROSS:
        return None
    hue = math.degrees(math.atan2(b, a)) % 360
    name = next((name for name, (low, high) in (("sepia", _SEPIA), ("blue", _BLUE)) if low <= hue <= high), "toned")
    return Tone(name, hue, chroma)
