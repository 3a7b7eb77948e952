import hashlib

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from colorize_core.data.augment import draw_uniform
from colorize_core.data.hints import draw_hints, hint_boxes, hint_counts, mean_colors
from colorize_core.data.options import HintOptions

PUBLISHED = HintOptions()


def ids(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


@pytest.fixture
def ab() -> Tensor:
    return torch.rand(8, 2, 40, 56, generator=torch.Generator().manual_seed(0)) * 2 - 1


def painted(ab: Tensor, names: list[str], epoch: int, options: HintOptions, seed: int) -> Tensor:
    """The hints, point after point, from the same random numbers."""
    hints = torch.zeros(len(ab), 3, *ab.shape[2:])
    for photo, (name, color) in enumerate(zip(names, ab, strict=True)):
        u = draw_uniform([name], epoch, seed, "hint count", 1).item()
        count = int(np.floor(np.log1p(-u) / np.log1p(-options.stop_probability)))
        for u_side, *places in draw_uniform([name], epoch, seed, "hints", 3 * count).reshape(-1, 3).tolist():
            side = 1 + int(u_side * options.patch)
            top, left = (
                int(np.clip(stats.norm.ppf(u, (size - side + 1) / 2, (size - side + 1) / 4), 0, size - side))
                for u, size in zip(places, color.shape[1:], strict=True)
            )
            square = (slice(top, top + side), slice(left, left + side))
            hints[(photo, slice(2), *square)] = color[(slice(None), *square)].mean((1, 2))[:, None, None]
            hints[(photo, 2, *square)] = 1
    return hints


@pytest.mark.parametrize("options", [PUBLISHED, HintOptions(stop_probability=0.02, patch=20)])
def test_hints_are_the_mean_colors_of_squares_painted_in_order(ab: Tensor, options: HintOptions) -> None:
    found = draw_hints(ab, ids(8), 3, options, 7)
    torch.testing.assert_close(found, painted(ab, ids(8), 3, options, 7))
    assert found[:, 2].sum() > 0


def test_the_number_of_hints_is_geometric() -> None:
    counts = hint_counts(draw_uniform(ids(20_000), 1, 0, "hint count", 1)[:, 0], 0.125).numpy()
    assert counts.mean() == pytest.approx(7, abs=4 * np.sqrt(56 / 20_000))  # variance (1 - p) / p^2 = 56
    expected = 20_000 * stats.geom(0.125, loc=-1).pmf(np.arange(20))
    observed = np.bincount(counts, minlength=20)[:20]
    assert ((observed - expected) ** 2 / expected).sum() < 45  # chi-squared of 20 degrees of freedom, p = 0.001


def test_sides_are_uniform_and_places_normal_within_the_photograph() -> None:
    """As in the reference, top is int(clip(N(r / 2, r / 4), 0, r - 1)) with r possible tops."""
    side, top, left = hint_boxes(draw_uniform(ids(20_000), 1, 0, "hints", 3)[:, None], 9, (40, 64)).unbind(2)
    counts = torch.bincount(side[:, 0], minlength=10)[1:].double()
    assert ((counts - 20_000 / 9) ** 2 / (20_000 / 9)).sum() < 26.1  # 8 degrees of freedom, p = 0.001
    for place, size in ((top, 40), (left, 64)):
        assert place.min() == 0
        assert ((place + side) <= size).all()
        ones = place[side == 1].double()
        expected = stats.norm(size / 2, size / 4)
        edges = np.arange(1, size)
        observed = np.histogram(ones, [0, *edges, size])[0] / len(ones)
        limits = np.concatenate([[0], expected.cdf(edges), [1]])
        assert np.abs(np.cumsum(observed) - limits[1:]).max() < 1.95 / np.sqrt(len(ones))  # Kolmogorov, p = 0.001


def test_mean_colors_are_those_of_the_squares(ab: Tensor) -> None:
    boxes = torch.tensor([[[1, 0, 0], [9, 31, 47], [4, 3, 50]]]).expand(8, -1, -1)
    found = mean_colors(ab, boxes)
    torch.testing.assert_close(found[:, :, 0], ab[:, :, 0, 0])
    torch.testing.assert_close(found[:, :, 1], ab[:, :, 31:, 47:].mean((2, 3)))
    torch.testing.assert_close(found[:, :, 2], ab[:, :, 3:7, 50:54].mean((2, 3)))


def test_hints_depend_on_seed_epoch_and_photograph_only(ab: Tensor) -> None:
    options = HintOptions(stop_probability=0.05)
    names = ids(8)
    together = draw_hints(ab, names, 3, options, 7)
    torch.manual_seed(1)
    order = [4, 0, 5]
    assert torch.equal(draw_hints(ab[order], [names[i] for i in order], 3, options, 7), together[order])
    for epoch, seed in ((4, 7), (3, 8)):
        other = draw_hints(ab, names, epoch, options, seed)
        assert (other != together).flatten(1).any(1).all()


def test_the_mask_says_where_colors_are_known(ab: Tensor) -> None:
    hints = draw_hints(ab, ids(8), 1, HintOptions(stop_probability=0.03), 0)
    known = hints[:, 2:]
    assert set(known.unique().tolist()) == {0.0, 1.0}
    assert (hints[:, :2] * (1 - known) == 0).all()


def test_without_hints_all_is_zero(ab: Tensor) -> None:
    hints = draw_hints(ab, ids(8), 1, HintOptions(stop_probability=1), 0)
    assert torch.equal(hints, torch.zeros(8, 3, 40, 56))


def test_hints_keep_the_type_of_the_colors(ab: Tensor) -> None:
    assert draw_hints(ab.double(), ids(8), 1, PUBLISHED, 0).dtype == torch.float64
