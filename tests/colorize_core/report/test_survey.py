from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from colorize_core.report.archive.measures import Distribution, histogram
from colorize_core.report.archive.survey import Survey

STATUSES = ["ok"] * 90 + ["truncated"] * 9 + ["missing"]


@pytest.fixture
def table() -> pa.Table:
    """2,000 rows: most ok, some truncated, two of another status."""
    random = np.random.default_rng(1)
    statuses = random.permutation(STATUSES * 20).astype(object)
    statuses[[5, 1500]] = "model_error"
    ok = statuses == "ok"
    frame = pd.DataFrame({"key": [f"box/{number:05d}.jpg" for number in range(2000)], "status": statuses})
    frame["error"] = np.where(ok, "", "why")
    frame["output_key"] = frame.key.where(ok)
    frame["mean_chroma"] = np.where(ok, random.gamma(2, 10, 2000), np.nan)
    frame["gamut_clipped"] = np.where(ok, random.random(2000) * (random.random(2000) > 0.995), np.nan)
    frame["max_lightness_error"] = np.where(ok, random.random(2000), np.nan)
    frame["mae_ab"] = np.nan
    return pa.Table.from_pandas(frame, preserve_index=False)


def survey(table: pa.Table, size: int = 100, **options: int) -> Survey:
    """Fed in uneven portions."""
    made = Survey(size, **options)
    for start, stop in ((0, 700), (700, 701), (701, 2000)):
        made.add(table.slice(start, stop - start))
    return made


def keys(made: Survey, group: str) -> list[str]:
    return [row["key"] for _, row in made.picks()[group].rows]


def test_counts_are_exact(table: pa.Table) -> None:
    made = survey(table)
    assert made.counts == Counter(table.column("status").to_pylist())
    assert made.total == 2000
    assert made.failed == 2000 - made.counts["ok"]
    assert made.pictures == made.counts["ok"]


def test_extremes_are_those_of_all_rows(table: pa.Table) -> None:
    made, frame = survey(table), table.to_pandas().query("status == 'ok'")
    assert keys(made, "mean_chroma-high") == frame.nlargest(24, "mean_chroma").key.tolist()
    assert keys(made, "mean_chroma-low") == frame.nsmallest(24, "mean_chroma").key.tolist()
    assert keys(made, "max_lightness_error-high") == frame.nlargest(24, "max_lightness_error").key.tolist()


def test_the_fair_sample_does_not_depend_on_how_rows_arrive(table: pa.Table) -> None:
    whole = Survey(100)
    whole.add(table)
    assert keys(whole, "fair") == keys(survey(table), "fair")
    assert len(set(keys(whole, "fair"))) == 100


def test_every_picture_has_the_same_chance(table: pa.Table) -> None:
    drawn = Counter(key for seed in range(200) for key in keys(survey(table, 90, seed=seed), "fair"))
    pictures = table.to_pandas().query("status == 'ok'").key
    seen = np.array([drawn[key] for key in pictures])
    expected = 200 * 90 / len(pictures)
    assert seen.sum() == 200 * 90
    assert seen.std() == pytest.approx(np.sqrt(expected * (1 - 90 / len(pictures))), rel=0.1)


def test_rare_failures_are_among_those_shown(table: pa.Table) -> None:
    made = survey(table, failures=5)
    shown = Counter(row["status"] for _, row in made.picks()["failed"].rows)
    assert shown == {"truncated": 5, "missing": 5, "model_error": 2}
    assert "up to 5 of each status" in made.picks()["failed"].note


def test_nothing_counts_as_clipped_that_was_not(table: pa.Table) -> None:
    frame = table.to_pandas().query("status == 'ok' and gamut_clipped > 0")
    assert keys(survey(table), "gamut_clipped-high") == frame.nlargest(24, "gamut_clipped").key.tolist()


def test_best_and_worst_are_by_lightness_without_a_truth_and_by_the_truth_with_one(table: pa.Table) -> None:
    assert "max_lightness_error-low" in survey(table).picks()
    errors = pa.array(np.linspace(0, 1, 2000))
    place = table.column_names.index("mae_ab")
    groups = survey(table.set_column(place, "mae_ab", errors)).picks()
    assert "max_lightness_error-low" not in groups
    first = groups["mae_ab-low"].rows[0][1]
    assert first["key"] == table.to_pandas().query("status == 'ok'").key.iloc[0]


def test_a_small_run_is_shown_whole(table: pa.Table) -> None:
    picks = survey(table, 5000).picks()
    assert picks["fair"].title == "All pictures"
    assert len(picks["fair"].rows) == survey(table).pictures


def test_without_rows_there_is_no_group() -> None:
    assert Survey(10).picks() == {}


def test_distributions_are_exact_to_their_fine_bins() -> None:
    random = np.random.default_rng(0)
    values = random.gamma(2, 10, 50_000)
    spread = Distribution(0, 150)
    for part in np.array_split(np.append(values, [np.nan, np.inf]), 7):
        spread.add(part)
    assert spread.count == 50_000
    assert spread.mean == pytest.approx(values.mean())
    for share in (0.05, 0.5, 0.95):
        assert spread.quantile(share) == pytest.approx(np.quantile(values, share), abs=0.01)
    bars = spread.bars()
    assert bars.counts.sum() + bars.below + bars.above == 50_000
    expected, _ = np.histogram(values, bars.edges)
    assert np.abs(bars.counts - expected).max() <= 1  # a value on the edge of two fine bins
    assert 30 <= len(bars.counts) <= 41


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [-5.0, 7.0], []])
def test_distributions_of_few_or_odd_values_can_be_drawn(values: list[float]) -> None:
    spread = Distribution(0, 1)
    spread.add(np.array(values))
    bars = spread.bars()
    assert bars.counts.sum() + bars.below + bars.above == len(values)
    assert (np.diff(bars.edges) > 0).all()


def test_histograms_of_several_models_count_what_lies_beyond_at_the_ends() -> None:
    assert histogram([-9, 0.1, 0.6, 9, np.nan], np.array([0, 0.5, 1])).tolist() == [0.5, 0.5]
