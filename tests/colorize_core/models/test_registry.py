import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from colorize_core import models
from colorize_core.encoders.state_dicts import load_strictly
from colorize_core.errors import UserError
from colorize_core.models import build_model, check_model, model_names
from colorize_core.models.base import ColorModel

# Published networks of 30 to 230 M parameters, which take seconds for each of the tests below. Their own tests compare
# them with a second statement of the network.
LARGE = {"ddcolor_large", "ddcolor_tiny", "deoldify_artistic", "deoldify_stable", "siggraph17"}
SMALL = sorted({*model_names()} - LARGE)
every_small_model = pytest.mark.parametrize("name", SMALL)
SIZES = [(32, 32), (64, 96), (96, 32), (32, 160)]
DDCOLOR = {"widths": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "decoder_width": 32, "queries": 7, "color_layers": 3}
# pix2pix_unet is 54 M parameters and pads to 256 px; its layout does not depend on the width.
OPTIONS: dict[str, dict[str, Any]] = {
    "ddcolor_large": DDCOLOR,
    "ddcolor_tiny": DDCOLOR,
    "pix2pix_unet": {"levels": 6, "width": 16},
    "pretrained_unet": {"encoder": "efficientnet_lite0", "widths": [32, 32, 32]},
}


def build(name: str) -> ColorModel:
    torch.manual_seed(0)
    return build_model(name, **OPTIONS.get(name, {}))


@pytest.fixture(scope="module", params=SMALL)
def settled(request: pytest.FixtureRequest) -> ColorModel:
    """In evaluation mode, with the statistics of a batch in every BatchNorm, as after training."""
    model = build(request.param)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1
    with torch.no_grad():
        model(lightness(64, 96))
    return model.eval()


