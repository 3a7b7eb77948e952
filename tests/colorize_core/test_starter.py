"""The weights that ship with the project, on photographs outside their training set."""

import importlib.util
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as transforms

from colorize_core import metrics
from colorize_core.checkpoint.config import WEIGHTS
from colorize_core.checkpoint.weights import load_checkpoint
from colorize_core.colorizer import Colorizer
from colorize_core.evaluation import scoring as evaluation
from colorize_core.inference.prediction import colorize_lightness
from colorize_core.starter import STARTER, locate_checkpoint


def test_the_starter_is_a_small_checkpoint_in_the_package() -> None:
    model, config = load_checkpoint(locate_checkpoint(STARTER))
    assert config.architecture["name"] == "pretrained_unet"
    assert sum(parameter.numel() for parameter in model.parameters()) <= 12e6
    assert Path(locate_checkpoint(STARTER), WEIGHTS).stat().st_size <= 24e6


def test_the_starter_needs_no_package_with_imagenet_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    load_checkpoint(locate_checkpoint(STARTER))


def test_the_colorizer_takes_the_name() -> None:
    assert Colorizer.load(STARTER).working_size == 192


def test_other_locations_are_not_changed() -> None:
    assert locate_checkpoint("./starter") == "./starter"
    assert locate_checkpoint("s3://bucket/starter") == "s3://bucket/starter"


def test_predictions_are_closer_to_the_true_colors_than_gray(photo_paths: list[Path]) -> None:
    model, config = load_checkpoint(locate_checkpoint(STARTER))
    photos = [transforms.pil_to_tensor(Image.open(path).convert("RGB").resize((256, 256))) for path in photo_paths]
    rgb = torch.stack(photos)
    L, _ = evaluation.split_rgb(rgb)
    ab = colorize_lightness(model, L, config.working_size)
    ours, gray = evaluation.score(ab, rgb), evaluation.score(torch.zeros_like(ab), rgb)
    assert ours["mae_ab"].mean() < 0.95 * gray["mae_ab"].mean()
    assert ours["psnr"].mean() > gray["psnr"].mean() + 0.5
    color = metrics.colorfulness(evaluation.assemble(L, ab)).mean() / metrics.colorfulness(rgb).mean()
    assert 0.25 < color < 1.2  # 0.70 on 1,000 photographs; scikit-image's four have rare colors
