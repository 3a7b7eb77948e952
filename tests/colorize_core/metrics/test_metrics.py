import io
import math
from pathlib import Path
from typing import Any
from urllib.error import URLError

import lpips
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr
from torchvision.models import AlexNet, alexnet
from torchvision.models.vgg import VGG, cfgs, make_layers

from colorize_core import metrics
from colorize_core.errors import UserError
from colorize_core.metrics.perceptual import check_lpips_weights
from colorize_core.runtime import strips

# of the lpips package, which calls torchvision the old way
pytestmark = [
    pytest.mark.filterwarnings("ignore:The parameter 'pretrained' is deprecated"),
    pytest.mark.filterwarnings("ignore:Arguments other than a weight enum"),
]


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    sink = io.BytesIO()
    Image.fromarray(image).save(sink, "JPEG", quality=quality)
    return np.asarray(Image.open(sink))


@pytest.fixture(scope="module")
def truth(photos: np.ndarray) -> np.ndarray:
    """Not square."""
    return photos[:, :200]


@pytest.fixture(scope="module")
def predicted(truth: np.ndarray) -> np.ndarray:
    """From slightly to very wrong: two qualities of JPEG, noise, gray, a shift, another photograph."""
    noise = np.random.default_rng(0).normal(0, 8, truth[2].shape)
    return np.stack(
        [
            jpeg(truth[0], 95),
            jpeg(truth[1], 20),
            np.clip(truth[2] + noise, 0, 255).astype(np.uint8),
            np.repeat(truth[3].mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2),
            np.roll(truth[4], 3, axis=1),
            truth[0],
        ]
    )


def tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def reference_ssim(predicted: np.ndarray, truth: np.ndarray) -> float:
    return structural_similarity(
        truth,
        predicted,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
    )


# mae_ab


def test_mae_is_the_mean_absolute_difference_over_110_per_image(predicted: np.ndarray, truth: np.ndarray) -> None:
    ours, theirs = (rgb2lab(images)[..., 1:] for images in (predicted, truth))
    reference = np.abs(ours - theirs).mean(axis=(1, 2, 3)) / 110
    found = metrics.mae_ab(*(torch.from_numpy(ab.transpose(0, 3, 1, 2)) for ab in (ours, theirs)))
    np.testing.assert_allclose(found.numpy(), reference, rtol=1e-9)  # both in double precision


def test_mae_of_the_truth_is_zero() -> None:
    ab = torch.rand(3, 2, 4, 4)
    assert metrics.mae_ab(ab, ab.clone()).tolist() == [0, 0, 0]


# PSNR


def test_psnr_equals_scikit_image_per_image(predicted: np.ndarray, truth: np.ndarray) -> None:
    reference = [peak_signal_noise_ratio(t, p, data_range=255) for p, t in zip(predicted, truth, strict=True)]
    # sums of float32 squares, exact below 2^24, against double precision
    np.testing.assert_allclose(metrics.psnr(tensor(predicted), tensor(truth)).numpy(), reference, rtol=1e-7)


