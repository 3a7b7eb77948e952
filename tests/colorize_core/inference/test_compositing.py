"""The compiled loops are compared with torch, which is compared with scikit-image in color/test_lab.py."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.color import lab2rgb

from colorize_core.color import lab as color
from colorize_core.inference.compositing import compose_rgb, compose_rgb_on_device


def lab_noise(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Random lightness, with black, white and dark rows, and smooth chroma of about `scale`."""
    generator = torch.Generator().manual_seed(0)
    L = torch.rand(1, 1, 61, 83, generator=generator) * 100
    L[..., :8, :], L[..., 8:16, :] = 0, 100
    L[..., 16:24, :] *= 0.05  # the linear part of the curves
    coarse = torch.randn(1, 2, 6, 8, generator=generator) * scale
    return L, F.interpolate(coarse, (61, 83), mode="bilinear")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("scale", [0, 5, 30, 150])
def test_compiled_composition_equals_torch(depth: int, scale: float) -> None:
    L, ab = lab_noise(scale)
    expected, found = compose_rgb_on_device(L, ab, depth), compose_rgb(L, ab.clone(), depth)
    assert found.pixels.dtype == expected.pixels.dtype
    difference = np.abs(found.pixels.astype(int) - expected.pixels.astype(int))
    assert difference.max() <= (1 if depth == 8 else 257)  # a step of the bisection is less than an 8-bit step
    assert (difference > 0).mean() < (1e-3 if depth == 8 else 0.05)
    assert found.clipped == pytest.approx(expected.clipped, abs=2)
    assert found.chroma == pytest.approx(expected.chroma, rel=1e-4)
    assert found.lightness_error == pytest.approx(expected.lightness_error, abs=1e-4)
    torch.testing.assert_close(found.ab, expected.ab, atol=scale / 500 + 1e-4, rtol=0)


@pytest.mark.parametrize("depth", [8, 16])
def test_pixels_equal_scikit_image_inside_the_gamut(depth: int) -> None:
    L, ab = lab_noise(3)
    L = 20 + 0.6 * L
    white = 2**depth - 1
    expected = lab2rgb(torch.cat((L, ab), dim=1)[0].permute(1, 2, 0).numpy()) * white
    assert np.abs(compose_rgb(L, ab, depth).pixels - expected).max() <= (0.51 if depth == 8 else 2)


def test_gray_pixels_are_reproduced() -> None:
    for depth, values in ((8, np.arange(256)), (16, np.arange(0, 65536, 7))):
        gray = torch.from_numpy(values / (2**depth - 1)).float().expand(1, 3, 1, -1)
        L = color.rgb_to_lab(gray)[:, :1]
        composed = compose_rgb(L, torch.zeros(1, 2, 1, len(values)), depth)
        assert np.abs(composed.pixels[0].astype(int) - values[:, None]).max() <= (0 if depth == 8 else 2)
        assert composed.clipped == 0


def test_the_lightness_error_is_that_of_the_rounded_pixels() -> None:
    L, ab = lab_noise(60)
    composed = compose_rgb(L, ab, 8)
    back = color.rgb_to_lab(torch.from_numpy(composed.pixels).permute(2, 0, 1)[None] / 255)
    assert composed.lightness_error == pytest.approx(float((back[:, :1] - L).abs().max()), abs=1e-4)


def test_black_and_white_have_no_color() -> None:
    L = torch.tensor([0.0, 100.0]).view(1, 1, 1, 2)
    composed = compose_rgb(L, torch.full((1, 2, 1, 2), 40.0), 8)
    assert composed.pixels[0].tolist() == [[0, 0, 0], [255, 255, 255]]
    assert composed.clipped == 2
