from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from colorize_core.report.archive.measures import Distribution, histogram
from colorize_core.report.archive.statistics import RowStatistics

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
    frame["output_bytes"] = np.where(ok, 1000.0, np.nan)
    frame["mean_chroma"] = np.where(ok, random.gamma(2, 10, 2000), np.nan)
    frame["gamut_clipped"] = np.where(ok, random.random(2000) * (random.random(2000) > 0.995), np.nan)
    frame["max_lightness_error"] = np.where(ok, 2 * random.random(2000), np.nan)
    frame["mae_ab"] = np.nan
    return pa.Table.from_pandas(frame, preserve_index=False)


def statistics(table: pa.Table, size: int = 100, **options: int) -> RowStatistics:
    """Statistics of the table, added in uneven parts."""
    made = RowStatistics(size, **options)
    for start, stop in ((0, 700), (700, 701), (701, 2000)):
        made.add(table.slice(start, stop - start))
    return made


def keys(made: RowStatistics, group: str) -> list[str]:
    return [row["key"] for _, row in made.groups()[group].rows]


def test_counts_are_exact(table: pa.Table) -> None:
    made = statistics(table)
    assert made.counts == Counter(table.column("status").to_pylist())
    assert made.total == 2000
    assert made.failed == 2000 - made.counts["ok"]
    assert made.images == made.counts["ok"]
    assert made.output_bytes == 1000 * made.images


def test_extremes_are_those_of_all_rows(table: pa.Table) -> None:
    made, frame = statistics(table), table.to_pandas().query("status == 'ok'")
    assert keys(made, "mean_chroma-high") == frame.nlargest(24, "mean_chroma").key.tolist()
    assert keys(made, "mean_chroma-low") == frame.nsmallest(24, "mean_chroma").key.tolist()
    assert keys(made, "max_lightness_error-high") == frame.nlargest(24, "max_lightness_error").key.tolist()


def test_the_largest_disagreements_of_an_ensemble_come_after_the_sample(table: pa.Table) -> None:
    assert "disagreement-high" not in statistics(table).groups()
    values = np.where(np.array(table.column("status")) == "ok", np.random.default_rng(2).random(2000) * 40, np.nan)
    made = statistics(table.append_column("disagreement", pa.array(values)))
    assert list(made.groups())[:2] == ["sample", "disagreement-high"]
    frame = table.to_pandas().assign(disagreement=values)
    assert keys(made, "disagreement-high") == frame.nlargest(24, "disagreement").key.tolist()
    assert made.distributions["disagreement"].mean == pytest.approx(np.nanmean(values))


def test_the_random_sample_does_not_depend_on_the_parts(table: pa.Table) -> None:
    whole = RowStatistics(100)
    whole.add(table)
    assert keys(whole, "sample") == keys(statistics(table), "sample")
    assert len(set(keys(whole, "sample"))) == 100


def test_every_image_has_the_same_probability(table: pa.Table) -> None:
    part, runs, size = table.slice(0, 600), 100, 90
    drawn: Counter[str] = Counter()
    for seed in range(runs):
        made = RowStatistics(size, extremes=1, failures=1, seed=seed)
        made.add(part)
        drawn.update(keys(made, "sample"))
    images = part.to_pandas().query("status == 'ok'").key
    seen = np.array([drawn[key] for key in images])
    assert seen.sum() == runs * size
    assert seen.std() == pytest.approx(np.sqrt(seen.mean() * (1 - size / len(images))), rel=0.1)


def test_rare_failures_are_shown(table: pa.Table) -> None:
    made = statistics(table, failures=5)
    shown = Counter(row["status"] for _, row in made.groups()["failed"].rows)
    assert shown == {"truncated": 5, "missing": 5, "model_error": 2}
    assert "up to 5 per status" in made.groups()["failed"].note


def test_only_clipped_images_are_in_the_group_of_clipping(table: pa.Table) -> None:
    frame = table.to_pandas().query("status == 'ok' and gamut_clipped > 0")
    assert keys(statistics(table), "gamut_clipped-high") == frame.nlargest(24, "gamut_clipped").key.tolist()


def test_images_are_ranked_by_color_error_only_if_inputs_were_in_color(table: pa.Table) -> None:
    assert "max_lightness_error-low" in statistics(table).groups()
    errors = pa.array(np.linspace(0, 1, 2000))
    place = table.column_names.index("mae_ab")
    groups = statistics(table.set_column(place, "mae_ab", errors)).groups()
    assert "max_lightness_error-low" not in groups
    first = groups["mae_ab-low"].rows[0][1]
    assert first["key"] == table.to_pandas().query("status == 'ok'").key.iloc[0]


def test_a_small_run_is_shown_completely(table: pa.Table) -> None:
    picks = statistics(table, 5000).groups()
    assert picks["sample"].title == "All images"
    assert len(picks["sample"].rows) == statistics(table).images


def test_without_rows_there_is_no_group() -> None:
    assert RowStatistics(10).groups() == {}


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
def test_distributions_of_few_or_extreme_values_have_bars(values: list[float]) -> None:
    spread = Distribution(0, 1)
    spread.add(np.array(values))
    bars = spread.bars()
    assert bars.counts.sum() + bars.below + bars.above == len(values)
    assert (np.diff(bars.edges) > 0).all()


def test_histograms_count_values_beyond_the_edges_in_the_outer_bins() -> None:
    assert histogram([-9, 0.1, 0.6, 9, np.nan], np.array([0, 0.5, 1])).tolist() == [0.5, 0.5]
