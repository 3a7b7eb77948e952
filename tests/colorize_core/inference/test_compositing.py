"""The compiled loops against torch, whose own reference is scikit-image (test_color)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.color import lab2rgb

from colorize_core.color import lab as color
from colorize_core.inference.compositing import compose_rgb_on_device, paint


def lab_noise(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Lightness of every kind, and smooth chroma of about `scale`."""
    generator = torch.Generator().manual_seed(0)
    L = torch.rand(1, 1, 61, 83, generator=generator) * 100
    L[..., :8, :], L[..., 8:16, :] = 0, 100
    L[..., 16:24, :] *= 0.05  # the straight part of the curves
    coarse = torch.randn(1, 2, 6, 8, generator=generator) * scale
    return L, F.interpolate(coarse, (61, 83), mode="bilinear")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("scale", [0, 5, 30, 150])
def test_compiled_painting_is_that_of_torch(depth: int, scale: float) -> None:
    L, ab = lab_noise(scale)
    expected, found = compose_rgb_on_device(L, ab, depth), paint(L, ab.clone(), depth)
    assert found.levels.dtype == expected.levels.dtype
    difference = np.abs(found.levels.astype(int) - expected.levels.astype(int))
    assert difference.max() <= (1 if depth == 8 else 257)  # a step of the bisection is less than a level of 255
    assert (difference > 0).mean() < (1e-3 if depth == 8 else 0.05)
    assert found.clipped == pytest.approx(expected.clipped, abs=2)
    assert found.chroma == pytest.approx(expected.chroma, rel=1e-4)
    assert found.lightness_error == pytest.approx(expected.lightness_error, abs=1e-4)
    torch.testing.assert_close(found.ab, expected.ab, atol=scale / 500 + 1e-4, rtol=0)


@pytest.mark.parametrize("depth", [8, 16])
def test_levels_are_those_of_scikit_image_where_the_gamut_has_room(depth: int) -> None:
    L, ab = lab_noise(3)
    L = 20 + 0.6 * L
    white = 2**depth - 1
    expected = lab2rgb(torch.cat((L, ab), dim=1)[0].permute(1, 2, 0).numpy()) * white
    assert np.abs(paint(L, ab, depth).levels - expected).max() <= (0.51 if depth == 8 else 2)


def test_every_gray_level_comes_back() -> None:
    for depth, levels in ((8, np.arange(256)), (16, np.arange(0, 65536, 7))):
        gray = torch.from_numpy(levels / (2**depth - 1)).float().expand(1, 3, 1, -1)
        L = color.rgb_to_lab(gray)[:, :1]
        painted = paint(L, torch.zeros(1, 2, 1, len(levels)), depth)
        assert np.abs(painted.levels[0].astype(int) - levels[:, None]).max() <= (0 if depth == 8 else 2)
        assert painted.clipped == 0


def test_the_lightness_error_is_that_of_the_levels() -> None:
    L, ab = lab_noise(60)
    painted = paint(L, ab, 8)
    back = color.rgb_to_lab(torch.from_numpy(painted.levels).permute(2, 0, 1)[None] / 255)
    assert painted.lightness_error == pytest.approx(float((back[:, :1] - L).abs().max()), abs=1e-4)


def test_black_and_white_have_no_color() -> None:
    L = torch.tensor([0.0, 100.0]).view(1, 1, 1, 2)
    painted = paint(L, torch.full((1, 2, 1, 2), 40.0), 8)
    assert painted.levels[0].tolist() == [[0, 0, 0], [255, 255, 255]]
    assert painted.clipped == 2
