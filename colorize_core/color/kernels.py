"""Per-pixel loops compiled by numba, for CPUs, where torch takes seven times as long.

They process row by row, on buffers that stay in the L1 cache, in loops that vectorize. `color.lab` has the reference
implementations, against which the tests compare them.
"""

from typing import Any, TypeAlias

import numpy as np

from colorize_core.color.lab import GAMUT_ABOVE, GAMUT_BELOW, GAMUT_BISECTIONS, WHITE_D65, XYZ_FROM_RGB
from colorize_core.runtime.compiling import compile_loop

_Real: TypeAlias = Any  # np.float32: numba accepts it as it is, type checkers do not accept it as a float

_F = np.float32
_STEPS = 4096  # steps of linear light; each contains at most one threshold between 8-bit values
_RGB_FROM_XYZ = (np.linalg.inv(np.array(XYZ_FROM_RGB)) * np.array(WHITE_D65)).astype(_F)
_LUMINANCE = np.array(XYZ_FROM_RGB[1], _F)
_WHITE_FROM_RGB = (np.array(XYZ_FROM_RGB) / np.array(WHITE_D65)[:, None]).astype(_F)


def _linear(values: np.ndarray, white: int) -> np.ndarray:
    """Convert sRGB pixel values to linear light (IEC 61966-2-1)."""
    encoded = values / white
    return np.where(encoded > 0.04045, ((encoded + 0.055) / 1.055) ** 2.4, encoded / 12.92).astype(_F)


_LINEAR_8, _LINEAR_16 = (_linear(np.arange(white + 1), white) for white in (255, 65535))
# Linear light to 8-bit values: the value at the start of each step, and the linear light where the next value starts.
_NEXT_START = np.append(_linear(np.arange(255) + 0.5, 255), _F(2))
_FIRST_VALUE = np.searchsorted(_NEXT_START, np.arange(_STEPS + 1) / _STEPS, side="right").astype(np.uint8)


def compose_rows(L: np.ndarray, ab: np.ndarray, depth: int) -> tuple[np.ndarray, int, float, float]:
    """Convert lightness and chroma to sRGB pixel values, reducing the chroma of colors outside the gamut.

    Args:
        L: (n, W) float32 lightness in [0, 100].
        ab: (2, n, W) float32 chroma, CIELAB units; overwritten by the chroma that fits the gamut.
        depth: 8 or 16 bits.

    Returns:
        Pixel values (n, W, 3), uint8 or uint16; the number of pixels whose chroma was reduced; the sum of the chroma
        of all pixels afterwards; the maximum difference between L and the lightness of the rounded pixel values.
    """
    pixels = np.empty((*L.shape, 3), np.uint8 if depth == 8 else np.uint16)
    linear = _LINEAR_8 if depth == 8 else _LINEAR_16
    # Arguments rather than globals: numba's cache would not notice a change of another module's constants.
    return pixels, *_compose(L, ab, pixels, linear, (_F(-GAMUT_BELOW), _F(1 + GAMUT_ABOVE)), GAMUT_BISECTIONS)


