from typing import Any

import pytest
import torch
import torch.nn.functional as F

from colorize_core.color.bins import bin_centers
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel

SMALL: dict[str, Any] = {"encoder": "efficientnet_lite0", "widths": [32, 32, 32]}


def with_bins(temperature: float) -> ColorModel:
    torch.manual_seed(0)
    return build_model("pretrained_unet", bins=True, temperature=temperature, **SMALL).eval()


@pytest.fixture(scope="module")
def L() -> torch.Tensor:
    return torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def logits(L: torch.Tensor) -> torch.Tensor:
    """(2, 16, 24, 313) logits of the bins."""
    with torch.inference_mode():
        return with_bins(1.0).outputs(L)["logits"].permute(0, 2, 3, 1)


@pytest.mark.parametrize("temperature", [1.0, 0.38, 0.1])
def test_color_is_the_annealed_mean_of_the_bins(L: torch.Tensor, logits: torch.Tensor, temperature: float) -> None:
    """Zhang et al. 2016, eq. 5: weights proportional to the probabilities raised to the power 1 / T."""
    powers = logits.double().softmax(-1) ** (1 / temperature)
    mean = (powers / powers.sum(-1, keepdim=True)) @ bin_centers().double()
    expected = F.interpolate(mean.permute(0, 3, 1, 2) / 110, scale_factor=4, mode="bilinear")
    with torch.inference_mode():
        torch.testing.assert_close(with_bins(temperature)(L).double(), expected, atol=1e-5, rtol=0)


def test_temperature_is_not_part_of_the_weights() -> None:
    with_bins(1.0).load_state_dict(with_bins(0.2).state_dict(), strict=True)


def test_bins_are_learned(L: torch.Tensor) -> None:
    """Every parameter that is trained gets a gradient from the logits."""
    model = with_bins(0.38).train()
    model.outputs(L)["logits"].square().mean().backward()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert "to_logits.weight" in trained
    assert [name for name, parameter in trained.items() if parameter.grad is None] == []


@pytest.mark.parametrize("stages", range(5))
def test_the_last_stages_of_the_encoder_are_trained(stages: int) -> None:
    model = build_model("pretrained_unet", trainable_stages=stages, **SMALL).train()
    trained = [
        {parameter.requires_grad for module in stage for parameter in module.parameters()}
        for stage in model.encoder.stages()
    ]
    assert trained == [{False}] * (4 - stages) + [{True}] * stages
