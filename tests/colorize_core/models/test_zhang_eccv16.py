from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from colorize_core.color.bins import bin_centers
from colorize_core.color.lab import denormalize_ab
from colorize_core.errors import UserError
from colorize_core.models import build_model
from colorize_core.models.zhang_eccv16 import ZhangECCV16

# Of richzhang/colorization, colorizers/eccv16.py: Sequential, index, outputs, inputs, kernel; then each BatchNorm.
CONVOLUTIONS = [
    ("model1", 0, 64, 1, 3),
    ("model1", 2, 64, 64, 3),
    ("model2", 0, 128, 64, 3),
    ("model2", 2, 128, 128, 3),
    ("model3", 0, 256, 128, 3),
    ("model3", 2, 256, 256, 3),
    ("model3", 4, 256, 256, 3),
    ("model4", 0, 512, 256, 3),
    ("model4", 2, 512, 512, 3),
    ("model4", 4, 512, 512, 3),
    ("model5", 0, 512, 512, 3),
    ("model5", 2, 512, 512, 3),
    ("model5", 4, 512, 512, 3),
    ("model6", 0, 512, 512, 3),
    ("model6", 2, 512, 512, 3),
    ("model6", 4, 512, 512, 3),
    ("model7", 0, 512, 512, 3),
    ("model7", 2, 512, 512, 3),
    ("model7", 4, 512, 512, 3),
    ("model8", 2, 256, 256, 3),
    ("model8", 4, 256, 256, 3),
    ("model8", 6, 313, 256, 1),
]
NORMS = [
    ("model1", 4, 64),
    ("model2", 4, 128),
    ("model3", 6, 256),
    ("model4", 6, 512),
    ("model5", 6, 512),
    ("model6", 6, 512),
    ("model7", 6, 512),
]


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """A state dict of the published names and shapes, with weights of about the size that trained ones have."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, deviation: float, mean: float = 0) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * deviation + mean

    state = {}
    for block, index, outputs, inputs, kernel in CONVOLUTIONS:
        deviation = (2 / (inputs * kernel**2)) ** 0.5
        state[f"{block}.{index}.weight"] = normal(outputs, inputs, kernel, kernel, deviation=deviation)
        state[f"{block}.{index}.bias"] = normal(outputs, deviation=0.1)
    state["model8.0.weight"] = normal(512, 256, 4, 4, deviation=0.03)
    state["model8.0.bias"] = normal(256, deviation=0.1)
    for block, index, channels in NORMS:
        state[f"{block}.{index}.weight"] = normal(channels, deviation=0.1, mean=1)
        state[f"{block}.{index}.bias"] = normal(channels, deviation=0.1)
        state[f"{block}.{index}.running_mean"] = normal(channels, deviation=0.1, mean=0.4)
        state[f"{block}.{index}.running_var"] = normal(channels, deviation=0.05, mean=0.5)
        state[f"{block}.{index}.num_batches_tracked"] = torch.tensor(1000)
    state["model_out.weight"] = (bin_centers() / 110).T[:, :, None, None].contiguous()
    return state


@pytest.fixture(scope="module")
def published_file(published: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "colorization.pth"
    torch.save(published, path)
    return path


@pytest.fixture(scope="module")
def model(published_file: Path) -> ZhangECCV16:
    return build_model("zhang_eccv16", weights=str(published_file)).eval()


def lightness(*size: int) -> torch.Tensor:
    return torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def published_logits(state: dict[str, torch.Tensor], L: torch.Tensor) -> torch.Tensor:
    """The published forward pass up to the softmax; L in CIELAB units."""
    x = (L - 50) / 100
    strides = {("model1", 2): 2, ("model2", 2): 2, ("model3", 4): 2}

    def convolved(x: torch.Tensor, block: str, index: int, kernel: int) -> torch.Tensor:
        dilation = 2 if block in ("model5", "model6") else 1
        weight, bias = state[f"{block}.{index}.weight"], state[f"{block}.{index}.bias"]
        stride, padding = strides.get((block, index), 1), dilation if kernel == 3 else 0
        return F.conv2d(x, weight, bias, stride=stride, padding=padding, dilation=dilation)

    for block, norm_index, _ in NORMS:
        for other, index, _, _, kernel in CONVOLUTIONS:
            if other == block:
                x = F.relu(convolved(x, block, index, kernel))
        mean, variance, weight, bias = (
            state[f"{block}.{norm_index}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        x = F.batch_norm(x, mean, variance, weight, bias)
    x = F.relu(F.conv_transpose2d(x, state["model8.0.weight"], state["model8.0.bias"], stride=2, padding=1))
    x = F.relu(convolved(x, "model8", 2, 3))
    x = F.relu(convolved(x, "model8", 4, 3))
    return convolved(x, "model8", 6, 1)


def test_published_names_and_shapes_are_its_own(published: dict[str, torch.Tensor], model: ZhangECCV16) -> None:
    own = model.state_dict()
    assert {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in published.items()}
    assert all(torch.equal(own[key], published[key]) for key in published)


def test_its_logits_are_the_published_networks(published: dict[str, torch.Tensor], model: ZhangECCV16) -> None:
    L = lightness(32, 64)
    with torch.inference_mode():
        logits = model.outputs(L)["logits"]
        assert logits.std() > 0.5
        torch.testing.assert_close(logits, published_logits(published, L * 50 + 50), atol=1e-3, rtol=1e-3)


def test_temperature_one_is_the_published_port(published: dict[str, torch.Tensor], published_file: Path) -> None:
    model = build_model("zhang_eccv16", weights=str(published_file), temperature=1.0).eval()
    L = lightness(32, 64)
    with torch.inference_mode():
        shares = torch.softmax(published_logits(published, L * 50 + 50), dim=1)
        small = F.conv2d(shares, published["model_out.weight"])
        expected = nn.Upsample(scale_factor=4, mode="bilinear")(small)
        torch.testing.assert_close(model(L), expected, atol=1e-4, rtol=1e-3)


def annealed_mean(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Zhang et al. 2016, eq. 5: mean color (B, 2, h, w) of the sharpened distribution (B, 313, h, w) over bins."""
    return torch.einsum("bqhw,qc->bchw", torch.softmax(logits / temperature, dim=1), bin_centers())


