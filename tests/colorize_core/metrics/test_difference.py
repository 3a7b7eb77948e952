"""MSE, CIEDE2000, colorfulness, AuC and the 7x7 SSIM against scikit-image and their definitions."""

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import mean_squared_error, structural_similarity
from torch import Tensor

from colorize_core import metrics
from colorize_core.color import bins


@pytest.fixture(scope="module")
def pair(photos: np.ndarray) -> tuple[Tensor, Tensor]:
    """Three photographs, and the same with other colors: (3, 3, H, W) uint8."""
    truth = torch.from_numpy(np.ascontiguousarray(photos[:3, :70, :90].transpose(0, 3, 1, 2)))
    noise = torch.randint(-40, 41, truth.shape, generator=torch.Generator().manual_seed(0))
    return (truth.int() + noise).clamp(0, 255).to(torch.uint8), truth


def test_mse_equals_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    expected = [mean_squared_error(x, y) for x, y in zip(pair[0].numpy(), pair[1].numpy(), strict=True)]
    np.testing.assert_allclose(metrics.mse(*pair).numpy(), expected, rtol=1e-9)


def test_the_uniform_ssim_equals_the_default_of_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    expected = [
        structural_similarity(y, x, channel_axis=0, data_range=255)
        for x, y in zip(pair[0].numpy(), pair[1].numpy(), strict=True)
    ]
    np.testing.assert_allclose(metrics.ssim_uniform(*pair).numpy(), expected, atol=1e-5)


def test_ciede2000_equals_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    lab = [torch.from_numpy(rgb2lab(each.numpy(), channel_axis=1)) for each in pair]
    expected = deltaE_ciede2000(lab[1].numpy(), lab[0].numpy(), channel_axis=1).mean(axis=(1, 2))
    np.testing.assert_allclose(metrics.ciede2000(*lab).numpy(), expected, atol=1e-4)


# The first, a middle and the last rows of the test data of Sharma et al. 2005, table 1, which cover the hue's jumps.
@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
        ((50.0, -0.001, 2.49), (50.0, 0.0011, -2.49), 4.7461),
        ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_equals_the_published_test_data(
    one: tuple[float, ...], other: tuple[float, ...], difference: float
) -> None:
    colors = [torch.tensor(each).view(1, 3, 1, 1) for each in (one, other)]
    assert metrics.ciede2000(*colors).item() == pytest.approx(difference, abs=2e-3)
    assert metrics.ciede2000(*reversed(colors)).item() == pytest.approx(difference, abs=2e-3)


def test_equal_colors_do_not_differ() -> None:
    lab = torch.rand(2, 3, 5, 5) * 50
    assert metrics.ciede2000(lab, lab).tolist() == [0, 0]


def test_colorfulness_equals_its_definition(pair: tuple[Tensor, Tensor]) -> None:
    for found, rgb in zip(metrics.colorfulness(pair[1]), pair[1].numpy().astype(float), strict=True):
        rg, yb = rgb[0] - rgb[1], (rgb[0] + rgb[1]) / 2 - rgb[2]
        expected = np.sqrt(rg.std() ** 2 + yb.std() ** 2) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
        assert found.item() == pytest.approx(expected, rel=1e-9)


def test_absolute_colorfulness_equals_its_definition(pair: tuple[Tensor, Tensor]) -> None:
    """As the published code of CT2 and DDColor computes it."""
    found = metrics.colorfulness(pair[1], absolute=True)
    for value, rgb in zip(found, pair[1].numpy().astype(float), strict=True):
        rg, yb = np.abs(rgb[0] - rgb[1]), np.abs(0.5 * (rgb[0] + rgb[1]) - rgb[2])
        expected = np.sqrt(rg.std() ** 2 + yb.std() ** 2) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
        assert value.item() == pytest.approx(expected, rel=1e-9)


def test_colorfulness_keeps_signs() -> None:
    """Half red-green 50, half -50: mean 0, deviation 50. Absolute values would give 0.3 x 50."""
    rgb = torch.zeros(1, 3, 1, 2, dtype=torch.uint8)
    rgb[0, 0, 0, 0], rgb[0, 1, 0, 1] = 50, 50
    rgb[0, 2] = 25
    assert metrics.colorfulness(rgb).item() == pytest.approx(50)
    assert metrics.colorfulness(rgb, absolute=True).item() == pytest.approx(0.3 * 50)


def test_gray_is_not_colorful() -> None:
    assert metrics.colorfulness(torch.full((1, 3, 4, 4), 90, dtype=torch.uint8)).item() == 0


def test_auc_equals_the_sum_over_fine_thresholds() -> None:
    predicted, truth = torch.randn(2, 3, 2, 20, 30, generator=torch.Generator().manual_seed(1)) * 40
    error = (predicted - truth).norm(dim=1)
    thresholds = np.linspace(0, 150, 3001)
    for found, each in zip(metrics.auc(predicted, truth), error.flatten(1).numpy(), strict=True):
        curve = [(each <= threshold).mean() for threshold in thresholds]
        assert found.item() == pytest.approx(np.trapezoid(curve, thresholds) / 150, abs=1e-3)


def test_auc_is_between_zero_and_one() -> None:
    truth = torch.zeros(1, 2, 3, 3)
    assert metrics.auc(truth, truth).item() == 1
    assert metrics.auc(truth + 200, truth).item() == 0


def test_rebalanced_auc_weights_pixels_by_their_true_bin() -> None:
    truth = torch.tensor([[0.0, 0.0], [40.0, 40.0]]).T.reshape(1, 2, 1, 2)
    predicted = truth + torch.tensor([[30.0, 0.0], [60.0, 0.0]]).T.reshape(1, 2, 1, 2)
    weights = torch.ones(bins.BINS, dtype=torch.float64)
    weights[bins.nearest_bins(truth)[0, 0, 0, 1]] = 3.0
    area, weight = metrics.rebalanced_auc(predicted, truth, weights)
    assert area.item() == pytest.approx((0.8 + 3 * 0.6) / 4)
    assert weight.item() == pytest.approx(2)


def test_with_equal_weights_rebalanced_auc_is_auc() -> None:
    predicted, truth = torch.randn(2, 3, 2, 20, 30, generator=torch.Generator().manual_seed(1)) * 40
    area, weight = metrics.rebalanced_auc(predicted, truth, torch.ones(bins.BINS))
    torch.testing.assert_close(area, metrics.auc(predicted, truth))
    assert weight.tolist() == [1, 1, 1]


def test_rarity_is_one_over_the_smoothed_share() -> None:
    """Two bins, ten units apart: the Gaussian of sigma 5 gives a neighbor exp(-2) of the share of the center."""
    prior = bins.bin_prior([[0.0, 0.0, 0.75], [10.0, 0.0, 0.25]])
    centers = bins.bin_centers().numpy().astype(float)
    kernel = np.exp(-(((centers[:, None] - centers[None]) ** 2).sum(-1)) / 50)
    smoothed = prior.numpy() @ (kernel / kernel.sum(axis=1, keepdims=True))
    weights = metrics.rarity(prior).numpy()
    seen = prior.numpy() > 0
    product = weights[seen] * smoothed[seen]
    np.testing.assert_allclose(product, product[0], rtol=1e-6)


def test_colors_missing_in_the_prior_count_as_its_rarest() -> None:
    prior = bins.bin_prior([[0.0, 0.0, 0.75], [50.0, 0.0, 0.25]])
    weights = metrics.rarity(prior)
    assert weights[prior > 0].max() == weights.max()
    assert weights[prior > 0].min() == weights.min()
    assert weights.isfinite().all()
