"""The compiled loops are compared with torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from colorize_core.inference.kernels import enlarge_columns, enlarge_rows, fit_lines
from colorize_core.inference.upsampling import linear_model_of_tensors


def noise(*shape: int) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * 100).astype(np.float32)


def neighbors(small: int, large: int) -> tuple[np.ndarray, np.ndarray]:
    """Source pixel before each target pixel, and the weight of the one after it; align_corners=False."""
    position = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    return position.astype(np.int64), (position % 1).astype(np.float32)


@pytest.mark.parametrize("shape", [(24, 40), (3, 1), (1, 3), (2, 2), (1, 1)])
def test_the_linear_model_equals_torch(shape: tuple[int, int]) -> None:
    ab, L, lines = noise(2, *shape) - 50, noise(*shape), np.empty((4, *shape), np.float32)
    fit_lines(ab, L, np.float32(100), lines)
    expected = linear_model_of_tensors(torch.from_numpy(ab)[None], torch.from_numpy(L)[None, None])
    np.testing.assert_allclose(lines, expected[0], rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("size", [(9, 200), (64, 33), (1, 1)])
def test_enlarged_columns_and_rows_equal_bilinear_interpolation(size: tuple[int, int]) -> None:
    small, columns, ab = noise(2, 16, 32), np.empty((2, 16, size[1]), np.float32), np.empty((2, *size), np.float32)
    enlarge_columns(small, *neighbors(32, size[1]), columns)
    enlarge_rows(columns, *neighbors(16, size[0]), np.zeros(size, np.float32), False, ab)
    expected = F.interpolate(torch.from_numpy(small)[None], size, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(ab, expected[0], atol=1e-3)


def test_guided_rows_are_slope_times_lightness_plus_offset() -> None:
    columns, L, ab = noise(4, 16, 50), noise(16, 50), np.empty((2, 16, 50), np.float32)
    enlarge_rows(columns, *neighbors(16, 16), L, True, ab)
    np.testing.assert_allclose(ab, columns[:2] * L + columns[2:], rtol=1e-5)