@pytest.mark.parametrize("temperature", [0.38, 0.1])
def test_it_decodes_by_the_annealed_mean(model: ZhangECCV16, temperature: float) -> None:
    other = ZhangECCV16(temperature).eval()
    other.load_state_dict(model.state_dict())
    with torch.inference_mode():
        outputs = other.outputs(lightness(32, 64))
        small = annealed_mean(outputs["logits"], temperature)
    expected = F.interpolate(small, scale_factor=4, mode="bilinear")
    torch.testing.assert_close(denormalize_ab(outputs["ab"]), expected, atol=1e-3, rtol=1e-4)


def test_the_papers_temperature_is_the_default(model: ZhangECCV16) -> None:
    outputs = model.outputs(lightness(32, 32))
    expected = F.interpolate(annealed_mean(outputs["logits"], 0.38), scale_factor=4, mode="bilinear")
    torch.testing.assert_close(denormalize_ab(outputs["ab"]), expected, atol=1e-3, rtol=1e-4)


def test_logits_are_of_the_313_bins_at_a_quarter_of_the_side(model: ZhangECCV16) -> None:
    assert model.has_bins
    assert model.outputs(lightness(32, 64))["logits"].shape == (2, 313, 8, 16)


def test_only_the_bins_are_not_trained(model: ZhangECCV16) -> None:
    assert [key for key, p in model.named_parameters() if not p.requires_grad] == ["model_out.weight"]


def test_untrained_logits_differ_from_pixel_to_pixel() -> None:
    torch.manual_seed(0)
    logits = ZhangECCV16().outputs(lightness(32, 64))["logits"]
    assert logits.std(dim=(0, 2, 3)).mean() > 0.1


def test_weights_without_batchnorms_counters_are_accepted(published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({key: value for key, value in published.items() if "num_batches" not in key}, tmp_path / "old.pth")
    own = build_model("zhang_eccv16", weights=str(tmp_path / "old.pth")).state_dict()
    assert torch.equal(own["model7.6.running_var"], published["model7.6.running_var"])


def refusal(**options: object) -> str:
    with pytest.raises(UserError) as caught:
        build_model("zhang_eccv16", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_networks_weights_are_refused(published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """The same authors' later network (siggraph17) has four inputs."""
    torch.save(published | {"model1.0.weight": torch.zeros(64, 4, 3, 3)}, tmp_path / "siggraph17.pth")
    line = refusal(weights=str(tmp_path / "siggraph17.pth"))
    assert "siggraph17.pth: weights of another architecture than 'zhang_eccv16'" in line
    assert "model1.0.weight: 64x4x3x3 in the file, 64x1x3x3 in the model" in line


def test_a_missing_tensor_is_refused(published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({key: value for key, value in published.items() if key != "model3.2.bias"}, tmp_path / "part.pth")
    assert "model3.2.bias: missing in the file" in refusal(weights=str(tmp_path / "part.pth"))


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    assert refusal(temperature=temperature) == (
        f"model 'zhang_eccv16': temperature = {temperature!r}: it should be greater than 0"
    )


def test_only_the_temperature_is_part_of_the_architecture(published_file: Path) -> None:
    model = build_model("zhang_eccv16", weights=str(published_file), temperature=0.5)
    assert model.architecture == {"name": "zhang_eccv16", "options": {"temperature": 0.5}}
