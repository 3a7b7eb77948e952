"""Curves of a training run, and the line of an epoch."""

import io

import numpy as np
import pytest
from PIL import Image

from jobs.train.outputs.curves import run_curves
from jobs.train.outputs.writer import epoch_line


def row(epoch: int, **more: float) -> dict[str, float]:
    scores = {"mae_ab": 0.1 - 0.001 * epoch, "psnr": 22 + 0.1 * epoch, "ssim": 0.9}
    gray = {"gray_mae_ab": 0.0962, "gray_psnr": 22.31, "gray_ssim": 0.934}
    pace = {"learning_rate": 1e-3 / epoch, "images_per_second": 100.0, "seconds": 2.0}
    return {"epoch": epoch, "loss": 1.0 / epoch, "l1": 1.0 / epoch, **scores, **gray, **pace, **more}


def plot(rows: list[dict[str, float]]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(run_curves(rows, "runs/lite"))).convert("RGB"))


@pytest.mark.parametrize("epochs", [1, 12])
def test_a_run_has_six_panels(epochs: int) -> None:
    pixels = plot([row(epoch) for epoch in range(1, epochs + 1)])
    assert pixels.shape == (864, 2304, 3)
    assert (pixels == (11, 98, 164)).all(-1).any()  # the curve
    assert (pixels == (217, 95, 2)).all(-1).any()  # the best epoch


def test_fid_adds_a_panel() -> None:
    pixels = plot([row(epoch, fid=40.0 - epoch, gray_fid=60.0) for epoch in range(1, 5)])
    assert pixels.shape == (1296, 2304, 3)


def test_outliers_of_the_first_epochs_do_not_compress_the_curve() -> None:
    """With and without an error of 5 in the first epoch, the other nineteen fill about as many rows of pixels."""

    def height(first: float) -> int:
        rows = [row(epoch) for epoch in range(1, 21)]
        rows[0]["mae_ab"] = first
        panel = plot(rows)[40:400, 800:1536]
        return int((panel == (11, 98, 164)).all(-1).any(1).sum())

    assert height(5.0) > 0.5 * height(0.1)


def test_an_epoch_is_one_line_with_the_scores_of_gray() -> None:
    assert epoch_line(row(3), 20, "1 min 2 s", improved=True) == (
        "epoch  3/20  loss 0.3333  MAE 0.0970 (gray 0.0962)  PSNR 22.30 dB (gray 22.31)  SSIM 0.9000 (gray 0.9340)"
        "  100 images/s  1 min 2 s left  best"
    )


def test_the_last_line_of_a_gan_with_fid() -> None:
    line = epoch_line(row(9, adversarial=0.7, discriminator=0.6, fid=31.25, gray_fid=60.0), 9, "0 s", improved=False)
    assert "  adversarial 0.700  discriminator 0.600  " in line
    assert line.endswith("  FID 31.25 (gray 60.00)  100 images/s")
