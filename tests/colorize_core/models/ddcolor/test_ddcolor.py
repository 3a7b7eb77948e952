"""DDColor against its plain restatement (`reference`), under the names of the published files."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.convnext import ConvNeXt as TorchvisionConvNeXt

from colorize_core.checkpoint.export import TOLERANCE, export_model
from colorize_core.color.lab import denormalize_ab, normalize_L
from colorize_core.errors import UserError
from colorize_core.models import build_model, check_model
from colorize_core.models.base import ColorModel
from colorize_core.models.ddcolor.color_decoder import position_encoding
from colorize_core.models.ddcolor.convnext import ConvNeXt
from colorize_core.published.recognition import PublishedModel, load_published
from tests.colorize_core.models.ddcolor import reference

NAMES = list(reference.SIZES)
SMALL = {"widths": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "decoder_width": 32, "queries": 7, "color_layers": 3}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A published file of ddcolor_tiny with random weights."""
    return reference.random_state("ddcolor_tiny")


@pytest.fixture(scope="module")
def imported(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishedModel]:
    """What `colorize import` makes of it, as the repository's .pth."""
    path = tmp_path_factory.mktemp("ddcolor") / "ddcolor_paper_tiny.pth"
    torch.save({"params": state}, path)
    yield load_published(str(path))
    path.unlink()


def lightness(*size: int) -> Tensor:
    return torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(1)) * 100


# The published files


@pytest.mark.parametrize("name", NAMES)
def test_the_restated_names_are_as_many_and_as_large_as_published(name: str) -> None:
    """Counts of a replica; the published .bin are larger by about 380 bytes for each entry of their zip archive."""
    shapes = reference.shapes(name)
    total = sum(math.prod(shape) * (8 if key.endswith("num_batches_tracked") else 4) for key, shape in shapes.items())
    assert (len(shapes), total) == reference.ENTRIES[name]


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_the_published_network_without_its_unused_norm(name: str) -> None:
    count = sum(parameter.numel() for parameter in check_model(name).parameters())
    assert count == reference.PARAMETERS[name] - 2 * reference.SIZES[name][0][-1]


def test_colors_are_those_of_the_plain_network(imported: PublishedModel, state: dict[str, Tensor]) -> None:
    L = lightness(64, 96)
    with torch.inference_mode():
        expected = reference.colorize(state, L, reference.SIZES["ddcolor_tiny"][1])
        ab = denormalize_ab(imported.model.eval()(normalize_L(L)))
    assert 3 < expected.std() < 60
    assert (ab - expected).abs().max() < 1e-4 * expected.abs().max()


def test_the_import_says_what_the_file_is(imported: PublishedModel) -> None:
    assert imported.model.architecture == {"name": "ddcolor_tiny", "options": {}}
    assert (imported.model.working_size, imported.model.stride, imported.tensors) == (512, 32, 440)
    record = imported.record()
    assert "Apache-2.0" in record["license"]
    assert "ImageNet" in record["data"]


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_of_both_sizes_are_converted(name: str) -> None:
    """On the meta device, where nothing is computed; `load_state_dict` is strict."""
    from colorize_core.published import ddcolor

    published = {key: torch.empty(shape, device="meta") for key, shape in reference.shapes(name).items()}
    constants = {"mean": torch.tensor([0.485, 0.456, 0.406]), "std": torch.tensor([0.229, 0.224, 0.225])}
    published |= {key: value.view(1, 3, 1, 1) for key, value in constants.items()}
    converted = ddcolor.FAMILY.convert(published, "memory")
    assert ddcolor.FAMILY.recognize(published)
    assert converted.model == name
    check_model(name).load_state_dict(converted.state, assign=True)


def test_another_normalization_is_refused(state: dict[str, Tensor]) -> None:
    from colorize_core.published import ddcolor

    with pytest.raises(UserError, match=r"memory: mean is \[0\.5, 0\.5, 0\.5\]"):
        ddcolor.FAMILY.convert({**state, "mean": torch.full((1, 3, 1, 1), 0.5)}, "memory")


def test_misfits_are_named_as_published(state: dict[str, Tensor]) -> None:
    from colorize_core.published import ddcolor

    published = {**state, "refine_net.0.0.weight_v": torch.zeros(259)}  # of 256 queries, the default of the class
    del published["decoder.color_decoder.level_embed.weight"]
    with pytest.raises(UserError) as caught:
        ddcolor.FAMILY.convert(published, "memory")
    assert "level_embed.weight: missing in the file, 3x256 in the model" in str(caught.value)
    assert "refine_net.0.0.weight_v: 259 in the file, 103 in the model" in str(caught.value)


# The parts


