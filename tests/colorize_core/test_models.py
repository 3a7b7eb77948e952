import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from colorize_core.errors import UserError
from colorize_core.models import build_model, model_names
from colorize_core.models.base import ColorModel
from colorize_core.models.patchgan import PatchGAN
from colorize_core.models.resnet_unet import PixelShuffleUp

every_model = pytest.mark.parametrize("name", model_names())
SIZES = [(32, 32), (64, 96), (96, 32), (32, 160)]


def build(name: str) -> ColorModel:
    torch.manual_seed(0)
    return build_model(name)


def lightness(*size: int, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 1, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


# The contract of every architecture


@every_model
def test_chroma_has_the_size_of_the_lightness(name: str) -> None:
    model = build(name).eval()
    with torch.inference_mode():
        assert [tuple(model(lightness(*size)).shape) for size in SIZES] == [(2, 2, *size) for size in SIZES]


@every_model
def test_chroma_is_float32_and_finite(name: str) -> None:
    ab = build(name).eval()(lightness(64, 64))
    assert ab.dtype == torch.float32
    assert ab.isfinite().all()


@every_model
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    model = build(name)
    model(lightness(64, 64)).square().mean().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


@every_model
def test_every_parameter_matters(name: str) -> None:
    """No weight is left out of the result: its gradient is not all zero."""
    model = build(name)
    model(lightness(64, 64)).square().mean().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_model
def test_evaluation_is_deterministic(name: str) -> None:
    model, L = build(name).eval(), lightness(64, 64)
    with torch.inference_mode():
        assert torch.equal(model(L), model(L))


@every_model
def test_evaluation_treats_every_photograph_for_itself(name: str) -> None:
    model, L = build(name).eval(), lightness(64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model(L)[:1], model(L[:1]), atol=1e-5, rtol=1e-4)  # float32, other blocking


@every_model
def test_the_answer_depends_on_the_lightness(name: str) -> None:
    model = build(name).eval()
    with torch.inference_mode():
        assert not torch.allclose(model(lightness(64, 64)), model(-lightness(64, 64)))


@every_model
def test_the_input_is_not_written_to(name: str) -> None:
    L = lightness(32, 32)
    build(name).eval()(L)
    assert torch.equal(L, lightness(32, 32))


@every_model
def test_equal_seeds_are_equal_networks(name: str) -> None:
    one, other = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


@every_model
def test_architecture_rebuilds_the_network(name: str) -> None:
    model = build(name)
    again = build_model(model.architecture["name"], **model.architecture["options"])
    shapes = [{key: value.shape for key, value in m.state_dict().items()} for m in (model, again)]
    assert type(again) is type(model)
    assert shapes[0] == shapes[1]


@every_model
def test_state_survives_a_round_trip(name: str) -> None:
    model, other = build(name).eval(), build_model(name).eval()
    sink = io.BytesIO()
    torch.save(model.state_dict(), sink)
    sink.seek(0)
    other.load_state_dict(torch.load(sink, weights_only=True))
    with torch.inference_mode():
        assert torch.equal(model(lightness(32, 64)), other(lightness(32, 64)))


@every_model
def test_a_network_learns(name: str) -> None:
    """Ten steps on one batch halve its error, at the least."""
    model, L = build(name), lightness(32, 32)
    truth = torch.cat((L, -L), dim=1) / 2
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    errors = []
    for _ in range(11):
        loss = F.mse_loss(model(L), truth)
        errors.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert errors[-1] < errors[0] / 2


# Building


def test_names_are_sorted_and_unique() -> None:
    assert model_names() == sorted(set(model_names()))


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


def test_an_unknown_name_gets_the_nearest_one() -> None:
    assert message("resnet-unet") == "model 'resnet-unet' is unknown; did you mean 'resnet_unet'?"


def test_a_name_near_to_none_gets_all() -> None:
    assert all(name in message("zzz") for name in model_names())


def test_an_unknown_option_gets_the_nearest_one() -> None:
    assert (
        message("encoder_decoder", latnt=3) == "model 'encoder_decoder' has no option 'latnt'; did you mean 'latent'?"
    )


def test_an_option_near_to_none_gets_all() -> None:
    assert all(option in message("encoder_decoder", zzz=3) for option in ("widths", "latent"))


def test_self_is_no_option() -> None:
    assert "'self'" in message("encoder_decoder", **{"self": 3})


# resnet_unet


def test_resnet_unet_has_the_published_number_of_parameters() -> None:
    assert round(sum(p.numel() for p in build("resnet_unet").parameters()) / 1e6, 2) == 31.10


def test_resnet_unet_has_the_decoder_channels_of_fastai() -> None:
    model = build("resnet_unet").eval()
    channels: list[int] = []
    for block in (model.block1, model.block2, model.block3, model.block4, model.cross):
        block.register_forward_hook(lambda _module, _inputs, output: channels.append(output.shape[1]))
    model(lightness(64, 64))
    assert channels == [512, 384, 256, 96, 97]


def test_resnet_unet_is_not_bounded() -> None:
    model = build("resnet_unet").eval()
    with torch.no_grad():
        model.to_ab.bias.fill_(3)
        assert model(lightness(32, 32)).mean() > 1.5


def test_resnet_unet_upsamples_as_nearest_neighbour_at_first() -> None:
    """ICNR: every 2x2 pixels that pixel shuffle makes of one are equal, so nothing is checkered."""
    ups = [module for module in build("resnet_unet").modules() if isinstance(module, PixelShuffleUp)]
    assert len(ups) == 5
    for up in ups:
        below = torch.randn(1, up[0].in_channels, 3, 5)
        above = up(below)
        assert above.shape[-2:] == (6, 10)
        assert above.any()
        torch.testing.assert_close(above, F.interpolate(above[..., ::2, ::2], scale_factor=2, mode="nearest"))


# PatchGAN


@pytest.fixture
def judge() -> PatchGAN:
    torch.manual_seed(0)
    return PatchGAN()


def test_patchgan_has_the_published_number_of_parameters(judge: PatchGAN) -> None:
    assert round(sum(p.numel() for p in judge.parameters()) / 1e6, 2) == 2.77


def test_patchgan_gives_30_by_30_logits_at_256_pixels(judge: PatchGAN) -> None:
    assert judge(torch.zeros(1, 1, 256, 256), torch.zeros(1, 2, 256, 256)).shape == (1, 1, 30, 30)


def test_a_logit_of_patchgan_sees_70_by_70_pixels(judge: PatchGAN) -> None:
    """Where the gradient of one logit is not zero; evaluation mode, since batch statistics see everything."""
    judge.eval().double()
    generator = torch.Generator().manual_seed(0)
    L = torch.rand(1, 1, 256, 256, generator=generator).double().requires_grad_()
    ab = torch.rand(1, 2, 256, 256, generator=generator).double().requires_grad_()
    judge(L, ab)[0, 0, 15, 15].backward()
    for seen in (L.grad, ab.grad):
        assert seen is not None
        ys, xs = seen[0].abs().sum(dim=0).nonzero(as_tuple=True)
        assert (ys.max() - ys.min() + 1, xs.max() - xs.min() + 1) == (70, 70)


def test_a_pixel_outside_its_patch_does_not_change_a_logit(judge: PatchGAN) -> None:
    judge.eval()
    L, ab = torch.zeros(1, 1, 256, 256), torch.zeros(1, 2, 256, 256)
    before = judge(L, ab)
    ab[0, 0, 128, 128] = 1
    changed = (judge(L, ab) != before)[0, 0].nonzero()
    # 70 pixels at a stride of 8 cover a pixel with at most 9 logits each way
    assert 1 < len(changed.unique(dim=0)) <= 81


def test_patchgan_starts_with_the_deviation_of_pix2pix(judge: PatchGAN) -> None:
    weights = torch.cat([module.weight.flatten() for module in judge.modules() if isinstance(module, nn.Conv2d)])
    assert weights.mean().item() == pytest.approx(0, abs=1e-4)  # five standard errors of 2.8 M draws are 6e-5
    assert weights.std().item() == pytest.approx(0.02, rel=0.005)


def test_patchgan_starts_with_norms_around_one(judge: PatchGAN) -> None:
    norms = [module for module in judge.modules() if isinstance(module, nn.BatchNorm2d)]
    scales = torch.cat([norm.weight for norm in norms])
    assert scales.mean().item() == pytest.approx(1, abs=0.004)  # five standard errors of 896 draws
    assert scales.std().item() == pytest.approx(0.02, rel=0.15)
    assert not any(norm.bias.any() for norm in norms)


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_fewer_layers_see_the_smaller_patches_of_the_paper(layers: int, field: int) -> None:
    """Isola et al. 2017, appendix 6.1.2, name 16x16 (one stride-2 layer more than pixels) and 70x70."""
    judge = PatchGAN(layers=layers, width=8).eval().double()
    ab = torch.rand(1, 2, 128, 128).double().requires_grad_()
    logits = judge(torch.rand(1, 1, 128, 128).double(), ab)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert ab.grad is not None
    ys = ab.grad[0].abs().sum(dim=(0, 2)).nonzero()
    assert ys.max() - ys.min() + 1 == field
