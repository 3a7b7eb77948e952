from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from colorize_core.errors import UserError
from colorize_core.models import build_model
from colorize_core.models.fastai import generator_from_fastai
from colorize_core.models.resnet_unet import PixelShuffleUp, ResNetUNet, SelfAttention


@pytest.fixture(scope="module")
def model() -> ResNetUNet:
    torch.manual_seed(0)
    return build_model("resnet_unet").eval()


def lightness(*size: int) -> torch.Tensor:
    return torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_it_has_the_published_number_of_parameters(model: ResNetUNet) -> None:
    """The network that fastai 2.4 builds has 31,099,672."""
    assert count(model) == 31_099_672


def test_it_has_the_decoder_channels_of_fastai(model: ResNetUNet) -> None:
    channels: list[int] = []
    blocks = (model.block1, model.block2, model.block3, model.block4, model.cross)
    hooks = [block.register_forward_hook(lambda _m, _i, output: channels.append(output.shape[1])) for block in blocks]
    model(lightness(64, 64))
    for hook in hooks:
        hook.remove()
    assert channels == [512, 384, 256, 96, 97]


def test_it_is_not_bounded(model: ResNetUNet) -> None:
    bias = model.to_ab.bias.detach().clone()
    with torch.no_grad():
        model.to_ab.bias.fill_(3)
        assert model(lightness(32, 32)).mean() > 1.5
        model.to_ab.bias.copy_(bias)


def test_it_upsamples_as_nearest_neighbor_at_first(model: ResNetUNet) -> None:
    """ICNR: every 2x2 pixels that pixel shuffle makes of one are equal, so nothing is checkered."""
    ups = [module for module in model.modules() if isinstance(module, PixelShuffleUp)]
    assert len(ups) == 5
    for up in ups:
        below = torch.randn(1, up[0].in_channels, 3, 5)
        above = up(below)
        assert above.shape[-2:] == (6, 10)
        assert above.any()
        torch.testing.assert_close(above, F.interpolate(above[..., ::2, ::2], scale_factor=2, mode="nearest"))


# Options


def test_blur_averages_four_pixels() -> None:
    """By hand: each pixel with those above and left of it, the border repeated."""
    torch.manual_seed(0)
    up = PixelShuffleUp(8, 4, blur=True)
    nn.init.normal_(up[0].weight)
    below = torch.randn(1, 8, 3, 5)
    sharp = F.pixel_shuffle(F.relu(up[0](below)), 2)
    padded = torch.cat((sharp[:, :, :1], sharp), dim=2)
    padded = torch.cat((padded[..., :1], padded), dim=3)
    expected = (padded[:, :, 1:, 1:] + padded[:, :, 1:, :-1] + padded[:, :, :-1, 1:] + padded[:, :, :-1, :-1]) / 4
    torch.testing.assert_close(up(below), expected)


def test_blur_is_in_every_block_but_not_at_full_size() -> None:
    model = build_model("resnet_unet", blur=True)
    blurred = [name for name, module in model.named_modules() if isinstance(module, nn.AvgPool2d)]
    assert blurred == [f"block{number}.up.4" for number in (1, 2, 3, 4)]


def test_attention_is_the_sum_over_pixels_of_its_definition() -> None:
    """Each output pixel j is x_j + gamma * sum_i value_i softmax_i(query_i . key_j), as fastai has it."""
    torch.manual_seed(0)
    attention = SelfAttention(16).eval().double()
    nn.init.constant_(attention.gamma, 0.7)
    x = torch.randn(1, 16, 2, 3, dtype=torch.float64)
    pixels = x[0].flatten(1).T
    query, key, value = (pixels @ p.weight[..., 0].T for p in (attention.query, attention.key, attention.value))
    expected = torch.empty(6, 16, dtype=torch.float64)
    for j in range(6):
        share = torch.exp(query @ key[j])
        expected[j] = pixels[j] + 0.7 * (share / share.sum()) @ value
    torch.testing.assert_close(attention(x)[0].flatten(1).T, expected)


