from itertools import product

import pytest
import torch
from torch import nn

from colorize_core.discriminators.patchgan import PatchGAN
from colorize_core.errors import UserError
from colorize_core.training.gan_losses import r1_penalty

FIELDS = {0: 1, 1: 16, 2: 34, 3: 70, 4: 142, 5: 286}
NORMS = ("batch", "instance", "spectral", "none")


@pytest.fixture
def discriminator() -> PatchGAN:
    torch.manual_seed(0)
    return PatchGAN()


def random_lab(side: int, batch: int = 1, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    both = torch.rand((batch, 3, side, side), generator=generator, dtype=dtype) * 2 - 1
    return both[:, :1].clone(), both[:, 1:].clone()


def seen_side(discriminator: PatchGAN, side: int) -> tuple[int, int]:
    """Where the gradient of the central logit is not zero; evaluation mode, since batch statistics see everything."""
    L, ab = random_lab(side, dtype=torch.float64)
    logits = discriminator.eval().double()(L.requires_grad_(), ab.requires_grad_())
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert L.grad is not None
    assert ab.grad is not None
    ys, xs = (L.grad[0, 0].abs() + ab.grad[0].abs().sum(0)).nonzero(as_tuple=True)
    return int(ys.max() - ys.min()) + 1, int(xs.max() - xs.min()) + 1


def test_it_has_the_published_number_of_parameters(discriminator: PatchGAN) -> None:
    """pix2pix: 2.77 M. the paper unet-gan's summary says 2,765,569 for the same layers without a bias in the first."""
    count = sum(p.numel() for p in discriminator.parameters())
    assert round(count / 1e6, 2) == 2.77
    assert count - 64 == 2_765_569


def test_it_gives_30_by_30_logits_at_256_pixels(discriminator: PatchGAN) -> None:
    assert discriminator(*random_lab(256)).shape == (1, 1, 30, 30)


def test_it_gives_14_by_14_logits_at_128_pixels_as_in_unet_gan(discriminator: PatchGAN) -> None:
    assert discriminator(*random_lab(128)).shape == (1, 1, 14, 14)


@pytest.mark.parametrize(("layers", "field"), list(FIELDS.items()))
def test_the_receptive_field_of_a_logit_is_the_published_one(layers: int, field: int) -> None:
    """Isola et al. 2017, appendix 6.1.2: 1x1, 16x16, 70x70, 286x286; 34 and 142 lie between."""
    torch.manual_seed(0)
    assert seen_side(PatchGAN(layers, width=4), field + 130) == (field, field)


def test_the_receptive_field_covers_lightness_and_color(discriminator: PatchGAN) -> None:
    discriminator.eval().double()
    L, ab = random_lab(128, dtype=torch.float64)
    discriminator(L.requires_grad_(), ab.requires_grad_())[0, 0, 7, 7].backward()
    for seen in (L.grad, ab.grad):
        assert seen is not None
        ys, xs = seen[0].abs().sum(dim=0).nonzero(as_tuple=True)
        assert (ys.max() - ys.min() + 1, xs.max() - xs.min() + 1) == (70, 70)


def test_zero_layers_classify_each_pixel_by_itself() -> None:
    discriminator, (L, ab) = PatchGAN(layers=0).eval(), random_lab(8)
    before = discriminator(L, ab)
    ab[0, 0, 3, 5] += 1
    assert (discriminator(L, ab) != before)[0, 0].nonzero().tolist() == [[3, 5]]


def test_it_starts_with_the_deviation_of_pix2pix(discriminator: PatchGAN) -> None:
    weights = torch.cat(
        [module.weight.flatten() for module in discriminator.modules() if isinstance(module, nn.Conv2d)]
    )
    assert weights.mean().item() == pytest.approx(0, abs=1e-4)  # five standard errors of 2.8 M draws are 6e-5
    assert weights.std().item() == pytest.approx(0.02, rel=0.005)


def test_it_starts_with_norms_around_one(discriminator: PatchGAN) -> None:
    norms = [module for module in discriminator.modules() if isinstance(module, nn.BatchNorm2d)]
    scales = torch.cat([norm.weight for norm in norms])
    assert scales.mean().item() == pytest.approx(1, abs=0.004)  # five standard errors of 896 draws
    assert scales.std().item() == pytest.approx(0.02, rel=0.15)
    assert not any(norm.bias.any() for norm in norms)


@pytest.mark.parametrize(("norm", "mixed"), [(norm, norm == "batch") for norm in NORMS])
def test_only_batchnorm_mixes_images(norm: str, mixed: bool) -> None:
    """A gradient penalty relies on it (`gan_losses.squared_gradients`)."""
    torch.manual_seed(0)
    discriminator, (L, ab) = PatchGAN(layers=2, width=8, norm=norm), random_lab(32, batch=2)
    discriminator(L, ab)  # spectral norm's first estimates
    discriminator.train(norm == "batch")
    before = discriminator(L, ab)[0]
    ab[1] = -ab[1]
    assert bool((discriminator(L, ab)[0] - before).abs().max() > 1e-6) == mixed


def test_instance_norm_removes_the_contrast_of_an_image() -> None:
    """The variance of what each norm puts out is 1 per image and channel."""
    discriminator, outputs = PatchGAN(layers=2, width=8, norm="instance"), []
    for module in discriminator.net:
        if isinstance(module, nn.InstanceNorm2d):
            module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output.clone()))
    discriminator(*random_lab(64, batch=2))
    assert len(outputs) == 2
    for output in outputs:
        variance = output.var(dim=(2, 3), unbiased=False)
        torch.testing.assert_close(variance, torch.ones_like(variance), atol=0.1, rtol=0)  # epsilon of weak channels


