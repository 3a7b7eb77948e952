"""Bins, soft labels and rebalancing against the closed forms of Zhang et al. 2016."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from colorize_core.color import bins
from colorize_core.color.lab import rgb_to_lab


@pytest.fixture(scope="module")
def colors() -> torch.Tensor:
    """(1, 2, 64, 64) whole-numbered a and b of sRGB colors."""
    rgb = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    return rgb_to_lab(rgb)[:, 1:].round()


def test_there_are_313_distinct_bins_on_the_grid() -> None:
    centers = bins.bin_centers().numpy()
    assert centers.shape == (bins.BINS, 2) == (313, 2)
    assert len(np.unique(centers, axis=0)) == 313
    assert (centers % 10 == 0).all()


def test_bins_include_the_corners_of_every_cell_with_srgb_colors() -> None:
    level = torch.arange(0, 256, 5).float() / 255
    rgb = torch.cartesian_prod(level, level, level).T[None, :, :, None]
    ab = rgb_to_lab(rgb)[0, 1:, :, 0].T.numpy()
    known = set(map(tuple, bins.bin_centers().int().tolist()))
    corners = {
        (int(a), int(b))
        for low_a in (np.floor, np.ceil)
        for low_b in (np.floor, np.ceil)
        for a, b in np.unique(np.stack([low_a(ab[:, 0] / 10), low_b(ab[:, 1] / 10)], 1) * 10, axis=0)
    }
    assert corners <= known
    tips = known - corners
    assert len(tips) <= 10  # the published set is a little wider than the gamut
    assert cKDTree(ab).query(np.array(sorted(tips)))[0].max() < 15


def test_nearest_bins_match_a_kd_tree(colors: torch.Tensor) -> None:
    found = bins.nearest_bins(colors, 3)
    distances = (bins.bin_centers()[found].permute(0, 4, 1, 2, 3) - colors[:, :, None]).norm(dim=1)
    expected = cKDTree(bins.bin_centers().numpy()).query(colors[0].permute(1, 2, 0).numpy(), k=3)[0]
    np.testing.assert_allclose(distances[0].permute(1, 2, 0), expected, atol=1e-4)


def test_soft_labels_are_the_gaussian_of_the_distances(colors: torch.Tensor) -> None:
    indices, weights = bins.soft_encode(colors)
    distance, index = cKDTree(bins.bin_centers().numpy()).query(colors[0, :, 3, 5].numpy(), k=bins.NEIGHBORS)
    gaussian = np.exp(-(distance**2) / 50)
    expected = dict.fromkeys(range(313), 0.0) | dict(zip(index, gaussian / gaussian.sum(), strict=True))
    for place, weight in zip(indices[0, :, 3, 5].tolist(), weights[0, :, 3, 5].tolist(), strict=True):
        assert weight == pytest.approx(expected[place], abs=1e-3)  # equidistant bins: the tenth neighbor may differ
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 64, 64))


def test_the_color_of_a_bin_has_its_largest_weight_at_that_bin() -> None:
    centers = bins.bin_centers().T[None, :, :, None]
    indices, weights = bins.soft_encode(centers)
    assert (indices[0, 0, :, 0] == torch.arange(313)).all()
    assert (weights.argmax(1) == 0).all()


def test_prior_sums_to_one_and_counts_far_points_at_the_nearest_bin() -> None:
    prior = bins.bin_prior([[0, 0, 0.5], [10, 0, 0.25], [100, 100, 0.25]])
    assert prior.sum() == pytest.approx(1)
    assert (prior > 0).sum() == 3
    far = bins.bin_centers()[prior.nonzero().flatten()[-1]]
    assert (far - 100).norm() == (bins.bin_centers() - 100).norm(dim=1).min()


def test_rebalancing_has_mean_one_and_the_closed_form() -> None:
    prior = torch.rand(313, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).square()
    prior /= prior.sum()
    weights = bins.rebalancing_weights(prior)
    assert (prior * weights).sum() == pytest.approx(1)
    inverse = 1 / weights
    expected = 0.5 * prior + 0.5 / 313
    torch.testing.assert_close(inverse / inverse[0], expected / expected[0])


def test_the_weighted_mean_of_a_soft_label_is_the_color(colors: torch.Tensor) -> None:
    indices, weights = bins.soft_encode(colors)
    decoded = (weights[..., None] * bins.bin_centers()[indices]).sum(1).permute(0, 3, 1, 2)
    assert (decoded - colors).norm(dim=1).mean() < 3


def test_without_a_color_prior_all_bins_have_the_same_share() -> None:
    prior = bins.bin_prior([])
    assert prior.sum().item() == pytest.approx(1)
    assert prior.min() == prior.max()
