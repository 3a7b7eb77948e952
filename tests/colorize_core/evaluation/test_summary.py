"""Values over a set, and paired differences between models."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import bootstrap

from colorize_core.evaluation.summary import summarize_scores

COUNT = 300


def scores_of(models: dict[str, np.ndarray], metric: str = "mae_ab", checkpoints: list[str] | None = None) -> Any:
    """Summary of one metric by model, all but gray being checkpoints."""
    keys = [f"{number:04d}" for number in range(COUNT)]
    rows = [pa.table({"key": keys, "model": [name] * COUNT, metric: values}) for name, values in models.items()]
    own = checkpoints or [name for name in models if name != "gray"]
    found = summarize_scores(pa.concat_tables(rows), list(models), own, [], resamples=2000)
    return {name: scores[metric] for name, scores in found.items()}


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """Error of a first model: most of its variance is that of the photographs."""
    return np.random.default_rng(3).gamma(2.0, 0.05, COUNT)


def test_a_difference_is_that_of_the_values_with_the_interval_of_the_paired_bootstrap(photographs: np.ndarray) -> None:
    other = photographs + np.random.default_rng(4).normal(0.002, 0.01, COUNT)
    found = scores_of({"gray": photographs * 2, "a": photographs, "b": other})["b"]["difference"]
    expected = bootstrap((other - photographs,), np.mean, n_resamples=2000, method="percentile", rng=5)
    assert found["from"] == "a"
    assert found["value"] == pytest.approx((other - photographs).mean())
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert found["low"] == pytest.approx(expected.confidence_interval.low, abs=0.1 * width)
    assert found["high"] == pytest.approx(expected.confidence_interval.high, abs=0.1 * width)


def test_pairing_distinguishes_models_whose_own_intervals_overlap(photographs: np.ndarray) -> None:
    found = scores_of({"gray": photographs * 2, "a": photographs, "b": photographs + 0.001})
    assert found["b"]["low"] < found["a"]["high"]
    assert found["b"]["difference"]["low"] > 0


def test_the_best_checkpoint_of_a_metric_is_the_reference_also_where_a_baseline_is_better(
    photographs: np.ndarray,
) -> None:
    found = scores_of({"gray": photographs, "a": photographs + 0.2, "b": photographs + 0.1})
    assert "difference" not in found["b"]
    assert found["gray"]["difference"]["from"] == "b"
    assert found["gray"]["difference"]["high"] < 0


def test_the_best_is_the_highest_of_metrics_that_should_be_high(photographs: np.ndarray) -> None:
    found = scores_of({"gray": photographs, "a": 20 + photographs, "b": 21 + photographs}, "psnr")
    assert "difference" not in found["b"]
    assert found["a"]["difference"]["value"] == pytest.approx(-1)