def small(**options: object) -> ColorModel:
    torch.manual_seed(0)
    return build_model("ddcolor_tiny", **(SMALL | options))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_short_cut_of_the_head_is_exact(layout: torch.memory_format) -> None:
    network = small().eval().to(memory_format=layout).network
    captured: dict[str, Tensor] = {}
    network.encoder.register_forward_hook(lambda _module, inputs, _output: captured.update(rgb=inputs[0]))
    network.color_decoder.register_forward_hook(lambda _module, _inputs, output: captured.update(vectors=output))
    network.pixel_decoder.register_forward_hook(lambda _module, _inputs, output: captured.update(quarter=output[0][-1]))
    with torch.inference_mode():
        ab = denormalize_ab(network(normalize_L(lightness(64, 96)).to(memory_format=layout)))
        shuffled = F.pixel_shuffle(network.pixel_decoder.last(captured["quarter"]).relu(), 4)
        features = F.avg_pool2d(F.pad(shuffled, (1, 0, 1, 0), mode="replicate"), 2, stride=1)
        maps = torch.einsum("bqc,bchw->bqhw", captured["vectors"], features)
        plain = network.head(torch.cat((maps, captured["rgb"]), dim=1))
    assert features.shape == (2, 16, 64, 96)
    assert (ab - plain).abs().max() < 1e-5 * plain.abs().max()


@pytest.mark.long
@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_it_is_exported_for_any_batch_and_size(ending: str, tmp_path: Path) -> None:
    assert export_model(small().eval(), tmp_path / f"model.{ending}", {}) <= TOLERANCE


def test_colors_are_limited_to_128() -> None:
    model = small().eval()
    with torch.no_grad():
        model.network.head.bias.copy_(torch.tensor([1000.0, -1000.0]))
        ab = denormalize_ab(model(normalize_L(lightness(32, 32))))
    torch.testing.assert_close(ab[:, 0], torch.full((2, 32, 32), 128.0))
    torch.testing.assert_close(ab[:, 1], torch.full((2, 32, 32), -128.0))


def test_positions_are_those_of_detr() -> None:
    encoded = position_encoding(torch.zeros(1, reference.DIM, 3, 5)).flatten(1).T
    torch.testing.assert_close(encoded, reference.positions(3, 5))


def test_spectral_norm_is_on_the_eight_convolutions_of_the_published_network() -> None:
    model = small(spectral_norm=True)
    normed = {key.split(".parametrizations")[0] for key in model.state_dict() if ".parametrizations." in key}
    blocks = {f"network.pixel_decoder.blocks.{number}" for number in range(3)}
    expected = {f"{block}.{part}" for block in blocks for part in ("conv", "up.conv")}
    assert normed == expected | {"network.pixel_decoder.last", "network.head"}
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in small().parameters())


# The encoder's initial weights


@pytest.fixture(scope="module")
def torchvision_encoder() -> nn.Module:
    """A small ConvNeXt of torchvision with random weights, in which every block matters."""
    torch.manual_seed(0)
    widths, depths = SMALL["widths"], SMALL["depths"]
    settings = [
        CNBlockConfig(width, below, depth)
        for width, below, depth in zip(widths, [*widths[1:], None], depths, strict=True)
    ]
    network = TorchvisionConvNeXt(settings, layer_scale=0.5).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.1, 0.2)
    return network


def meta_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of Meta's repository, with its classifier."""
    named = {}
    for key, value in state.items():
        _, number, rest = key.split(".", 2) if key.startswith("features") else ("", "0", "")
        if not rest:
            named[key.replace("classifier.0", "norm").replace("classifier.2", "head")] = value
            continue
        part = "stages" if int(number) % 2 else "downsample_layers"
        for old, new in (
            ("block.0", "dwconv"),
            ("block.2", "norm"),
            ("block.3", "pwconv1"),
            ("block.5", "pwconv2"),
            ("layer_scale", "gamma"),
        ):
            rest = rest.replace(old, new)
        named[f"{part}.{int(number) // 2}.{rest}"] = value.flatten() if rest.endswith("gamma") else value
    return named


@pytest.mark.parametrize("form", ["torchvision", "Meta"])
def test_the_encoder_is_torchvisions(form: str, torchvision_encoder: nn.Module, tmp_path: Path) -> None:
    published = torchvision_encoder.state_dict()
    torch.save(published if form == "torchvision" else {"model": meta_names(published)}, tmp_path / "convnext.pth")
    encoder = ConvNeXt(SMALL["widths"], SMALL["depths"])
    encoder.load(str(tmp_path / "convnext.pth"), "convnext_tiny")
    x = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        features, expected = encoder(x), x
        for number, layer in enumerate(torchvision_encoder.features):
            expected = layer(expected)
            if number % 2:
                normed = F.layer_norm(expected.permute(0, 2, 3, 1), expected.shape[1:2], eps=1e-6).permute(0, 3, 1, 2)
                torch.testing.assert_close(features[number // 2], normed, atol=1e-4, rtol=1e-4)


def test_initial_weights_of_another_encoder_are_refused(torchvision_encoder: nn.Module, tmp_path: Path) -> None:
    torch.save(torchvision_encoder.state_dict(), tmp_path / "small.pth")
    with pytest.raises(UserError, match=r"small\.pth: weights of another architecture than convnext_tiny"):
        check_model("ddcolor_tiny", backbone_weights=str(tmp_path / "small.pth"))