def test_attention_starts_as_the_identity() -> None:
    x = torch.randn(1, 16, 4, 4)
    assert torch.equal(SelfAttention(16)(x), x)


def test_attention_is_at_an_eighth_of_the_side_and_adds_its_parameters(model: ResNetUNet) -> None:
    """fastai 2.4 with self_attention=True: 31,283,993. Two projections of 384x48, one of 384x384, and gamma."""
    attending = build_model("resnet_unet", self_attention=True)
    assert count(attending) - count(model) == 2 * 384 * 48 + 384 * 384 + 1
    sides: list[int] = []
    (attention,) = (module for module in attending.modules() if isinstance(module, SelfAttention))
    attention.register_forward_hook(lambda _module, _inputs, output: sides.append(output.shape[-1]))
    attending(lightness(64, 64))
    assert sides == [8]


def test_spectral_norm_is_on_every_convolution_of_the_decoder_and_on_no_other() -> None:
    model = build_model("resnet_unet", spectral_norm=True)
    convolutions = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    normed = {name for name, module in convolutions.items() if hasattr(module, "parametrizations")}
    assert normed == {name for name in convolutions if not name.startswith("body.")}
    for name in normed:  # estimated by fifteen power iterations when it is built
        weight = convolutions[name].weight.flatten(1)
        assert torch.linalg.eigvalsh(weight @ weight.T)[-1].sqrt().item() == pytest.approx(1, abs=0.15), name


@pytest.mark.parametrize("option", ["self_attention", "spectral_norm", "blur"])
def test_a_checkpoint_carries_the_option(option: str) -> None:
    model = build_model("resnet_unet", **{option: True})
    assert model.architecture == {"name": "resnet_unet", "options": {option: True}}
    again = build_model(model.architecture["name"], **model.architecture["options"])
    again.load_state_dict(model.state_dict())
    with torch.inference_mode():
        assert torch.equal(again.eval()(lightness(32, 64)), model.eval()(lightness(32, 64)))


# The published tutorial's weights


