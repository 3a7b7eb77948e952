from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from colorize_core.errors import UserError
from colorize_core.models import build_model
from colorize_core.models.resnet_upsampler import ResNetUpsampler

# Of lukemelas/Automatic-Image-Colorization, model.py: inputs, outputs of the 3x3 convolutions, BatchNorm after them.
LISTED = [(128, 128, True), (128, 64, True), (64, 64, False), (64, 32, False), (32, 2, False)]


def lightness(*size: int) -> torch.Tensor:
    return torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def model() -> ResNetUpsampler:
    torch.manual_seed(0)
    return build_model("resnet_upsampler").eval()


def test_its_parameters_are_those_of_the_listed_layers(model: ResNetUpsampler) -> None:
    theirs = list(resnet18(weights=None).children())[:6]
    backbone = sum(p.numel() for child in theirs for p in child.parameters()) - 2 * 64 * 7 * 7  # one input channel
    head = sum(9 * inputs * outputs + outputs + 2 * outputs * norm for inputs, outputs, norm in LISTED)
    assert sum(p.numel() for p in model.parameters()) == backbone + head


def test_it_computes_what_the_listing_says(model: ResNetUpsampler) -> None:
    convolutions = [module for module in model.head if isinstance(module, nn.Conv2d)]
    norms = [module for module in model.head if isinstance(module, nn.BatchNorm2d)]
    body = model.body
    for norm in norms:
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    with torch.inference_mode():
        L = lightness(64, 96)
        x = body.layer2(body.layer1(body.maxpool(F.relu(body.bn1(body.conv1((L + 1) / 2))))))
        x = F.interpolate(F.relu(norms[0](convolutions[0](x))), scale_factor=2)
        x = F.relu(norms[1](convolutions[1](x)))
        x = F.interpolate(F.relu(convolutions[2](x)), scale_factor=2)
        x = F.interpolate(convolutions[4](torch.sigmoid(convolutions[3](x))), scale_factor=2)
        torch.testing.assert_close(model(L), x)


def test_colors_come_in_blocks_of_four_pixels(model: ResNetUpsampler) -> None:
    with torch.inference_mode():
        ab = model(lightness(32, 64))
    assert torch.equal(ab, F.interpolate(ab[..., ::2, ::2], scale_factor=2))


def test_its_features_are_the_backbones(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = resnet18(weights=None).eval()
    torch.save(trained.state_dict(), tmp_path / "resnet18.pth")
    model = build_model("resnet_upsampler", backbone_weights=str(tmp_path / "resnet18.pth")).eval()
    assert model.architecture["options"] == {}
    features: list[torch.Tensor] = []
    for network in (model.body, trained):
        network.layer2.register_forward_hook(lambda _module, _inputs, output: features.append(output))
    L = lightness(64, 64)
    with torch.inference_mode():
        model(L)
        trained(((L + 1) / 2).expand(2, 3, 64, 64))
    torch.testing.assert_close(*features, atol=1e-4, rtol=1e-4)  # sums of float32 in another order


def test_weights_that_are_not_a_resnet18s_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: not a ResNet-18 state dict"):
        build_model("resnet_upsampler", backbone_weights=str(tmp_path / "other.pth"))
