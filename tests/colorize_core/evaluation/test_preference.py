import numpy as np
import pytest
from scipy.optimize import minimize

from colorize_core.evaluation.preference import bradley_terry, preference_rates, rank_by_votes, wilson_interval


@pytest.mark.parametrize(
    ("wins", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_equal_the_table_of_newcombe(wins: int, count: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    assert wilson_interval(wins, count) == pytest.approx((low, high), abs=6e-5)


def test_without_votes_the_interval_is_everything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_rates_leave_ties_out_and_count_them() -> None:
    votes = [("a", "b", False)] * 3 + [("b", "a", False)] + [("b", "a", True), ("a", "b", True)] + [("c", "a", False)]
    first, second = preference_rates(votes, ["a", "b", "c"])
    assert (first.one, first.other, first.wins, first.losses, first.ties, first.value) == ("a", "b", 3, 1, 2, 0.75)
    assert (first.low, first.high) == wilson_interval(3, 4)
    assert (second.one, second.other, second.value) == ("a", "c", 0.0)


def test_strengths_of_two_are_their_odds_with_half_a_win_added() -> None:
    strength = bradley_terry(np.array([[0, 30], [10, 0]]))
    assert strength[0] / strength[1] == pytest.approx(30.5 / 10.5)


def test_strengths_maximize_the_likelihood() -> None:
    wins = np.array([[0, 12, 30], [8, 0, 21], [3, 9, 0]])
    smoothed = wins + 0.5 * (1 - np.eye(3))

    def loss(log_strength: np.ndarray) -> float:
        strength = np.exp(log_strength)
        return -(smoothed * np.log(strength[:, None] / (strength[:, None] + strength[None, :]))).sum()

    best = np.exp(minimize(loss, np.zeros(3), tol=1e-12).x)
    assert bradley_terry(wins) == pytest.approx(best / np.exp(np.log(best).mean()), rel=1e-4)


def test_a_contestant_that_never_loses_has_a_finite_strength() -> None:
    ranked = rank_by_votes([("a", "b", False)] * 10 + [("b", "c", False)] * 10 + [("c", "a", True)], ["c", "b", "a"])
    assert list(ranked) == ["a", "b", "c"]
    value, low, high = ranked["a"]
    assert 0.5 < low <= value <= high < 1
    assert ranked["b"][0] == pytest.approx(0.5, abs=1e-6)


def test_ties_alone_give_no_ranking() -> None:
    assert rank_by_votes([("a", "b", True)], ["a", "b"]) == {}