def test_spectral_norm_makes_the_largest_singular_value_of_every_convolution_one() -> None:
    torch.manual_seed(0)
    discriminator = PatchGAN(layers=2, width=8, norm="spectral")
    for _ in range(50):  # a power iteration each
        discriminator(*random_lab(32))
    convolutions = [module for module in discriminator.net if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 4
    for convolution in convolutions:
        assert torch.linalg.matrix_norm(convolution.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.01)


def test_no_norm_is_no_norm() -> None:
    kinds = {type(module) for module in PatchGAN(norm="none").net}
    assert kinds == {nn.Conv2d, nn.LeakyReLU}


@pytest.mark.parametrize(("layers", "norm"), list(product((0, 2), NORMS)))
def test_every_parameter_matters(layers: int, norm: str) -> None:
    torch.manual_seed(0)
    discriminator = PatchGAN(layers, width=8, norm=norm)
    discriminator(*random_lab(32, batch=2)).square().mean().backward()
    assert [key for key, p in discriminator.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("norm", NORMS[1:])
def test_a_gradient_penalty_can_be_trained(norm: str) -> None:
    torch.manual_seed(0)
    discriminator, (L, ab) = PatchGAN(layers=2, width=8, norm=norm), random_lab(32, batch=2)
    r1_penalty(discriminator(L, ab.requires_grad_()), ab).backward()
    gradients = [p.grad for p in discriminator.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize(("layers", "norm"), list(product((1, 5), NORMS)))
def test_the_smallest_side_can_be_trained_on(layers: int, norm: str) -> None:
    discriminator = PatchGAN(layers, width=4, norm=norm)
    logits = discriminator(*random_lab(discriminator.smallest_side, batch=2))
    assert logits.shape == (2, 1, 1, 1)
    assert logits.isfinite().all()


def test_smaller_images_are_refused() -> None:
    with pytest.raises(UserError) as caught:
        PatchGAN(layers=5, width=4)(*random_lab(64))
    assert str(caught.value) == (
        "discriminator.layers: images of 64x64 are too small, the side must be 96 or more; use fewer layers"
    )
