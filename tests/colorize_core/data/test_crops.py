"""Random windows and their resampling, against closed forms and Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from colorize_core.data.crops import random_crop, random_crop_boxes, resized_crop


def noise(count: int, size: int) -> Tensor:
    random = torch.Generator().manual_seed(size)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=random)


def whole(count: int, size: int) -> Tensor:
    return torch.tensor([[0, 0, size, size]] * count, dtype=torch.float64)


def test_the_full_box_at_full_size_is_the_photograph() -> None:
    pixels = noise(3, 40)
    assert torch.equal(resized_crop(pixels, whole(3, 40), 40), pixels)


def test_a_box_on_pixel_edges_is_copied() -> None:
    pixels = noise(2, 48)
    windows = torch.tensor([[0, 16, 32, 32], [5, 3, 32, 32]], dtype=torch.float64)
    expected = torch.stack((pixels[0, :, :32, 16:], pixels[1, :, 5:37, 3:35]))
    assert torch.equal(resized_crop(pixels, windows, 32), expected)


@pytest.mark.parametrize("window", [(10, 20, 80, 80), (12.25, 7.5, 100, 90), (30, 40, 40, 36), (50.4, 20.3, 32, 32)])
def test_ramps_keep_their_position(window: tuple[float, float, float, float]) -> None:
    """A pixel's value is where its middle lies; away from the photograph's edges shrinking and enlarging keep that."""
    ramp = torch.arange(160, dtype=torch.uint8).expand(1, 1, 160, 160)
    pixels = torch.cat((ramp, ramp.mT), dim=1)
    found = resized_crop(pixels, torch.tensor([window], dtype=torch.float64), 64)[0].float()
    top, left, height, width = window
    middles = torch.arange(64) + 0.5
    columns = (left + middles * width / 64 - 0.5).expand(64, 64)
    rows = (top + middles * height / 64 - 0.5)[:, None].expand(64, 64)
    torch.testing.assert_close(found, torch.stack((columns, rows)), atol=0.501, rtol=0)


@pytest.mark.parametrize("side", [24, 64, 96])
def test_boxes_are_resampled_as_pillow_does(side: int) -> None:
    pixels = noise(4, 64)
    windows = random_crop_boxes(torch.rand((4, 4), generator=torch.Generator().manual_seed(1)), 64, 0.3)
    found = resized_crop(pixels, windows, side)
    for photo, (top, left, height, width), made in zip(pixels, windows.tolist(), found, strict=True):
        box = (left, top, min(left + width, 64), min(top + height, 64))
        for channel, result in zip(photo.numpy(), made.numpy(), strict=True):
            image = Image.fromarray(channel.astype(np.float32))
            expected = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box))
            assert np.abs(result - expected).max() < 0.51


def test_fine_patterns_are_antialiased() -> None:
    """Without antialiasing a chessboard would come out as some of its squares."""
    board = ((torch.arange(128)[:, None] + torch.arange(128)) % 2 * 200).to(torch.uint8).expand(1, 1, 128, 128)
    found = resized_crop(board, whole(1, 128), 32)
    assert found.min() >= 95
    assert found.max() <= 105


def test_boxes_cover_the_allowed_sizes_and_positions() -> None:
    numbers = torch.rand((4000, 4), generator=torch.Generator().manual_seed(0))
    top, left, height, width = random_crop_boxes(numbers, 160, 0.5).unbind(1)
    side = (height * width).sqrt()
    assert side.min() < 0.51 * 160
    assert side.max() > 0.99 * 160
    assert side[numbers[:, 0] < 0.8].numpy() == pytest.approx(80 + 80 * numbers[numbers[:, 0] < 0.8, 0].numpy())
    assert (height / width).min() >= 8 / 9 - 1e-9
    assert (height / width).max() <= 9 / 8 + 1e-9
    assert (height / width).std() > 0.03
    for start, length in ((top, height), (left, width)):
        assert start.min() >= 0
        assert (start + length).max() <= 160 + 1e-9
        places = (start / (160 - length).clamp(min=1e-9))[length < 159]
        counts, _ = np.histogram(places.numpy(), bins=10, range=(0, 1))
        assert ((counts - len(places) / 10) ** 2 / (len(places) / 10)).sum() < 27.9  # chi-squared, p = 0.001


def test_the_largest_position_is_the_last_square() -> None:
    pixels = noise(2, 40)
    found = random_crop(pixels, torch.tensor([[0.0, 0.0], [0.999, 0.999]]), 32)
    assert torch.equal(found, torch.stack((pixels[0, :, :32, :32], pixels[1, :, 8:, 8:])))
