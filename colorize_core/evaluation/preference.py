"""Preferences of raters from votes on pairs: rates with Wilson intervals, and Bradley-Terry strengths."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Vote = tuple[str, str, bool]
"""(one, other, tie): a vote for `one` over `other`, or for neither if `tie` is true."""

_HALF_A_WIN = 0.5
_STEPS, _TOLERANCE = 10_000, 1e-10


@dataclass(frozen=True)
class Rate:
    """Votes between two contestants."""

    one: str
    other: str
    wins: int
    losses: int
    ties: int
    """Number of ties, excluded from the rate."""
    low: float
    """Lower bound of the 95% Wilson interval of the rate."""
    high: float
    """Upper bound."""

    @property
    def value(self) -> float:
        """Share of wins among wins and losses; NaN without any."""
        decided = self.wins + self.losses
        return self.wins / decided if decided else float("nan")


def wilson_interval(wins: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Compute the Wilson score interval of a share (Wilson 1927), through SciPy; (0, 1) for a count of 0."""
    from scipy.stats import binomtest

    if not count:
        return 0.0, 1.0
    interval = binomtest(wins, count).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def preference_rates(votes: Sequence[Vote], contestants: Sequence[str]) -> list[Rate]:
    """Count the votes on each pair of contestants that has votes, in the order of the contestants."""
    counted = Counter(votes)
    rates = []
    for one, other in combinations(contestants, 2):
        wins, losses = counted[(one, other, False)], counted[(other, one, False)]
        ties = counted[(one, other, True)] + counted[(other, one, True)]
        if wins + losses + ties:
            rates.append(Rate(one, other, wins, losses, ties, *wilson_interval(wins, wins + losses)))
    return rates


def bradley_terry(wins: np.ndarray) -> np.ndarray:
    """Fit strengths s such that i is preferred to j with probability s_i / (s_i + s_j) (Bradley and Terry 1952).

    The fit is the MM iteration of Hunter (2004, Annals of Statistics 32). Half a win is added in each direction to
    every pair that was compared: without it, a contestant that never lost would be infinitely strong. Contestants that
    are not connected by comparisons, as in bootstrap resamples, are fitted separately.

    Args:
        wins: (..., N, N), number of votes for i over j.

    Returns:
        (..., N) strengths with a geometric mean of 1.
    """
    compared = (wins + wins.swapaxes(-1, -2)) > 0
    wins = wins + _HALF_A_WIN * compared
    games = wins + wins.swapaxes(-1, -2)
    total = wins.sum(-1)
    strength = np.ones(wins.shape[:-1])
    for _ in range(_STEPS):
        before = strength
        shared = games / (strength[..., :, None] + strength[..., None, :])
        strength = np.where(total > 0, total / np.maximum(shared.sum(-1), 1e-300), strength)
        strength = strength / np.exp(np.log(strength).mean(-1, keepdims=True))
        if np.abs(np.log(strength / before)).max() < _TOLERANCE:
            break
    return strength


def rank_by_votes(
    votes: Sequence[Vote], contestants: Sequence[str], resamples: int = 500
) -> dict[str, tuple[float, float, float]]:
    """Rank contestants by the probability of being preferred to one of average strength (Bradley-Terry).

    Returns:
        (value, low, high) by contestant, strongest first, with 95% percentile bootstrap intervals over the votes
        without ties; empty without such votes.
    """
    place = {name: number for number, name in enumerate(contestants)}
    decided = np.array([(place[one], place[other]) for one, other, tie in votes if not tie], int).reshape(-1, 2)
    if not len(decided):
        return {}

    def probabilities(votes: np.ndarray) -> np.ndarray:
        """Return (R, N) for the indices (R, V) of votes of R samples."""
        wins = np.zeros((len(votes), len(contestants), len(contestants)))
        np.add.at(wins, (np.arange(len(votes))[:, None], decided[votes, 0], decided[votes, 1]), 1)
        strength = bradley_terry(wins)
        return strength / (1 + strength)

    values = probabilities(np.arange(len(decided))[None])[0]
    drawn = np.random.default_rng(0).integers(0, len(decided), (resamples, len(decided)))
    low, high = np.quantile(probabilities(drawn), [0.025, 0.975], axis=0)
    ranked = np.argsort(-values, kind="stable")
    return {contestants[i]: (float(values[i]), float(low[i]), float(high[i])) for i in ranked}
