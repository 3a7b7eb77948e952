import pytest
import torch
import torch.nn.functional as F
from torch import nn

from colorize_core.errors import UserError
from colorize_core.models import build_model
from colorize_core.models.pix2pix_unet import Pix2PixUNet

# Of unet-gan's generator, by layer, as Keras prints them (model_description.ipynb): its BatchNorm counts four numbers
# per channel, two of which are running statistics.
KERAS_DOWNS = [1_024, 131_584, 525_312, 2_099_200, 4_196_352, 4_196_352, 4_196_352]
KERAS_UPS = [4_196_352, 8_390_656, 8_390_656, 4_195_328, 1_049_088, 262_400]
KERAS_LAST = 4_098
KERAS_TRAINED, KERAS_TOTAL = 41_825_922, 41_834_754


def numbers(network: nn.Module) -> int:
    """Parameters and running statistics."""
    return sum(value.numel() for key, value in network.state_dict().items() if "num_batches" not in key)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def small(**options: object) -> Pix2PixUNet:
    torch.manual_seed(0)
    return build_model("pix2pix_unet", **{"levels": 5, "width": 8, **options})


def lightness(*size: int, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 1, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def settled(model: Pix2PixUNet) -> Pix2PixUNet:
    """In evaluation mode, with statistics and scales as after training."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, 0, 0.3)
            module.running_mean.normal_(0, 0.01)
            module.running_var.uniform_(0.001, 0.01)
    return model.eval()


def test_eight_levels_have_the_published_number_of_parameters() -> None:
    assert round(parameters(build_model("pix2pix_unet")) / 1e6, 2) == 54.41


def test_the_keras_variant_has_the_parameters_of_unet_gan_layer_by_layer() -> None:
    model = build_model("pix2pix_unet", levels=7, variant="keras")
    assert [numbers(down) for down in model.downs] == KERAS_DOWNS
    assert [numbers(up) for up in model.ups] == KERAS_UPS
    assert numbers(model.to_ab) == KERAS_LAST
    assert (parameters(model), numbers(model)) == (KERAS_TRAINED, KERAS_TOTAL)


def nested(model: Pix2PixUNet, x: torch.Tensor, level: int) -> torch.Tensor:
    """UnetSkipConnectionBlock of pytorch-CycleGAN-and-pix2pix from the second on, in evaluation mode.

    Its first LeakyReLU works in place, so what is joined to the result has been through it.
    """
    x = F.leaky_relu(x, 0.2)
    inside = model.downs[level](x)
    if level < len(model.downs) - 1:
        inside = nested(model, inside, level + 1)
    return torch.cat((x, model.ups[len(model.downs) - 1 - level](F.relu(inside))), dim=1)


def test_it_is_the_nested_generator_of_pix2pix() -> None:
    model, L = settled(small()), lightness(64, 96, batch=2)
    with torch.inference_mode():
        expected = torch.tanh(model.to_ab(F.relu(nested(model, model.downs[0](L), 1))))
        torch.testing.assert_close(model(L), expected)


def test_the_keras_variant_is_the_generator_of_unet_gan() -> None:
    """Each layer activates what it puts out, and skips take it as it is.

    Keras joins the halves the other way round, which is only another order of the next layer's weights.
    """
    model, L = settled(small(variant="keras")), lightness(64, 96, batch=2)
    with torch.inference_mode():
        x, skips = L, []
        for down in model.downs:
            x = F.leaky_relu(down(x), 0.3)
            skips.append(x)
        for up, skip in zip(model.ups, reversed(skips[:-1]), strict=True):
            x = torch.cat((skip, F.relu(up(x))), dim=1)
        torch.testing.assert_close(model(L), torch.tanh(model.to_ab(x)))


@pytest.mark.parametrize(
    ("levels", "variant", "dropped"),
    [(8, "pix2pix", [1, 2, 3]), (7, "pix2pix", [1, 2]), (5, "pix2pix", []), (7, "keras", [0, 1, 2])],
)
def test_dropout_is_where_the_source_has_it(levels: int, variant: str, dropped: list[int]) -> None:
    """pix2pix: in the blocks of 512 channels between the innermost and the narrower ones; unet-gan: the first three."""
    model = small(levels=levels, variant=variant, dropout=0.25)
    shares = {number: up[2].p for number, up in enumerate(model.ups) if len(up) == 3}
    assert shares == dict.fromkeys(dropped, 0.25)


@pytest.mark.parametrize("variant", ["pix2pix", "keras"])
def test_only_the_outermost_and_pix2pixs_innermost_convolution_have_no_norm(variant: str) -> None:
    lengths = [len(down) for down in small(variant=variant).downs]
    assert lengths == [1, 2, 2, 2, 1 if variant == "pix2pix" else 2]


def test_keras_norms_have_keras_settings() -> None:
    norms = [module for module in small(variant="keras").modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    assert all((norm.weight == 1).all() for norm in norms)


def test_it_starts_with_the_deviation_of_pix2pix() -> None:
    model = small(width=32)
    weights = torch.cat([m.weight.flatten() for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert not model.to_ab.bias.any()


def test_other_sizes_are_padded_by_their_border() -> None:
    model, L = settled(small(levels=6)), lightness(32, 96)
    padded = torch.cat((L, L[..., -1:].expand(1, 1, 32, 32)), dim=3)
    padded = torch.cat((padded, padded[:, :, -1:].expand(1, 1, 32, 128)), dim=2)
    with torch.inference_mode():
        assert torch.equal(model(L), model(padded)[..., :32, :96])


@pytest.mark.parametrize("levels", [5, 6, 7, 8])
@pytest.mark.parametrize("variant", ["pix2pix", "keras"])
def test_one_image_of_one_bottleneck_pixel_can_be_trained_on(levels: int, variant: str) -> None:
    """A plain BatchNorm refuses a single value per channel."""
    model, side = small(levels=levels, variant=variant), 2**levels
    ab = model.train()(lightness(side, side))
    assert ab.shape == (1, 2, side, side)
    ab.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_norm_of_a_single_value_takes_running_statistics() -> None:
    model = small(variant="keras")
    norm = model.downs[-1][1]
    norm.running_mean.fill_(2)
    norm.running_var.fill_(9)
    value = torch.full((1, norm.num_features, 1, 1), 5.0)
    torch.testing.assert_close(norm.train()(value), torch.ones_like(value), atol=1e-3, rtol=0)
    assert (norm.running_mean == 2).all()


def test_dropout_is_drawn_in_training_only() -> None:
    model, L = small(levels=6), lightness(64, 64, batch=2)
    with torch.no_grad():
        assert not torch.equal(model.train()(L), model(L))
        assert torch.equal(model.eval()(L), model(L))


def test_colors_are_bounded() -> None:
    model = settled(small())
    with torch.inference_mode():
        model.to_ab.bias.fill_(100)
        assert model(lightness(32, 32)).max() == 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"levels": 4}, "levels = 4: it should be greater than or equal to 5"),
        ({"levels": "8"}, "levels = '8': it should be a valid integer"),
        ({"dropout": 1.0}, "dropout = 1.0: it should be less than 1"),
        ({"variant": "tf"}, "variant = 'tf': it should be 'pix2pix' or 'keras'"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, object], line: str) -> None:
    with pytest.raises(UserError) as caught:
        build_model("pix2pix_unet", **options)
    assert str(caught.value) == f"model 'pix2pix_unet': {line}"
