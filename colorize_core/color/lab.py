"""Conversion of tensors between sRGB, CIELAB and the scale of networks; the sRGB gamut.

CIELAB is defined as in scikit-image: illuminant D65, 2 degree observer, sRGB primaries. Every function takes
channels-first tensors on any device, computes in float32 and keeps the batch dimension. Gradients are finite for every
color: arguments of roots are clamped away from 0, where the slope is infinite.
"""

import torch
from torch import Tensor

from colorize_core.normalization import AB_SCALE, L_CENTER

# IEC 61966-2-1, with the digits scikit-image uses (skimage.color.colorconv.xyz_from_rgb).
XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE_D65 = (0.95047, 1.0, 1.08883)

# Tolerance of linear light outside [0, 1]. Below 0 it is 1/15 of an 8-bit step, since the curve is steep there; above
# 1 it is 1/100, which neutral white needs: the rows of the matrix do not add up exactly to the white point.
GAMUT_BELOW, GAMUT_ABOVE = 2e-5, 1e-4
GAMUT_BISECTIONS = 10  # resolve chroma to 1/1024


def _matmul(matrix: Tensor, pixels: Tensor) -> Tensor:
    """Multiply the channels (B, 3, H, W) by a matrix (3, 3).

    This takes the time of a matrix product, which autocast would compute in bfloat16.
    """
    first, second, third = matrix[:, :, None, None].unbind(1)
    x, y, z = pixels.split(1, dim=1)
    return torch.addcmul(first * x, second, y).addcmul_(third, z)


def _column(values: tuple[float, float, float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device).view(1, 3, 1, 1)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIELAB.

    Args:
        rgb: (B, 3, H, W) float, gamma-encoded sRGB in [0, 1].

    Returns:
        (B, 3, H, W) float32: L in [0, 100], a and b in CIELAB units.
    """
    rgb = rgb.float()
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp_min(0).pow(2.4), rgb / 12.92)
    matrix = torch.tensor(XYZ_FROM_RGB, dtype=torch.float32, device=rgb.device)
    xyz = _matmul(matrix, linear) / _column(WHITE_D65, rgb)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(0.008856).pow(1 / 3), 7.787 * xyz + 16 / 116)
    fx, fy, fz = f.unbind(1)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=1)


def lab_to_linear(lab: Tensor) -> Tensor:
    """Convert CIELAB (B, 3, H, W) to linear sRGB, which is outside [0, 1] where the color is out of gamut."""
    L, a, b = lab.float().unbind(1)
    fy = (L + 16) / 116
    f = torch.stack((fy + a / 500, fy, (fy - b / 200).clamp_min(0)), dim=1)
    xyz = torch.where(f > 0.2068966, f.pow(3), (f - 16 / 116) / 7.787) * _column(WHITE_D65, lab)
    inverse = torch.linalg.inv(torch.tensor(XYZ_FROM_RGB, dtype=torch.float64)).float()
    return _matmul(inverse.to(lab.device), xyz)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert CIELAB to sRGB, clipping each channel to [0, 1] as scikit-image does.

    Args:
        lab: (B, 3, H, W) float, CIELAB units.

    Returns:
        (B, 3, H, W) float32 sRGB in [0, 1].
    """
    linear = lab_to_linear(lab)
    encoded = torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(0.0031308).pow(1 / 2.4) - 0.055, 12.92 * linear)
    return encoded.clamp_(0, 1)


def network_rgb(L: Tensor, ab: Tensor) -> Tensor:
    """Convert L (B, 1, H, W) and ab (B, 2, H, W) on the scale of networks to sRGB (B, 3, H, W) in [0, 1], float32.

    Autocast is off in it: bfloat16 has no more than 8 bits, and the conversion takes differences.
    """
    with torch.autocast(L.device.type, enabled=False):
        return lab_to_rgb(torch.cat((denormalize_L(L.float()), denormalize_ab(ab.float())), dim=1))


