import itertools

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from colorize_core.color.kernels import clip_rows, pixels_to_lab_rows
from colorize_core.color.lab import lab_to_rgb, to_uint8


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_conversion_to_lab_equals_scikit_image(kind: type[np.unsignedinteger]) -> None:
    white = np.iinfo(kind).max
    random = np.random.default_rng(0).integers(0, white, (40, 37, 3), kind, endpoint=True)
    corners = np.array(list(itertools.product((0, 1, white // 30, white), repeat=3)), kind)[:, None]
    for pixels in (random, corners, random[:1, :1]):
        expected = np.moveaxis(rgb2lab(pixels / white), 2, 0)
        np.testing.assert_allclose(pixels_to_lab_rows(pixels), expected, atol=3e-4)


def test_clipped_pixels_equal_the_conversion_of_tensors() -> None:
    random = np.random.default_rng(0)
    L = random.uniform(0, 100, (31, 45)).astype(np.float32)
    ab = random.uniform(-90, 90, (2, 31, 45)).astype(np.float32)
    expected = to_uint8(lab_to_rgb(torch.from_numpy(np.concatenate((L[None], ab)))[None]))[0].permute(1, 2, 0).numpy()
    difference = np.abs(clip_rows(L, ab).astype(int) - expected)
    assert difference.max() <= 1  # ties between two pixel values
    assert (difference > 0).mean() < 1e-3
