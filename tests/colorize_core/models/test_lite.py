import pytest
import torch
from torch import nn

from colorize_core.benchmark.model_facts import flops, parameters, receptive_field
from colorize_core.models import build_model
from colorize_core.models.lite import GlobalContext, Lite, Up


@pytest.fixture(scope="module")
def model() -> Lite:
    torch.manual_seed(0)
    return build_model("lite").eval()


def test_it_is_small(model: Lite) -> None:
    assert parameters(model) <= 4_000_000
    assert flops(model, torch.zeros(1, 1, 256, 256)) <= 3_000_000_000


def test_its_width_scales_every_layer() -> None:
    """Twice the channels: four times the weights, twice the norms and biases."""
    half, whole = build_model("lite", width=8), build_model("lite", width=16)
    narrow = {key: value.numel() for key, value in half.named_parameters()}
    wide = {key: value.numel() for key, value in whole.named_parameters()}
    outer = {"encoder.0.0.0.weight": 2, "to_ab.weight": 2, "to_ab.bias": 1}  # one end is L or ab
    for key, value in half.named_parameters():
        assert wide[key] == outer.get(key, 4 if value.dim() == 4 else 2) * narrow[key], key


def test_the_receptive_field_is_the_whole_image() -> None:
    assert receptive_field(build_model("lite", width=8).eval().double(), 512) == 512


def test_training_starts_near_gray(model: Lite) -> None:
    """Against a mean chroma of about 0.15 in photographs, on the network's scale."""
    L = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        assert model(L).abs().mean() < 0.05


def test_the_context_adds_the_same_to_every_pixel() -> None:
    torch.manual_seed(0)
    context = GlobalContext(16)
    x = torch.rand(2, 16, 4, 6) + 10  # so that the ReLU changes nothing
    added = context(x) - x
    hidden = torch.relu(
        nn.functional.conv2d(x.mean(dim=(2, 3), keepdim=True), context.scene[1].weight, context.scene[1].bias)
    )
    expected = nn.functional.conv2d(hidden, context.scene[3].weight, context.scene[3].bias)
    torch.testing.assert_close(added, expected.expand_as(x), atol=1e-5, rtol=0)


def test_up_doubles_the_side_and_adds_the_skip() -> None:
    up = Up(8, 4).eval()
    nn.init.zeros_(up.reduce.weight)
    skip = torch.rand(1, 4, 6, 10)
    assert torch.equal(up(torch.rand(1, 8, 3, 5), skip), up.conv(skip))
