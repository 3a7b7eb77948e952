"""Shares of right and false colors, against a loop over pixels."""

import math

import numpy as np
import pytest
import torch

from colorize_core.metrics import colored, false_color, right_hue
from colorize_core.metrics.registry import METRICS


def ab(chroma: float, degrees: float) -> torch.Tensor:
    """One pixel."""
    angle = math.radians(degrees)
    return torch.tensor([chroma * math.cos(angle), chroma * math.sin(angle)]).reshape(1, 2, 1, 1)


@pytest.mark.parametrize(
    ("predicted", "truth", "right", "false"),
    [
        ((30, 0), (30, 0), 1, 0),
        ((8.1, 34), (20.1, 0), 1, 0),
        ((7.9, 0), (40, 0), 0, 0),  # not visible
        ((40, 36), (40, 0), 0, 0),  # neither right nor false
        ((40, 359), (40, 1), 1, 0),  # the hue is an angle
        ((40, 0), (19.9, 0), 0, 0),  # right, but the truth is not colored
        ((16.1, 71), (30, 0), 0, 1),
        ((16.1, 71), (10, 0), 0, 1),
        ((15.9, 180), (30, 0), 0, 0),  # wrong, but weak
        ((16.1, 0), (5.9, 0), 0, 1),  # the truth is gray
        ((0, 0), (30, 0), 0, 0),
    ],
)
def test_one_pixel(predicted: tuple[float, float], truth: tuple[float, float], right: int, false: int) -> None:
    assert right_hue(ab(*predicted), ab(*truth)).item() == right
    assert false_color(ab(*predicted), ab(*truth)).item() == false


def test_shares_are_those_of_a_loop_over_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, truth = (torch.randn(3, 2, 16, 16, generator=generator) * 20 for _ in range(2))
    predicted[:, :, :8] = truth[:, :, :8] * 0.7 + predicted[:, :, :8] * 0.3
    for number in range(3):
        one, other = predicted[number].numpy().reshape(2, -1), truth[number].numpy().reshape(2, -1)
        hues = [np.degrees(np.arctan2(each[1], each[0])) for each in (one, other)]
        off = np.abs((hues[0] - hues[1] + 180) % 360 - 180)
        chroma, known = np.hypot(*one), np.hypot(*other)
        right = ((chroma >= 8) & (off <= 35))[known >= 20].mean()
        false = ((chroma >= 16) & ((off > 70) | (known < 6))).mean()
        assert 0.1 < right < 0.9
        assert 0.01 < false < 0.9
        assert right_hue(predicted, truth)[number].item() == pytest.approx(right, abs=1e-6)
        assert false_color(predicted, truth)[number].item() == pytest.approx(false, abs=1e-6)
        assert colored(truth)[number].item() == pytest.approx((known >= 20).mean(), abs=1e-6)


def test_a_set_counts_colored_pixels_and_not_images() -> None:
    scores = {"right_hue": np.array([1.0, 0.0, 0.0]), "colored": np.array([0.3, 0.1, 0.0])}
    assert METRICS["right_hue"].value(scores) == pytest.approx(0.75)
    assert METRICS["right_hue"].value({name: np.zeros(2) for name in scores}) == 0  # no colored pixel in the set
