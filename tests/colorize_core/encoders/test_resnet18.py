import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import ResNet, resnet18, resnet34, resnet50

from colorize_core.encoders.resnet18 import gray_stem, resnet18_weights
from colorize_core.encoders.state_dicts import read_state_dict
from colorize_core.errors import UserError
from colorize_core.models import build_model


@pytest.fixture(scope="module")
def trained() -> ResNet:
    """A ResNet-18 of torchvision that looks trained: no statistics and no scale of a norm is at its start."""
    torch.manual_seed(0)
    network = resnet18(weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.1)
            nn.init.normal_(module.bias, 0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(params=["weights.pth", "weights.safetensors"])
def weights_file(request: pytest.FixtureRequest, trained: ResNet, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    if path.suffix == ".pth":
        torch.save(trained.state_dict(), path)
    else:
        save_file(trained.state_dict(), path)
    return path


def message(source: object) -> str:
    with pytest.raises(UserError) as caught:
        build_model("resnet_unet", backbone_weights=str(source))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_stem_is_summed_over_rgb(weights_file: Path, trained: ResNet) -> None:
    model = build_model("resnet_unet", backbone_weights=str(weights_file))
    torch.testing.assert_close(model.body.conv1.weight, trained.conv1.weight.sum(dim=1, keepdim=True))


def test_all_other_weights_of_the_encoder_are_the_backbones(weights_file: Path, trained: ResNet) -> None:
    own = build_model("resnet_unet", backbone_weights=str(weights_file)).body.state_dict()
    theirs = {key: value for key, value in trained.state_dict().items() if not key.startswith("fc.")}
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[key], theirs[key]) for key in own if key != "conv1.weight")


def test_features_of_gray_are_torchvisions_features_of_gray_in_rgb(weights_file: Path, trained: ResNet) -> None:
    model = build_model("resnet_unet", backbone_weights=str(weights_file)).eval()
    found: dict[str, list[torch.Tensor]] = {}
    for network in (model.body, trained):
        for name in ("relu", "layer1", "layer2", "layer3", "layer4"):
            module = network.get_submodule(name)
            module.register_forward_hook(lambda _m, _i, out, name=name: found.setdefault(name, []).append(out.clone()))
    L = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        model(L)
        trained(L.expand(1, 3, 64, 96))
    assert len(found) == 5
    for ours, theirs in found.values():
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)  # sums of float32 in another order


def test_no_weights_are_a_random_network() -> None:
    networks = [build_model("resnet_unet", backbone_weights=None) for _ in range(2)]
    assert not torch.equal(*(network.body.layer1[0].conv1.weight for network in networks))


def test_the_source_of_weights_is_not_part_of_the_architecture(weights_file: Path) -> None:
    model = build_model("resnet_unet", backbone_weights=str(weights_file))
    assert model.architecture == {"name": "resnet_unet", "options": {}}


def test_the_classifier_is_left_out(weights_file: Path) -> None:
    assert not any(key.startswith("fc.") for key in resnet18_weights(str(weights_file)))


def test_gray_stem_does_not_modify_its_argument(trained: ResNet) -> None:
    state = trained.state_dict()
    assert gray_stem(state)["conv1.weight"].shape == (64, 1, 7, 7)
    assert state["conv1.weight"].shape == (64, 3, 7, 7)


@pytest.mark.parametrize("other", [resnet34, resnet50])
def test_another_resnet_is_refused(other: type[ResNet], tmp_path: Path) -> None:
    """Their stems are of the same shape."""
    torch.save(other(weights=None).state_dict(), tmp_path / "other.pth")
    assert "other.pth" in message(tmp_path / "other.pth")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 2, 3).state_dict(), tmp_path / "other.pth")
    assert "not a ResNet-18 state dict" in message(tmp_path / "other.pth")


def test_an_incomplete_resnet18_is_refused(trained: ResNet, tmp_path: Path) -> None:
    part = {key: value for key, value in trained.state_dict().items() if not key.startswith("layer4")}
    torch.save(part, tmp_path / "part.pth")
    assert "part.pth" in message(tmp_path / "part.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert message(tmp_path / "none.pth") == f"{tmp_path}/none.pth: no such file"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_file_is_refused(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"bad{suffix}").write_bytes(b"not weights at all" * 10)
    assert "not a readable state dict" in message(tmp_path / f"bad{suffix}")


def test_a_truncated_file_is_refused(weights_file: Path) -> None:
    weights_file.write_bytes(weights_file.read_bytes()[:-1000])
    assert "not a readable state dict" in message(weights_file)


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Malicious(tmp_path / "ran")}, tmp_path / "bad.pth")
    assert "not a readable state dict" in message(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_plain_pickle_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    assert "not a readable state dict" in message(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("state", [{"weights": {"a": torch.zeros(1)}}, [torch.zeros(1)], torch.zeros(1)])
def test_files_without_a_state_dict_are_refused(state: object, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "nested.pth")
    with pytest.raises(UserError, match=r"nested\.pth: not a state dict of tensors"):
        read_state_dict(str(tmp_path / "nested.pth"))


def test_imagenet_without_a_network_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    line = message("imagenet")
    assert "cannot be downloaded" in line
    assert "backbone_weights=PATH" in line


def test_imagenet_weights_in_torchs_cache_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trained: ResNet
) -> None:
    """As on a machine without a network to which someone copied the cache; the checksum is that of the real file."""
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda _url, **_options: trained.state_dict()
    )
    body = build_model("resnet_unet", backbone_weights="imagenet").body
    assert torch.equal(body.layer4[1].conv2.weight, trained.layer4[1].conv2.weight)