def lightness_to_gray(L: Tensor) -> Tensor:
    """Convert lightness (B, 1, H, W) in [0, 100] to the sRGB value in [0, 1] of the gray of that lightness.

    R, G and B of this gray are equal; `lab_to_rgb` would make them differ by up to 1e-4, because the rows of its matrix
    do not add up exactly to the white point. The result has the dtype of L.
    """
    f = (L + 16) / 116
    linear = torch.where(f > 0.2068966, f.pow(3), (f - 16 / 116) / 7.787)
    encoded = torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(0.0031308).pow(1 / 2.4) - 0.055, 12.92 * linear)
    return encoded.clamp(0, 1)


def to_uint8(rgb: Tensor) -> Tensor:
    """Convert sRGB in [0, 1] to uint8 in [0, 255] by rounding and clipping, same shape."""
    return (rgb * 255).round_().clamp_(0, 255).to(torch.uint8)


def chroma(ab: Tensor) -> Tensor:
    """Return the chroma sqrt(a^2 + b^2), (B, H, W), of (B, 2, H, W) CIELAB a and b."""
    # On a CPU, torch's norm over a dimension of size 2 takes 30 times as long.
    return torch.hypot(*ab.float().unbind(1))


def fit_gamut(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Map colors into the sRGB gamut by reducing chroma at constant lightness and hue.

    Clipping the RGB channels instead would change the lightness of the photograph.

    Args:
        lab: (B, 3, H, W) float, CIELAB units, L in [0, 100].

    Returns:
        The mapped colors (B, 3, H, W) float32, and a bool (B, H, W) mask of the pixels that changed.
    """
    lab = lab.float()
    outside = _outside_gamut(lab)
    if not outside.any():
        return lab, outside
    pixels = lab.permute(0, 2, 3, 1)[outside]
    low = torch.zeros(len(pixels), device=lab.device)
    high = torch.ones_like(low)
    for _ in range(GAMUT_BISECTIONS):
        middle = (low + high) / 2
        too_much = _outside_gamut(_scale_chroma(pixels, middle).T[None, :, :, None])[0, :, 0]
        high = torch.where(too_much, middle, high)
        low = torch.where(too_much, low, middle)
    fitted = lab.permute(0, 2, 3, 1).clone()
    fitted[outside] = _scale_chroma(pixels, low)
    return fitted.permute(0, 3, 1, 2).contiguous(), outside


def _outside_gamut(lab: Tensor) -> Tensor:
    linear = lab_to_linear(lab)
    return (linear.amin(1) < -GAMUT_BELOW) | (linear.amax(1) > 1 + GAMUT_ABOVE)


def _scale_chroma(pixels: Tensor, factor: Tensor) -> Tensor:
    return torch.cat((pixels[:, :1], pixels[:, 1:] * factor[:, None]), dim=1)


def normalize_L(L: Tensor) -> Tensor:
    """Scale lightness from [0, 100] to the network range [-1, 1]."""
    return L / L_CENTER - 1


def denormalize_L(L: Tensor) -> Tensor:
    """Scale network values back to lightness in [0, 100]."""
    return (L + 1) * L_CENTER


def normalize_ab(ab: Tensor) -> Tensor:
    """Scale CIELAB a and b to the network range, within [-1, 1] for every sRGB color."""
    return ab / AB_SCALE


def denormalize_ab(ab: Tensor) -> Tensor:
    """Scale network values back to CIELAB a and b."""
    return ab * AB_SCALE


def lab_to_uint8(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Convert CIELAB to the 8-bit convention of OpenCV: L * 255 / 100, a + 128, b + 128.

    Args:
        lab: (B, 3, H, W) float, CIELAB units.

    Returns:
        L (B, 1, H, W) and ab (B, 2, H, W), both uint8.
    """
    L = (lab[:, :1] * 2.55).round().clamp(0, 255).to(torch.uint8)
    ab = (lab[:, 1:] + 128).round().clamp(0, 255).to(torch.uint8)
    return L, ab


def network_scale(L: Tensor, ab: Tensor) -> tuple[Tensor, Tensor]:
    """Convert 8-bit L and ab (see `lab_to_uint8`) to the float32 network range, on their device."""
    return normalize_L(L.float() / 2.55), normalize_ab(ab.float() - 128)
