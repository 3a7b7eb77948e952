"""Settings of single photographs in the Colorizer."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from colorize_core.colorizer import ColorizedPhoto, Colorizer
from colorize_core.errors import UserError
from colorize_core.inference.settings import PhotoSettings
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel
from colorize_core.status import Status


@pytest.fixture
def data(photos: np.ndarray) -> bytes:
    """A gray photograph."""
    output = io.BytesIO()
    Image.fromarray(photos[0]).convert("L").save(output, "PNG")
    return output.getvalue()


def colorful_model(seed: int = 0) -> ColorModel:
    """An untrained model with strong colors."""
    torch.manual_seed(seed)
    model = build_model("lite").eval()
    with torch.no_grad():
        last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
        last.weight.mul_(3)
    return model


def _mean_chroma(result: ColorizedPhoto) -> float:
    return result.scores["mean_chroma"]


def test_each_photograph_has_its_own_settings(data: bytes) -> None:
    colorizer = Colorizer(colorful_model(), 64, "cpu")
    settings = [PhotoSettings(), PhotoSettings(strength=0.5), PhotoSettings(skip=True), PhotoSettings(max_chroma=3)]
    plain, half, skipped, limited = colorizer.colorize([data] * 4, settings=settings)
    assert _mean_chroma(half) == pytest.approx(_mean_chroma(plain) / 2, rel=0.05)
    assert _mean_chroma(limited) <= 3.01
    assert (skipped.status, skipped.image) == (Status.SKIPPED, None)


def test_a_photograph_may_have_its_own_working_size(data: bytes) -> None:
    model = colorful_model()
    own = Colorizer(model, 64, "cpu").colorize([data, data], settings=[PhotoSettings(working_size=96), PhotoSettings()])
    assert own[0].image == Colorizer(model, 96, "cpu").colorize([data])[0].image
    assert own[1].image == Colorizer(model, 64, "cpu").colorize([data])[0].image


def test_a_photograph_may_be_colored_by_one_of_several_models(data: bytes) -> None:
    models = {"a": (colorful_model(), 64), "b": (colorful_model(1), 96)}
    colorizer = Colorizer(models, device="cpu")
    one, mixed = colorizer.colorize([data, data], settings=[PhotoSettings(checkpoint="b"), PhotoSettings()])
    assert one.image == Colorizer(*models["b"], "cpu").colorize([data])[0].image
    assert "disagreement" in mixed.scores
    assert "disagreement" not in one.scores
    with pytest.raises(UserError, match=r"checkpoint: 'c' is not a name of a checkpoint \(a, b\)"):
        colorizer.colorize([data], settings=PhotoSettings(checkpoint="c"))


def test_the_temperature_of_a_photograph_is_that_of_its_model(data: bytes) -> None:
    torch.manual_seed(0)
    model = build_model("zhang_eccv16").eval()
    with torch.no_grad():
        next(module for module in reversed(list(model.modules())) if isinstance(module, nn.Conv2d)).weight.mul_(3)
    colorizer = Colorizer(model, 64, "cpu", precision="fp32")
    sharp, own = colorizer.colorize([data, data], settings=[PhotoSettings(temperature=0.05), PhotoSettings()])
    model.temperature = 0.05
    expected = Colorizer(model, 64, "cpu", precision="fp32").colorize([data])[0]
    assert sharp.image == expected.image != own.image


@pytest.mark.parametrize("name", ["lite", "pretrained_unet"])
def test_models_without_distributions_have_no_temperature(name: str, data: bytes) -> None:
    colorizer = Colorizer(build_model(name).eval(), 64, "cpu")
    with pytest.raises(UserError, match=r"temperature: .* does not predict distributions"):
        colorizer.colorize([data], settings=PhotoSettings(temperature=0.5))
