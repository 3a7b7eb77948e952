import numpy as np
import pytest

from colorize_core.color.prior import ColorCounter


def random_ab(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.clip(generator.normal(135, 20, (count, 2, 9, 9)), 0, 255).astype(np.uint8)


def counted(*batches: np.ndarray) -> ColorCounter:
    counter = ColorCounter()
    for batch in batches:
        counter.add(batch)
    return counter


def test_every_pixel_is_counted_once() -> None:
    ab = random_ab(5)
    counts = counted(ab).counts
    assert counts.sum() == 5 * 81
    for a, b in ((130, 140), (135, 135), (0, 0)):
        assert counts[a, b] == ((ab[:, 0] == a) & (ab[:, 1] == b)).sum()


def test_the_median_equals_numpy() -> None:
    """The number of pixels is odd: for an even one numpy may return a value between two integers."""
    ab = random_ab(5)
    expected = [float(np.median(ab[:, channel])) - 128 for channel in (0, 1)]
    assert counted(ab).median() == pytest.approx(expected)


def test_the_median_without_pixels_is_zero() -> None:
    assert ColorCounter().median() == (0.0, 0.0)


def test_counts_of_batches_add_up() -> None:
    apart = counted(random_ab(3, 1), random_ab(2, 2))
    together = counted(np.concatenate((random_ab(3, 1), random_ab(2, 2))))
    np.testing.assert_array_equal(apart.counts, together.counts)


def test_counts_of_shards_add_up() -> None:
    one, other = counted(random_ab(3, 1)), counted(random_ab(2, 2))
    assert ColorCounter(one.counts + other.counts).prior() == counted(random_ab(3, 1), random_ab(2, 2)).prior()


def test_shares_sum_to_one() -> None:
    assert sum(share for _, _, share in counted(random_ab(5)).prior()) == pytest.approx(1)


def test_the_largest_share_comes_first() -> None:
    shares = [share for _, _, share in counted(random_ab(5)).prior()]
    assert shares == sorted(shares, reverse=True)


def test_the_prior_is_the_share_of_pixels_within_5_units_of_a_grid_point() -> None:
    ab = random_ab(5)
    near = np.abs(ab.astype(int) - 128 - np.array([10, 0])[:, None, None]).max(axis=1) < 5  # no ties
    prior = {(a, b): share for a, b, share in counted(np.where(near[:, None], ab, 255).astype(np.uint8)).prior()}
    assert prior[10.0, 0.0] == pytest.approx(near.mean())


def test_grid_points_are_multiples_of_ten() -> None:
    assert all(a % 10 == 0 and b % 10 == 0 for a, b, _ in counted(random_ab(5)).prior())


def test_the_prior_without_pixels_is_empty() -> None:
    assert ColorCounter().prior() == []
