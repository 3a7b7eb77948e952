from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from colorize_core.color.lab import rgb_to_lab
from colorize_core.inference.prediction import shrink
from colorize_core.inference.upsampling import ChromaRows, Upsampling, linear_model
from colorize_core.runtime.strips import row_slices


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 100


def enlarged(ab: torch.Tensor, L: torch.Tensor, full: torch.Tensor, upsampling: Upsampling, step: int) -> torch.Tensor:
    height, width = full.shape[-2:]
    chroma = ChromaRows(ab, L, (height, width), upsampling)
    slices = [slice(top, min(top + step, height)) for top in range(0, height, step)]
    return torch.cat([chroma(rows, full[:, :, rows]) for rows in slices], dim=2)


@pytest.mark.parametrize("shape", [(1, 1), (9, 200), (100, 7), (64, 64), (333, 150)])
def test_bilinear_rows_equal_torch(shape: tuple[int, int]) -> None:
    ab, L, full = noise(1, 2, 32, 64), noise(1, 1, 32, 64), noise(1, 1, *shape)
    expected = F.interpolate(ab, shape, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarged(ab, L, full, "bilinear", 5), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("upsampling", ["guided", "bilinear"])
def test_strips_equal_the_rows_of_the_whole_image(upsampling: Upsampling) -> None:
    ab, L, full = noise(1, 2, 32, 32), noise(1, 1, 32, 32), noise(1, 1, 301, 203)
    whole = enlarged(ab, L, full, upsampling, 301)
    for step in (1, 7, 300):
        torch.testing.assert_close(enlarged(ab, L, full, upsampling, step), whole, atol=1e-4, rtol=0)


def test_slopes_are_regularized_least_squares() -> None:
    """At the center of a 5 x 5 image: mean of the slopes of nine windows of 3 x 3, by the normal equations."""
    ab, L = noise(1, 2, 5, 5), noise(1, 1, 5, 5)
    slopes = []
    for top in range(3):
        for left in range(3):
            window = (slice(top, top + 3), slice(left, left + 3))
            x, y = L[0, 0][window].flatten().numpy(), ab[0, 0][window].flatten().numpy()
            x, y = x - x.mean(), y - y.mean()
            slopes.append((x * y).mean() / ((x * x).mean() + 100))
    assert float(linear_model(ab, L)[0, 0, 2, 2]) == pytest.approx(np.mean(slopes), rel=1e-4)


def test_the_small_image_is_reproduced_exactly() -> None:
    ab, L = noise(1, 2, 16, 16), noise(1, 1, 16, 16)
    slope, offset = linear_model(ab, L).split(2, dim=1)
    torch.testing.assert_close(slope * L + offset, ab, atol=1e-3, rtol=0)


def test_guided_equals_bilinear_for_constant_lightness() -> None:
    ab, L, full = noise(1, 2, 32, 32), torch.full((1, 1, 32, 32), 40.0), torch.full((1, 1, 100, 100), 40.0)
    expected = F.interpolate(ab, (100, 100), mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarged(ab, L, full, "guided", 100), expected, atol=1e-3, rtol=0)


def test_guided_sharpens_color_edges_at_lightness_edges() -> None:
    """A step of 60 units of a at a step of 60 units of L: guided more than halves the error."""
    full = torch.full((1, 1, 128, 128), 20.0)
    full[..., 64:] = 80
    truth = (full - 50).expand(1, 2, 128, 128)
    L, ab = shrink(full, (16, 16)), shrink(truth, (16, 16))
    errors = [(enlarged(ab, L, full, way, 128) - truth).abs().mean() for way in ("bilinear", "guided")]
    assert errors[1] < errors[0] / 2


def test_guided_is_closer_to_the_true_chroma_of_photographs(photo_paths: list[Path]) -> None:
    """Shrunk 4x and enlarged again: on most photographs, on average, and near color edges most of all."""
    gains, edge_errors = [], np.zeros(2)
    for path in photo_paths:
        rgb = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy())
        lab = rgb_to_lab(rgb.permute(2, 0, 1)[None].float() / 255)
        full, truth = lab[:, :1], lab[:, 1:]
        small = (truth.shape[2] // 4, truth.shape[3] // 4)
        L, ab = shrink(full, small), shrink(truth, small)
        found = [enlarged(ab, L, full, way, 64) for way in ("bilinear", "guided")]
        mse = [float((one - truth).square().mean()) for one in found]
        gains.append(10 * np.log10(mse[0] / mse[1]))
        step = F.pad((truth[..., 1:] - truth[..., :-1]).abs().sum(1), (0, 1))
        edges = step > step.quantile(0.9)
        edge_errors += [float((one - truth).abs().mean(1)[edges].mean()) for one in found]
    assert np.mean(gains) > 0
    assert np.mean(np.array(gains) > 0) > 0.5
    assert edge_errors[1] < 0.97 * edge_errors[0]


def test_memory_does_not_depend_on_the_height() -> None:
    """A strip of an extremely high image needs no other rows."""
    ab, L = noise(1, 2, 32, 32), noise(1, 1, 32, 32)
    chroma = ChromaRows(ab, L, (1_000_000_000, 32), "guided")
    rows = next(iter(row_slices(1_000_000_000, 1 << 15)))
    assert chroma(rows, torch.full((1, 1, rows.stop, 32), 50.0)).shape == (1, 2, rows.stop, 32)
