import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from colorize_core.color.lab import network_rgb
from colorize_core.discriminators import build_discriminator
from colorize_core.discriminators.patchgan import PatchGAN
from colorize_core.discriminators.rgb import RGBDiscriminator
from colorize_core.errors import UserError
from colorize_core.training.options import DiscriminatorOptions


def random_lab(side: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    both = torch.rand((2, 3, side, side), generator=generator) - 0.5
    return both[:, :1], both[:, 1:] * 0.4


def test_it_gives_169_logits_at_256_pixels() -> None:
    """As the published code, whatever the width."""
    assert RGBDiscriminator(width=8)(*random_lab(256)).shape == (2, 1, 13, 13)


def test_its_parameters_are_those_of_the_published_layers() -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in RGBDiscriminator().parameters())
    strided = sum(16 * i * o + o for i, o in ((3, 64), (64, 128), (128, 256), (256, 512)))
    plain = sum(9 * c * c + c for c in (64, 128, 256, 512))
    attention = 2 * 128 * 16 + 128 * 128 + 1
    assert count == strided + plain + attention + 16 * 512


def test_its_logits_are_those_of_plain_functions() -> None:
    torch.manual_seed(0)
    discriminator = RGBDiscriminator(layers=2, width=8)
    L, ab = random_lab(64)
    discriminator(L, ab)
    discriminator.eval()
    with torch.no_grad():
        attention = discriminator.net[6]
        attention.gamma.fill_(0.7)
        x = network_rgb(L, ab)
        for number, (layer, stride) in enumerate(((0, 2), (2, 1), (4, 2), (7, 1), (9, 2), (11, 1), (13, 1))):
            conv = discriminator.net[layer]
            original = conv.parametrizations.weight.original
            spectral = conv.parametrizations.weight[0]
            weight = original / (spectral._u @ original.flatten(1) @ spectral._v)
            x = F.conv2d(x, weight, conv.bias, stride=stride, padding=0 if number == 6 else 1)
            x = x.relu() if number < 6 else x
            if layer == 4:  # Zhang et al. 2019, equation 2; the shares add up to 1 over i
                pixels = x.flatten(2)
                q, k, v = (
                    torch.einsum("oc,bcn->bon", part.weight[:, :, 0], pixels)
                    for part in (attention.query, attention.key, attention.value)
                )
                shares = torch.softmax(torch.einsum("bci,bcj->bij", q, k), dim=1)
                x = x + 0.7 * torch.einsum("bci,bij->bcj", v, shares).view_as(x)
        torch.testing.assert_close(discriminator(L, ab), x, atol=1e-4, rtol=1e-4)


def test_small_images_are_refused() -> None:
    with pytest.raises(UserError, match="images of 32x32 are too small, the side must be 64 or more"):
        RGBDiscriminator(width=4)(*random_lab(32))
    assert RGBDiscriminator(width=4)(*random_lab(64)).shape == (2, 1, 1, 1)


def test_the_options_select_the_discriminator() -> None:
    rgb = build_discriminator(DiscriminatorOptions.model_validate({"kind": "rgb", "layers": 1}))
    assert isinstance(rgb, RGBDiscriminator)
    assert rgb.smallest_side == 16
    assert isinstance(build_discriminator(DiscriminatorOptions(layers=1)), PatchGAN)


def test_options_without_effect_are_refused() -> None:
    with pytest.raises(ValueError, match="norm has no effect with kind: rgb"):
        DiscriminatorOptions.model_validate({"kind": "rgb", "norm": "instance"})
    assert DiscriminatorOptions.model_validate({"kind": "rgb", "r1": 1.0}).r1 == 1  # its logits depend on one image
