import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from colorize_core.evaluation.scoring import Scorer, score, split_rgb
from colorize_core.evaluation.summary import summarize_scores
from colorize_core.evaluation.table import render_markdown, score_tables
from colorize_core.metrics import registry
from colorize_core.metrics.comparison import Comparison
from colorize_core.metrics.registry import METRICS, columns_of, metrics_of, per_image

ROOT = Path(__file__).parents[3]
PRIOR = [[0.0, 0.0, 1.0]]


@pytest.fixture
def red_error() -> Iterator[str]:
    """A metric that a user adds: one function."""

    @per_image("red error", 1, higher_is_better=False, in_validation=True)
    def red_error(batch: Comparison) -> torch.Tensor:
        return (batch.image[:, 0].float() - batch.truth.rgb[:, 0].float()).abs().mean(dim=(1, 2))

    assert red_error.__name__ in METRICS
    yield "red_error"
    del METRICS["red_error"]


def test_a_metric_that_is_added_is_scored_and_shown(red_error: str) -> None:
    rgb = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    predicted = {name: split_rgb(rgb)[1] / factor for name, factor in (("gray", 1e9), ("one", 2), ("two", 3))}
    parts = []
    for name, scores in Scorer(PRIOR)(predicted, rgb).items():
        columns = {metric: values.double().numpy() for metric, values in scores.items()}
        parts.append(pa.table({"key": ["a", "b"], "model": [name] * 2, **columns}))
    models = summarize_scores(pa.concat_tables(parts), list(predicted), ["one", "two"], [], 100)
    assert models["gray"][red_error]["value"] > models["two"][red_error]["value"] > models["one"][red_error]["value"]
    result = {"models": models, "checkpoints": {"one": "", "two": ""}, "photographs": 2, "split": "val", "size": 32}
    result["config"] = {"definitions": [], "lpips": {"backbone": "none"}}
    table = score_tables(result)[0]
    assert table.columns[-1] == "red error ↓"
    assert [row.cells[-1].best for row in table.rows] == [False, True, False]
    assert "red error ↓" in render_markdown(result)
    assert score(predicted["one"], rgb)[red_error].mean().item() == pytest.approx(models["one"][red_error]["value"])


def test_the_registry_and_the_tables_work_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from colorize_core.metrics.registry import METRICS\n"
        "from colorize_core.evaluation import table\n"
        "assert METRICS['psnr'].heading == 'PSNR (dB) ↑'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_metrics_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="psnr"):
        registry.register(METRICS["psnr"])


def test_titles_headings_and_values() -> None:
    psnr, mae, kid = (METRICS[name] for name in ("psnr", "mae_ab", "kid"))
    assert (psnr.title, psnr.heading) == ("PSNR (dB)", "PSNR (dB) ↑")
    assert (mae.title, mae.heading) == ("MAE (ab/110)", "MAE (ab/110) ↓")
    assert psnr.format(24.126) == "24.13"
    assert psnr.format(24.126, unit=True) == "24.13 dB"
    assert kid.format(0.01234) == "12.34"


def test_better_and_best_follow_the_direction() -> None:
    psnr, mae = METRICS["psnr"], METRICS["mae_ab"]
    assert psnr.is_better(2, 1)
    assert mae.is_better(1, 2)
    assert not psnr.is_better(1, 1)
    assert (psnr.best([1, 3, 2]), mae.best([1, 3, 2])) == (3, 1)


def test_every_metric_of_an_evaluation_has_what_it_needs() -> None:
    computed = {name for name, metric in METRICS.items() if metric.score}
    for metric in columns_of(registry.papers()):
        assert set(metric.needs) <= computed
        assert (metric.statistic is None) != (metric.distance is None)


def test_the_tables_of_papers_hold_what_each_reports() -> None:
    tables = {paper: [metric.name for metric in metrics_of(paper)] for paper in registry.papers()}
    assert tables == {
        "gray-to-glory": ["mae_ab", "lpips", "lpips_unit"],
        "unet-gan": ["psnr_ab_batch", "ssim_ab_batch", "psnr_ab", "ssim_ab"],
        "resnet18-losses": ["psnr", "mse", "ssim_uniform"],
    }


def test_values_of_a_set() -> None:
    scores = {
        "colorfulness": np.array([1.0, 5.0]),
        "colorfulness_truth": np.array([3.0, 3.0]),
        "auc_rebalanced": np.array([0.0, 1.0]),
        "auc_weight": np.array([1.0, 3.0]),
        "mse": np.array([0.0, 0.0]),
        "psnr_ab": np.arange(40.0),
    }
    assert METRICS["colorfulness_delta"].value(scores) == 0
    assert METRICS["colorfulness_error"].value(scores) == 2
    absolute = {name.replace("colorfulness", "colorfulness_absolute"): values for name, values in scores.items()}
    assert METRICS["colorfulness_absolute_delta"].value(absolute) == 0
    assert METRICS["auc_rebalanced"].value(scores) == 0.75
    assert METRICS["psnr_pooled"].value(scores) == registry.PSNR_CAP
    assert METRICS["psnr_ab_batch"].value(scores) == 15.5
    assert METRICS["psnr_ab"].value(scores, np.array([1, 1, 2])) == pytest.approx(4 / 3)


@pytest.mark.parametrize(("value", "text"), [(-1e-7, "+0.0000"), (0.00123, "+0.0012"), (-0.5, "-0.5000")])
def test_a_signed_zero_has_one_form(value: float, text: str) -> None:
    assert METRICS["mae_ab"].format(value, sign=True) == text