def test_psnr_equals_torchmetrics_per_image(predicted: np.ndarray, truth: np.ndarray) -> None:
    one, other = tensor(predicted).double(), tensor(truth).double()
    reference = torchmetrics_psnr(one, other, data_range=(0.0, 255.0), reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(metrics.psnr(one.byte(), other.byte()), reference.double(), rtol=1e-6, atol=0)


def test_psnr_of_one_level_everywhere_is_the_closed_form() -> None:
    value = metrics.psnr(torch.full((1, 3, 20, 20), 8, dtype=torch.uint8), torch.full((1, 3, 20, 20), 7).byte())
    assert value.item() == pytest.approx(20 * math.log10(255))


def test_psnr_does_not_wrap_around_zero() -> None:
    """Differences of uint8 would."""
    black, white = torch.zeros(1, 3, 12, 12, dtype=torch.uint8), torch.full((1, 3, 12, 12), 255, dtype=torch.uint8)
    assert metrics.psnr(black, white).item() == metrics.psnr(white, black).item() == 0


def test_psnr_of_identical_images_is_the_cap(truth: np.ndarray) -> None:
    assert metrics.psnr(tensor(truth), tensor(truth)).tolist() == [100.0] * len(truth)


# SSIM


def test_ssim_equals_scikit_image_per_image(predicted: np.ndarray, truth: np.ndarray) -> None:
    reference = [reference_ssim(p, t) for p, t in zip(predicted, truth, strict=True)]
    found = metrics.ssim(tensor(predicted), tensor(truth)).numpy()
    np.testing.assert_allclose(found, reference, atol=1e-5)  # float32 inside, and tables show three digits


def test_ssim_of_identical_images_is_one(truth: np.ndarray) -> None:
    np.testing.assert_allclose(metrics.ssim(tensor(truth), tensor(truth)).numpy(), 1, atol=1e-6)


@pytest.mark.parametrize("levels", [(255, 254), (255, 0), (1, 0), (128, 127)])
def test_ssim_of_flat_images_is_its_luminance_term(levels: tuple[int, int]) -> None:
    """No variance: (2xy + C1) / (x^2 + y^2 + C1). In float32 the difference of squares loses digits."""
    x, y = levels
    constant = (0.01 * 255) ** 2
    images = [torch.full((1, 3, 16, 20), level, dtype=torch.uint8) for level in levels]
    expected = (2 * x * y + constant) / (x * x + y * y + constant)
    # a variance of zero is a difference of squares of 127.5, of which float32 keeps 1e-3; C2 is 58
    assert metrics.ssim(*images).item() == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("size", [(11, 11), (11, 40), (40, 11), (12, 13)])
def test_ssim_of_the_smallest_images_equals_scikit_image(size: tuple[int, int], truth: np.ndarray) -> None:
    one, other = (truth[index, : size[0], : size[1]] for index in (0, 1))
    found = metrics.ssim(tensor(one[None]), tensor(other[None])).item()
    assert found == pytest.approx(reference_ssim(one, other), abs=1e-5)


@pytest.mark.parametrize("size", [(10, 200), (200, 10), (1, 1)])
def test_ssim_of_an_image_smaller_than_its_window_is_nan(size: tuple[int, int]) -> None:
    image = torch.zeros(2, 3, *size, dtype=torch.uint8)
    assert metrics.ssim(image, image).isnan().tolist() == [True, True]


# Both


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
@pytest.mark.parametrize("pixels_per_strip", [6 * 256, 6 * 256 * 7, 6 * 256 * 64])
def test_the_size_of_strips_does_not_change_the_result(
    metric: object, pixels_per_strip: int, predicted: np.ndarray, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(metric)
    whole = metric(tensor(predicted), tensor(truth))
    monkeypatch.setattr(strips, "_PIXELS_PER_STRIP", pixels_per_strip)
    # ssim is blurred in float32 for any strip; sums are float64
    torch.testing.assert_close(metric(tensor(predicted), tensor(truth)), whole, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_images_of_a_batch_are_measured_independently(metric: object, predicted: np.ndarray, truth: np.ndarray) -> None:
    assert callable(metric)
    together = metric(tensor(predicted), tensor(truth))
    alone = torch.cat([metric(tensor(p[None]), tensor(t[None])) for p, t in zip(predicted, truth, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_values_are_double_precision_one_per_image(metric: object, truth: np.ndarray) -> None:
    assert callable(metric)
    values = metric(tensor(truth), tensor(truth))
    assert (values.dtype, values.shape) == (torch.float64, (len(truth),))


# LPIPS


class VGGFeatures(nn.Module):
    """VGG-16 of torchvision without its classifier, which LPIPS does not use and which has 90 % of the parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.features = VGG(make_layers(cfgs["D"]), num_classes=1, init_weights=False).features


@pytest.fixture(scope="module")
def backbones() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"vgg": VGGFeatures().eval(), "alex": alexnet(weights=None, num_classes=1).eval()}


def features(network: nn.Module) -> dict[str, torch.Tensor]:
    assert isinstance(network, (AlexNet, VGGFeatures))
    return {f"features.{key}": value for key, value in network.features.state_dict().items()}


@pytest.fixture(scope="module", params=[pytest.param("vgg", marks=pytest.mark.slow), "alex"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def ours(kind: str, backbones: dict[str, nn.Module], tmp_path_factory: pytest.TempPathFactory) -> metrics.LPIPS:
    path = tmp_path_factory.mktemp("lpips") / f"{kind}.pth"
    torch.save(features(backbones[kind]), path)
    return metrics.LPIPS(kind, str(path))


@pytest.fixture
def reference_lpips(kind: str, backbones: dict[str, nn.Module], monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """The lpips package with a random network in place of the one of torchvision."""
    for name in ("vgg16", "alexnet"):
        monkeypatch.setattr(f"lpips.pretrained_networks.tv.{name}", lambda **_options: backbones[kind])
    return lpips.LPIPS(net=kind, version="0.1", pnet_rand=True, verbose=False).eval()


def small(images: np.ndarray) -> torch.Tensor:
    return tensor(images[:3, :64, 100:164])


def test_lpips_equals_the_package(
    ours: metrics.LPIPS, reference_lpips: nn.Module, predicted: np.ndarray, truth: np.ndarray
) -> None:
    one, other = small(predicted), small(truth)
    with torch.inference_mode():
        reference = reference_lpips(*(image.float() / 255 * 2 - 1 for image in (one, other))).flatten()
    found = ours(one, other)
    assert (found.dtype, found.shape) == (torch.float64, (3,))
    assert (reference > 0).all()
    torch.testing.assert_close(found.float(), reference, rtol=1e-4, atol=1e-7)


def test_lpips_of_identical_images_is_zero(ours: metrics.LPIPS, truth: np.ndarray) -> None:
    assert ours(small(truth), small(truth)).tolist() == [0, 0, 0]


def test_lpips_has_no_gradients(ours: metrics.LPIPS) -> None:
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_lpips_reads_safetensors_and_prints_nothing(
    backbones: dict[str, nn.Module], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    state = features(backbones["alex"])
    save_file(state, tmp_path / "alex.safetensors")
    network = metrics.LPIPS("alex", str(tmp_path / "alex.safetensors")).net.net
    assert torch.equal(network.slice1[0].weight, state["features.0.weight"])
    assert capfd.readouterr().out == ""


def lpips_message(*arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        metrics.LPIPS(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_lpips_of_another_backbone_is_refused(backbones: dict[str, nn.Module], tmp_path: Path) -> None:
    torch.save(features(backbones["alex"]), tmp_path / "alex.pth")
    assert "not the expected backbone" in lpips_message("vgg", str(tmp_path / "alex.pth"))
    check_lpips_weights("alex", str(tmp_path / "alex.pth"))
    with pytest.raises(UserError, match="not the weights of the LPIPS backbone vgg"):
        check_lpips_weights("vgg", str(tmp_path / "alex.pth"))


def test_lpips_of_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in lpips_message("vgg", str(tmp_path / "none.pth"))


def test_lpips_without_weights_or_network_is_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    line = lpips_message(kind)
    assert "cannot be downloaded" in line
    assert "lpips.weights" in line
    with pytest.raises(UserError, match="cannot be downloaded"):
        check_lpips_weights(kind, None)


# Baselines


def test_the_gray_baseline_has_no_color() -> None:
    ab = torch.rand(2, 2, 4, 6)
    assert metrics.gray(ab).shape == ab.shape
    assert not metrics.gray(ab).any()


def test_the_constant_baseline_has_one_color() -> None:
    painted = metrics.constant_color(torch.rand(2, 2, 4, 6), (3.0, -7.0))
    assert painted.shape == (2, 2, 4, 6)
    assert (painted[:, 0] == 3).all()
    assert (painted[:, 1] == -7).all()


# Bootstrap


def interval(values: np.ndarray, level: float = 0.95, **options: Any) -> tuple[float, float]:
    """Interval of the mean."""
    drawn = metrics.bootstrap(lambda chosen: values[chosen].mean(), len(values), **options)
    return metrics.percentile_interval(drawn, level)


def normal(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(5, 2, count)


@pytest.mark.parametrize("values", [normal(10), normal(1000), np.random.default_rng(0).exponential(1, 100)])
def test_the_interval_covers_the_mean(values: np.ndarray) -> None:
    low, high = interval(values)
    assert low < values.mean() < high


@pytest.mark.parametrize(("level", "z"), [(0.95, 1.95996), (0.68, 0.99446)])
def test_the_interval_is_about_that_of_the_normal_approximation(level: float, z: float) -> None:
    values = normal(500)
    low, high = interval(values, level=level, resamples=4000)
    expected = z * values.std() / math.sqrt(len(values))
    # of quantiles of 4000 draws the standard error is about 2 %
    assert high - values.mean() == pytest.approx(expected, rel=0.1)
    assert values.mean() - low == pytest.approx(expected, rel=0.1)


def test_the_interval_shrinks_with_the_root_of_the_number() -> None:
    widths = []
    for count in (100, 1600):
        values = normal(count)
        low, high = interval((values - values.mean()) / values.std(), resamples=4000)
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.1)  # as above


def test_the_interval_of_equal_values_is_a_point() -> None:
    assert interval(np.full(20, 3.0)) == (3.0, 3.0)


def test_equal_seeds_are_equal_intervals() -> None:
    assert interval(normal(50), seed=7) == interval(normal(50), seed=7)


def test_another_seed_is_another_interval() -> None:
    assert interval(normal(50), seed=7) != interval(normal(50), seed=8)


def test_one_seed_pairs_the_resamples_of_two_models() -> None:
    """A model better by a constant has an interval moved by that constant."""
    low, high = interval(normal(50))
    assert interval(normal(50) + 1) == pytest.approx((low + 1, high + 1))