def clip_rows(L: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Convert lightness and chroma, as of `compose_rows`, to (n, W, 3) uint8, clipping each channel of sRGB.

    Clipping changes the lightness. Benchmarks use it as the cost of the conversion without gamut mapping.
    """
    pixels = np.empty((*L.shape, 3), np.uint8)
    _clip(L, ab, pixels, (_F(0), _F(1)))
    return pixels


def pixels_to_lab_rows(pixels: np.ndarray) -> np.ndarray:
    """Convert (H, W, 3) sRGB, uint8 or uint16, to CIELAB (3, H, W) float32."""
    lab = np.empty((3, *pixels.shape[:2]), _F)
    _to_lab(pixels, _LINEAR_8 if pixels.dtype == np.uint8 else _LINEAR_16, lab)
    return lab


@compile_loop
def _to_lab(pixels: np.ndarray, linear: np.ndarray, lab: np.ndarray) -> None:
    width, m = pixels.shape[1], _WHITE_FROM_RGB
    xyz, roots = np.empty((3, width), _F), np.empty((3, width), _F)
    for y in range(len(pixels)):
        row = pixels[y]
        for x in range(width):
            r, g, b = linear[row[x, 0]], linear[row[x, 1]], linear[row[x, 2]]
            xyz[0, x] = m[0, 0] * r + m[0, 1] * g + m[0, 2] * b
            xyz[1, x] = m[1, 0] * r + m[1, 1] * g + m[1, 2] * b
            xyz[2, x] = m[2, 0] * r + m[2, 1] * g + m[2, 2] * b
        for axis in range(3):
            _forward(xyz[axis], roots[axis])
        fx, fy, fz, L, a, blue = roots[0], roots[1], roots[2], lab[0, y], lab[1, y], lab[2, y]
        for x in range(width):
            L[x] = _F(116) * fy[x] - _F(16)
            a[x] = _F(500) * (fx[x] - fy[x])
            blue[x] = _F(200) * (fy[x] - fz[x])


@compile_loop
def _forward(values: np.ndarray, roots: np.ndarray) -> None:
    """Apply CIELAB's f to linear light: cube root, linear near black."""
    # A third of the bits of a float is its cube root within 1/20; two steps of Halley's method make that 1e-6.
    bits, guess = values.view(np.int32), roots.view(np.int32)
    for x in range(len(values)):
        guess[x] = bits[x] // 3 + 709921077
    for x in range(len(values)):
        v, root = max(values[x], _F(0.008856)), roots[x]
        for _ in range(2):
            cube = root * root * root
            root *= (cube + v + v) / (cube + cube + v)
        roots[x] = root if values[x] > _F(0.008856) else _F(7.787) * values[x] + _F(16 / 116)


@compile_loop
def _inverse(f: _Real) -> _Real:
    return f * f * f if f > _F(0.2068966) else (f - _F(16 / 116)) * _F(1 / 7.787)


@compile_loop
def _rgb(fy: _Real, a: _Real, b: _Real) -> tuple[_Real, _Real, _Real]:
    """Convert a color of lightness 116 fy - 16 to linear sRGB."""
    m = _RGB_FROM_XYZ
    X, Y, Z = _inverse(fy + a * _F(1 / 500)), _inverse(fy), _inverse(max(fy - b * _F(1 / 200), _F(0)))
    return (
        m[0, 0] * X + m[0, 1] * Y + m[0, 2] * Z,
        m[1, 0] * X + m[1, 1] * Y + m[1, 2] * Z,
        m[2, 0] * X + m[2, 1] * Y + m[2, 2] * Z,
    )


@compile_loop
def _is_outside(r: _Real, g: _Real, b: _Real, limits: tuple[_Real, _Real]) -> bool:
    """Return True if linear light is outside the limits; without branches, so that callers vectorize."""
    low, high = limits
    return (r < low) | (g < low) | (b < low) | (r > high) | (g > high) | (b > high)


@compile_loop
def _linear_row(
    L: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    red: np.ndarray,
    green: np.ndarray,
    blue: np.ndarray,
    limits: tuple[_Real, _Real],
) -> int:
    """Write linear sRGB; return the number of pixels outside the limits."""
    outside = 0
    for x in range(len(L)):
        red[x], green[x], blue[x] = _rgb((L[x] + _F(16)) * _F(1 / 116), a[x], b[x])
        outside += _is_outside(red[x], green[x], blue[x], limits)
    return outside


@compile_loop
def _fit_row(
    L: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    red: np.ndarray,
    green: np.ndarray,
    blue: np.ndarray,
    limits: tuple[_Real, _Real],
    bisections: int,
) -> int:
    """Reduce the chroma of pixels outside the gamut in place, by bisection; return their number."""
    where, changed = np.empty(len(L), np.int32), 0
    for x in range(len(L)):
        where[changed] = x
        changed += _is_outside(red[x], green[x], blue[x], limits)
    # Gathered into contiguous arrays, so that each bisection step vectorizes.
    fy, own_a, own_b, share = np.empty(changed, _F), np.empty(changed, _F), np.empty(changed, _F), np.empty(changed, _F)
    for i in range(changed):
        x = where[i]
        fy[i], own_a[i], own_b[i], share[i] = (L[x] + _F(16)) * _F(1 / 116), a[x], b[x], _F(0)
    step = _F(0.5)
    for _ in range(bisections):
        for i in range(changed):
            more = share[i] + step
            r, g, blues = _rgb(fy[i], more * own_a[i], more * own_b[i])
            share[i] = share[i] if _is_outside(r, g, blues, limits) else more
        step *= _F(0.5)
    for i in range(changed):
        x = where[i]
        a[x], b[x] = share[i] * own_a[i], share[i] * own_b[i]
        red[x], green[x], blue[x] = _rgb(fy[i], a[x], b[x])
    return changed


@compile_loop
def _chroma_sum(a: np.ndarray, b: np.ndarray) -> _Real:
    total = _F(0)
    for x in range(len(a)):
        total += np.sqrt(a[x] * a[x] + b[x] * b[x])
    return total


@compile_loop
def _encode_8(linear: np.ndarray, pixels: np.ndarray) -> None:
    for x in range(len(linear)):
        light = min(max(linear[x], _F(0)), _F(1))
        value = _FIRST_VALUE[np.int32(light * _F(_STEPS))]
        pixels[x] = value + (light >= _NEXT_START[value])


@compile_loop
def _encode_16(linear: np.ndarray, pixels: np.ndarray) -> None:
    for x in range(len(linear)):
        light = min(max(linear[x], _F(0)), _F(1))
        encoded = _F(1.055) * light ** _F(1 / 2.4) - _F(0.055) if light > _F(0.0031308) else _F(12.92) * light
        pixels[x] = np.int32(encoded * _F(65535) + _F(0.5))


@compile_loop
def _larger_error(L: np.ndarray, luminance: np.ndarray, largest: _Real) -> _Real:
    """Return the maximum of `largest` and the row's differences of L; roots are computed only if one exceeds it."""
    step, exceeding = largest * _F(1 / 116), 0
    for x in range(len(L)):
        fy = (L[x] + _F(16)) * _F(1 / 116)
        exceeding += (luminance[x] > _inverse(fy + step)) | (luminance[x] < _inverse(fy - step))
    if exceeding:
        for x in range(len(L)):
            Y = luminance[x]
            f = Y ** _F(1 / 3) if _F(0.008856) < Y else _F(7.787) * Y + _F(16 / 116)
            largest = max(largest, abs(_F(116) * f - _F(16) - L[x]))
    return largest


@compile_loop
def _compose(
    L: np.ndarray,
    ab: np.ndarray,
    pixels: np.ndarray,
    linear: np.ndarray,
    limits: tuple[_Real, _Real],
    bisections: int,
) -> tuple[int, _Real, _Real]:
    rows, width = L.shape
    red, green, blue, luminance = np.empty(width, _F), np.empty(width, _F), np.empty(width, _F), np.empty(width, _F)
    r, g, b = np.empty(width, pixels.dtype), np.empty(width, pixels.dtype), np.empty(width, pixels.dtype)
    clipped, chroma, error = 0, 0.0, _F(0)
    for y in range(rows):
        if _linear_row(L[y], ab[0, y], ab[1, y], red, green, blue, limits):
            clipped += _fit_row(L[y], ab[0, y], ab[1, y], red, green, blue, limits, bisections)
        chroma += _chroma_sum(ab[0, y], ab[1, y])
        # A branch rather than a function argument, for which numba's cache would miss in the next process.
        if len(linear) == 256:
            _encode_8(red, r)
            _encode_8(green, g)
            _encode_8(blue, b)
        else:
            _encode_16(red, r)
            _encode_16(green, g)
            _encode_16(blue, b)
        out = pixels[y]
        for x in range(width):
            out[x, 0], out[x, 1], out[x, 2] = r[x], g[x], b[x]
            luminance[x] = _LUMINANCE[0] * linear[r[x]] + _LUMINANCE[1] * linear[g[x]] + _LUMINANCE[2] * linear[b[x]]
        error = _larger_error(L[y], luminance, error)
    return clipped, chroma, error


@compile_loop
def _clip(L: np.ndarray, ab: np.ndarray, pixels: np.ndarray, limits: tuple[_Real, _Real]) -> None:
    width = L.shape[1]
    red, green, blue = np.empty(width, _F), np.empty(width, _F), np.empty(width, _F)
    r, g, b = np.empty(width, np.uint8), np.empty(width, np.uint8), np.empty(width, np.uint8)
    for y in range(len(L)):
        _linear_row(L[y], ab[0, y], ab[1, y], red, green, blue, limits)
        _encode_8(red, r)
        _encode_8(green, g)
        _encode_8(blue, b)
        out = pixels[y]
        for x in range(width):
            out[x, 0], out[x, 1], out[x, 2] = r[x], g[x], b[x]