def fastai_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes in the state dict of fastai 2.4's DynamicUnet over create_body(resnet18, n_in=1, cut=-2)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for position, (_, child) in enumerate(list(resnet18(weights=None).named_children())[:-2]):
        shapes |= {f"layers.0.{position}.{key}": tuple(value.shape) for key, value in child.state_dict().items()}
    shapes["layers.0.0.weight"] = (64, 1, 7, 7)

    def conv(name: str, outputs: int, inputs: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        shapes[f"{name}.bias"] = (outputs,)

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("layers.1", 512)
    conv("layers.3.0.0", 1024, 512, 3)
    conv("layers.3.1.0", 512, 1024, 3)
    for layer, below, skip, outputs in ((4, 512, 256, 512), (5, 512, 128, 384), (6, 384, 64, 256), (7, 256, 64, 96)):
        conv(f"layers.{layer}.shuf.0.0", below * 2, below, 1)
        norm(f"layers.{layer}.bn", skip)
        conv(f"layers.{layer}.conv1.0", outputs, below // 2 + skip, 3)
        conv(f"layers.{layer}.conv2.0", outputs, outputs, 3)
    conv("layers.8.0.0", 384, 96, 1)
    conv("layers.11.convpath.0.0", 97, 97, 3)
    conv("layers.11.convpath.1.0", 97, 97, 3)
    conv("layers.12.0", 2, 97, 1)
    return shapes


@pytest.fixture(scope="module")
def fastai_state() -> dict[str, torch.Tensor]:
    """Every tensor full of a number of its own."""
    return {key: torch.full(shape, float(number)) for number, (key, shape) in enumerate(fastai_shapes().items())}


@pytest.fixture
def fastai_file(fastai_state: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    torch.save(fastai_state, tmp_path / "generator.pt")
    return tmp_path / "generator.pt"


SAME_TENSORS = {
    "layers.0.0.weight": "body.conv1.weight",
    "layers.0.1.running_var": "body.bn1.running_var",
    "layers.0.4.1.conv2.weight": "body.layer1.1.conv2.weight",
    "layers.0.7.0.downsample.0.weight": "body.layer4.0.downsample.0.weight",
    "layers.1.running_mean": "norm.running_mean",
    "layers.3.0.0.weight": "middle.0.0.weight",
    "layers.3.1.0.bias": "middle.1.0.bias",
    "layers.4.shuf.0.0.weight": "block1.up.0.weight",
    "layers.5.bn.num_batches_tracked": "block2.norm.num_batches_tracked",
    "layers.6.conv1.0.weight": "block3.conv1.0.weight",
    "layers.7.conv2.0.bias": "block4.conv2.0.bias",
    "layers.8.0.0.bias": "up.0.bias",
    "layers.11.convpath.0.0.weight": "cross.conv1.0.weight",
    "layers.11.convpath.1.0.weight": "cross.conv2.weight",
    "layers.12.0.weight": "to_ab.weight",
}


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        build_model("resnet_unet", weights=str(path), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_of_fastai_are_mapped_to_their_layers(fastai_file: Path, fastai_state: dict[str, torch.Tensor]) -> None:
    """A network built by fastai 2.4 gave, through this map, the same colors bit for bit when this was written."""
    own = build_model("resnet_unet", weights=str(fastai_file)).state_dict()
    for theirs, ours in SAME_TENSORS.items():
        assert torch.equal(own[ours].float(), fastai_state[theirs]), theirs


def test_every_tensor_of_fastai_is_used_once(fastai_state: dict[str, torch.Tensor], model: ResNetUNet) -> None:
    renamed = generator_from_fastai(fastai_state, "memory")
    assert renamed.keys() == model.state_dict().keys()
    assert sorted(value.flatten()[0].item() for value in renamed.values()) == list(range(len(fastai_state)))


def test_the_generator_is_taken_out_of_the_tutorials_main_model(fastai_state: dict[str, torch.Tensor]) -> None:
    main = {f"net_G.{key}": value for key, value in fastai_state.items()}
    main |= {"net_D.model.0.0.weight": torch.zeros(64, 3, 4, 4), "GANcriterion.real_label": torch.tensor(1.0)}
    alone = generator_from_fastai(fastai_state, "memory")
    assert generator_from_fastai(main, "memory") == alone  # the tensors themselves


def test_the_source_of_weights_is_not_part_of_the_architecture(fastai_file: Path) -> None:
    assert build_model("resnet_unet", weights=str(fastai_file)).architecture["options"] == {}


def test_an_unknown_name_in_fastai_weights_is_refused(fastai_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(fastai_state | {"layers.13.0.weight": torch.zeros(1)}, tmp_path / "more.pt")
    assert refusal(tmp_path / "more.pt") == (
        f"{tmp_path}/more.pt: not fastai's DynamicUnet over ResNet-18 (it has a layers.13.0.weight)"
    )


def test_a_missing_tensor_is_refused(fastai_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    less = {key: value for key, value in fastai_state.items() if key != "layers.12.0.bias"}
    torch.save(less, tmp_path / "less.pt")
    assert "less.pt" in refusal(tmp_path / "less.pt")
    assert "to_ab.bias: missing in the file" in refusal(tmp_path / "less.pt")


def test_a_larger_backbone_is_refused(fastai_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(fastai_state | {"layers.0.4.2.conv1.weight": torch.zeros(64, 64, 3, 3)}, tmp_path / "resnet34.pt")
    assert "body.layer1.2.conv1.weight" in refusal(tmp_path / "resnet34.pt")


def test_only_one_kind_of_weights_can_be_given(fastai_file: Path) -> None:
    message = refusal(fastai_file, backbone_weights="imagenet")
    assert message == "model 'resnet_unet': give weights or backbone_weights, not both"