def lightness(*size: int, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 1, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


# The contract of every architecture


def test_chroma_has_the_size_of_the_lightness(settled: ColorModel) -> None:
    with torch.inference_mode():
        assert [tuple(settled(lightness(*size)).shape) for size in SIZES] == [(2, 2, *size) for size in SIZES]


@pytest.mark.parametrize("name", sorted(LARGE))
def test_a_large_network_has_the_interface_of_all(name: str) -> None:
    """Without computing: on the meta device."""
    model = check_model(name).eval()
    for size in SIZES:
        ab = model(torch.empty(2, 1, *size, device="meta"))
        assert (tuple(ab.shape), ab.dtype) == ((2, 2, *size), torch.float32)


@pytest.mark.parametrize("name", model_names())
def test_hints_are_an_optional_argument_of_models_that_take_them(name: str) -> None:
    model = check_model(name, **OPTIONS.get(name, {})).eval()
    L, hints = (torch.empty(2, channels, 64, 32, device="meta") for channels in (1, 3))
    if not model.takes_hints:
        with pytest.raises(TypeError):
            model(L, hints)
        return
    assert model(L, hints).shape == model(L).shape
    assert model.outputs(L, hints)["ab"].shape == model.outputs(L)["ab"].shape


def test_chroma_is_float32_and_finite(settled: ColorModel) -> None:
    ab = settled(lightness(64, 64))
    assert ab.dtype == torch.float32
    assert ab.isfinite().all()


@every_small_model
def test_every_trained_parameter_matters(name: str) -> None:
    """A finite gradient, not all zero, reaches it."""
    model = build(name)
    model(lightness(64, 64)).square().mean().backward()
    trained = {key: p.grad for key, p in model.named_parameters() if p.requires_grad}
    assert [key for key, grad in trained.items() if grad is None or not grad.any() or not grad.isfinite().all()] == []


def test_evaluation_is_deterministic(settled: ColorModel) -> None:
    L = lightness(64, 64)
    with torch.inference_mode():
        assert torch.equal(settled(L), settled(L))


def test_evaluation_treats_photographs_independently(settled: ColorModel) -> None:
    L = lightness(64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(settled(L)[:1], settled(L[:1]), atol=1e-5, rtol=1e-4)  # float32, other blocking


def test_the_output_depends_on_the_lightness(settled: ColorModel) -> None:
    with torch.inference_mode():
        assert (settled(lightness(64, 64)) - settled(-lightness(64, 64))).abs().max() > 0.01


def test_the_input_is_not_modified(settled: ColorModel) -> None:
    L = lightness(32, 32)
    settled(L)
    assert torch.equal(L, lightness(32, 32))


def test_memory_format_does_not_matter(settled: ColorModel) -> None:
    L = lightness(64, 64)
    with torch.inference_mode():
        plain = settled(L)
        last = copy.deepcopy(settled).to(memory_format=torch.channels_last)
        torch.testing.assert_close(last(L.to(memory_format=torch.channels_last)), plain, atol=1e-4, rtol=1e-3)


def test_bfloat16_is_about_the_same(settled: ColorModel) -> None:
    """Eight bits of mantissa: 2% of the range of the network's outputs."""
    L = lightness(64, 64)
    with torch.inference_mode():
        exact = settled(L)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = settled(L).float()
    assert (rounded - exact).abs().mean() < 0.02 * (exact.amax() - exact.amin())


@every_small_model
def test_equal_seeds_are_equal_networks(name: str) -> None:
    one, other = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_architecture_and_state_rebuild_the_network(settled: ColorModel) -> None:
    again = build_model(settled.architecture["name"], **settled.architecture["options"]).eval()
    load_strictly(again, settled.state_dict(), "memory", "it")
    with torch.inference_mode():
        assert torch.equal(again(lightness(32, 64)), settled(lightness(32, 64)))


@every_small_model
def test_a_network_can_be_copied_in_training(name: str) -> None:
    """As its moving average is."""
    model = build(name)
    model(lightness(32, 32)).mean().backward()
    assert copy.deepcopy(model).state_dict().keys() == model.state_dict().keys()


def test_outputs_hold_ab_and_the_logits_of_bins(settled: ColorModel) -> None:
    with torch.inference_mode():
        outputs = settled.outputs(lightness(64, 96))
        assert torch.equal(outputs["ab"], settled(lightness(64, 96)))
    assert outputs.keys() == ({"ab", "logits"} if settled.has_bins else {"ab"})


@every_small_model
@pytest.mark.slow
def test_a_network_learns(name: str) -> None:
    """Ten steps on one batch, to tell a bright image from a dark one, lower the error by a third, at the least."""
    model, sign = build(name), torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    L = lightness(32, 32) / 4 + sign / 2
    truth = (sign * torch.tensor([0.3, -0.2]).view(1, 2, 1, 1)).expand(2, 2, 32, 32)
    # DDColor predicts in CIELAB units: its last weights have a longer way.
    rate = 1e-2 if name.startswith("ddcolor") else 1e-3
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)
    errors = []
    for _ in range(11):
        loss = F.mse_loss(model(L), truth)
        errors.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert errors[-1] < errors[0] * 2 / 3


# Building


def test_names_are_sorted_and_unique() -> None:
    assert model_names() == sorted(set(model_names()))


def test_names_are_known_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from colorize_core.models import model_names; print(model_names())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(model_names())


@pytest.mark.parametrize("package", ["", "family_of_one"])
def test_a_new_architecture_is_one_file(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(models.__path__[0], "resnet_upsampler.py").read_text()
    (tmp_path / package).mkdir(exist_ok=True)
    (tmp_path / package / "one_pixel.py").write_text(
        "from torch import nn\n"
        "from colorize_core.models.base import ColorModel\n\n"
        "class OnePixel(ColorModel):\n"
        "    def __init__(self, width: int = 4) -> None:\n"
        "        super().__init__()\n"
        "        self.net = nn.Sequential(nn.Conv2d(1, width, 1), nn.Conv2d(width, 2, 1))\n\n"
        "    def forward(self, L):\n"
        "        return self.net(L)\n"
    )
    (tmp_path / "no_architecture.py").write_text(source.replace("(ColorModel)", "(nn.Module)"))
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    assert "one_pixel" in model_names()
    assert "no_architecture" not in model_names()
    model = build_model("one_pixel", width=8)
    assert model.architecture == {"name": "one_pixel", "options": {"width": 8}}
    assert model(lightness(32, 32)).shape == (2, 2, 32, 32)
    assert "did you mean 'one_pixel'?" in message("one-pixel")


@every_small_model
def test_checking_a_model_takes_no_memory_and_finds_its_properties(name: str) -> None:
    options = OPTIONS.get(name, {})
    model, checked = build(name), check_model(name, **options)
    assert all(parameter.is_meta for parameter in checked.parameters())
    assert (checked.architecture, checked.has_bins, checked.stride) == (
        model.architecture,
        model.has_bins,
        model.stride,
    )
    assert all(not buffer.is_meta for buffer in build(name).buffers())  # nothing that is cached was made on meta


def test_checking_a_model_does_not_import_the_compiler() -> None:
    """It takes two seconds, which every command would wait. torchvision, which the others use, imports it by itself."""
    code = (
        "import sys\n"
        "from colorize_core.models import check_model\n"
        "for name in ('encoder_decoder', 'lite', 'pix2pix_unet', 'pretrained_unet', 'zhang_eccv16'):\n"
        "    check_model(name)\n"
        "assert 'torch' in sys.modules and 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_checking_a_model_reads_initial_weights(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save(resnet18(weights=None).state_dict(), good)
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, bad)
    check_model("resnet_unet", backbone_weights=str(good))
    for weights in (bad, tmp_path / "missing.pth"):
        with pytest.raises(UserError, match=str(weights)):
            check_model("resnet_unet", backbone_weights=str(weights))


def test_options_reach_the_network() -> None:
    assert build_model("encoder_decoder", widths=[4, 8], latent=16).latent[0][0].out_channels == 16


def test_architecture_keeps_the_options() -> None:
    model = build_model("encoder_decoder", widths=[4, 8], latent=16)
    assert model.architecture == {"name": "encoder_decoder", "options": {"widths": [4, 8], "latent": 16}}


def message(name: str, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        build_model(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_nearest_name_is_suggested() -> None:
    assert message("resnet-unet") == "model 'resnet-unet' is unknown; did you mean 'resnet_unet'?"


def test_all_names_are_listed_if_none_is_near() -> None:
    assert all(name in message("zzz") for name in model_names())


def test_the_nearest_option_is_suggested() -> None:
    assert (
        message("encoder_decoder", latnt=3) == "model 'encoder_decoder' has no option 'latnt'; did you mean 'latent'?"
    )


def test_all_options_are_listed_if_none_is_near() -> None:
    assert all(option in message("encoder_decoder", zzz=3) for option in ("widths", "latent"))


def test_self_is_not_an_option() -> None:
    assert "'self'" in message("encoder_decoder", **{"self": 3})


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("lite", {"width": "wide"}, "width = 'wide': it should be a valid integer"),
        ("lite", {"width": 0}, "width = 0: it should be greater than 0"),
        ("encoder_decoder", {"widths": [8, "a"]}, "widths = [8, 'a']: it should be a valid integer"),
        ("resnet_unet", {"blur": "yes"}, "blur = 'yes': it should be a valid boolean"),
        ("resnet_unet", {"weights": 3}, "weights = 3: it should be a valid string"),
    ],
)
def test_an_invalid_value_of_an_option_is_named(name: str, options: dict[str, object], line: str) -> None:
    assert message(name, **options) == f"model '{name}': {line}"
