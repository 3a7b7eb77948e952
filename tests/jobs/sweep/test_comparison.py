"""The table and the curves of a sweep."""

import csv
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jobs.sweep.comparison import Trial, curves_png, format_value, rank, to_csv, to_markdown


def epoch(number: int, mae: float, speed: float = 100.0) -> dict[str, float]:
    scores = {"epoch": number, "mae_ab": mae, "gray_mae_ab": 0.09, "psnr": 30 - 100 * mae, "ssim": 0.9}
    return {**scores, "images_per_second": speed}


def trial(name: str, lr: Any, *maes: float, status: str = "done") -> Trial:
    epochs = [epoch(number, mae, speed=10.0**number) for number, mae in enumerate(maes, start=1)]
    return Trial(name, {"optim.lr": lr, "optim.betas": [0.5, 0.999]}, epochs, status)


GOOD = trial("good", 0.001, 0.088, 0.082, 0.084)
FAIR = trial("fair", 0.0001, 0.087)
BAD = trial("bad", 0.1, 0.12, 0.095)
BROKEN = trial("broken", 1e9, status="failed: epoch 1 | diverged")
TRIALS = [BROKEN, BAD, GOOD, FAIR]


def test_scores_are_those_of_the_best_epoch_with_the_median_speed() -> None:
    assert GOOD.scores == {
        "best_epoch": 2,
        "mae_ab": 0.082,
        "gray_mae_ab": 0.09,
        "psnr": pytest.approx(21.8),
        "ssim": 0.9,
        "images_per_second": 100.0,
    }
    assert BROKEN.scores == {}


def test_trials_are_ranked_by_mae_and_those_without_one_come_last() -> None:
    assert [each.name for each in rank(TRIALS)] == ["good", "fair", "bad", "broken"]


def test_csv_has_a_row_for_each_trial() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(TRIALS))))
    assert [row["trial"] for row in rows] == ["good", "fair", "bad", "broken"]
    assert [row["optim.lr"] for row in rows] == ["0.001", "0.0001", "0.1", "1000000000.0"]
    assert rows[0]["optim.betas"] == "[0.5, 0.999]"
    assert (float(rows[0]["mae_ab"]), float(rows[0]["best_epoch"])) == (0.082, 2)
    assert [row["below_gray"] for row in rows] == ["false", "false", "true", ""]
    assert rows[3]["mae_ab"] == ""
    assert rows[3]["status"] == "failed: epoch 1 | diverged"


def test_markdown_marks_the_best_trial_and_those_worse_than_gray() -> None:
    lines = to_markdown(TRIALS).splitlines()
    assert lines[0] == (
        "| optim.lr | optim.betas | best epoch | MAE (ab/110) ↓ | gray MAE | PSNR (dB) ↑ | SSIM ↑ | images/s | status |"
    )
    assert lines[2].startswith("| **0.001** | **[0.5, 0.999]** | **2** | **0.0820** | **0.0900** |")
    assert "0.0950 ⚠" in lines[4]
    assert lines[5] == "| 1000000000.0 | [0.5, 0.999] |  |  |  |  |  |  | failed: epoch 1 / diverged |"
    assert "⚠ worse than leaving the photographs gray, by MAE: bad." in lines
    assert len({line.count("|") for line in lines[:6]}) == 1


def test_no_trial_is_best_before_the_first_epoch() -> None:
    assert "**" not in to_markdown([BROKEN])


def test_values_are_formatted_as_in_a_configuration() -> None:
    assert [format_value(value) for value in (None, True, 0.5, "imagenet", [1, 2])] == [
        "none",
        "true",
        "0.5",
        "imagenet",
        "[1, 2]",
    ]


def pixels(panels: dict[str, dict[str, Trial]]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(curves_png(panels))).convert("RGB"))


def test_a_panel_for_each_grid_with_a_line_for_each_trial() -> None:
    one = pixels({"optim.lr": {"0.001": GOOD, "0.1": BAD}})
    two = pixels({"optim.lr": {"0.001": GOOD, "0.1": BAD}, "optim.betas": {"[0.5, 0.999]": GOOD}})
    assert two.shape[1] == pytest.approx(2 * one.shape[1], abs=2)
    assert two.shape[0] == one.shape[0]
    colored = [(image.max(-1).astype(int) - image.min(-1) > 40).sum() for image in (one, two)]
    assert 500 < colored[0] < colored[1]  # gray axes and text have no color, lines do


def test_before_the_first_epoch_the_plot_has_no_lines() -> None:
    image = pixels({"optim.lr": {"1": BROKEN}})
    assert (image.max(-1) == image.min(-1)).all()
    assert (image != 255).any()


def test_a_trial_far_above_gray_does_not_compress_the_others() -> None:
    """The marker of the best epoch lies as low as it does without that trial."""
    lost = trial("lost", 1, 9.0, 8.0, 7.0)
    with_it, without = ({"optim.lr": {"0.001": GOOD, "0.1": BAD} | more} for more in ({"1": lost}, {}))
    lowest = [np.nonzero(dark_purple(pixels(panels)).any(1))[0].max() for panels in (with_it, without)]
    assert lowest[0] == pytest.approx(lowest[1], abs=3)


def dark_purple(image: np.ndarray) -> np.ndarray:
    """Where the first line of a panel is drawn."""
    red, green, blue = image.astype(int).transpose(2, 0, 1)
    return (blue > 60) & (blue < 110) & (red > green + 30)
