"""FID and KID against closed forms, direct formulas and torchmetrics; Inception features against torch-fidelity."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from colorize_core import metrics
from colorize_core.errors import UserError


def gaussian(mean: float, deviation: float, count: int, seed: int, size: int = 8) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return mean + deviation * torch.randn(count, size, generator=random, dtype=torch.float64)


def test_frechet_distance_of_independent_gaussians_is_the_closed_form() -> None:
    """Diagonal covariances: the squared distance of means plus that of standard deviations, axis by axis."""
    random = np.random.default_rng(0)
    mean1, mean2 = torch.from_numpy(random.normal(size=(2, 6)))
    deviation1, deviation2 = torch.from_numpy(random.uniform(0.5, 3, size=(2, 6)))
    expected = (mean1 - mean2).square().sum() + (deviation1 - deviation2).square().sum()
    found = metrics.frechet_distance(mean1, torch.diag(deviation1), mean2, torch.diag(deviation2))
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_frechet_distance_of_correlated_gaussians_equals_the_matrix_root_of_scipy() -> None:
    from scipy.linalg import sqrtm

    random = np.random.default_rng(0)
    factor1, factor2 = random.normal(size=(9, 6)), random.normal(size=(7, 6))
    c1, c2 = factor1.T @ factor1, factor2.T @ factor2
    expected = np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    mean = torch.zeros(6)
    found = metrics.frechet_distance(mean, torch.from_numpy(factor1), mean, torch.from_numpy(factor2))
    assert found == pytest.approx(expected, rel=1e-9)


def test_fid_approaches_the_distance_of_the_distributions() -> None:
    real, made = gaussian(0, 1, 40_000, 1), gaussian(0.5, 2, 40_000, 2)
    assert metrics.fid(real, made) == pytest.approx(8 * (0.25 + 1), rel=0.03)


def test_fid_equals_the_matrix_root_of_scipy() -> None:
    from scipy.linalg import sqrtm

    real = gaussian(0, 1, 300, 1) @ torch.randn(8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    made = gaussian(1, 1, 200, 2)
    c1, c2 = np.cov(real.numpy().T), np.cov(made.numpy().T)
    difference = real.mean(0) - made.mean(0)
    expected = float(difference @ difference) + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert metrics.fid(real, made) == pytest.approx(expected, rel=1e-9)


def test_fid_of_fewer_images_than_features_is_exact() -> None:
    """Two images each: covariances of rank one, d d^T / 2 of their difference d, and the closed form by hand."""
    real, made = torch.randn(2, 2, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    d1, d2 = real[0] - real[1], made[0] - made[1]
    expected = (real.mean(0) - made.mean(0)).square().sum() + (d1 @ d1 + d2 @ d2) / 2 - (d1 @ d2).abs()
    assert metrics.fid(real, made) == pytest.approx(float(expected), rel=1e-12)


def test_fid_of_a_set_with_itself_is_zero() -> None:
    real = gaussian(0, 1, 20, 1, size=64).float()  # fewer than dimensions: the covariance is singular
    assert metrics.fid(real, real) == pytest.approx(0, abs=1e-9)


def test_kid_equals_torchmetrics() -> None:
    real, made = gaussian(0, 1, 300, 1), gaussian(0.3, 1.2, 300, 2)
    expected = float(poly_mmd(real, made, degree=3, gamma=None, coef=1.0))
    assert metrics.kid(real, made) == pytest.approx(expected, rel=1e-6)


def test_kid_is_unbiased_for_sets_of_different_size() -> None:
    """Pair by pair, by the definition."""
    real, made = gaussian(0, 1, 7, 1, size=3), gaussian(0.3, 1, 5, 2, size=3)

    def kernel(x: Tensor, y: Tensor) -> float:
        return float((x @ y / 3 + 1) ** 3)

    def within(each: Tensor) -> float:
        pairs = [kernel(x, y) for i, x in enumerate(each) for j, y in enumerate(each) if i != j]
        return sum(pairs) / len(pairs)

    across = [kernel(x, y) for x in real for y in made]
    assert metrics.kid(real, made) == pytest.approx(within(real) + within(made) - 2 * sum(across) / len(across))


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the layout of the Inception of FID."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    extractor = module.FeatureExtractorInceptionV3
    torch.manual_seed(0)
    with (
        patch.object(module, "load_state_dict_from_url", lambda *_, **__: {}),
        patch.object(extractor, "load_state_dict", lambda *_: None),
    ):
        net = extractor("inception-v3-compat", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save(net.state_dict(), path)
    return path


@pytest.mark.slow
def test_features_equal_those_of_torch_fidelity(inception_file: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    rgb = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(inception_file))(rgb)[0]
    found = metrics.InceptionFeatures(str(inception_file))(rgb)
    assert found.shape == (2, 2048)
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
def test_features_equal_those_of_pytorch_fid(inception_file: Path) -> None:
    """Its network is its own copy of Inception, with the same names of tensors."""
    from pytorch_fid import inception as module

    with patch.object(module, "load_state_dict_from_url", lambda *_, **__: torch.load(inception_file)):
        reference = module.InceptionV3([3]).eval()
    rgb = torch.randint(0, 256, (2, 3, 64, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = reference(rgb / 255)[0][..., 0, 0]
    found = metrics.InceptionFeatures(str(inception_file), "pytorch-fid")(rgb)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_images_are_reduced_by_the_mean_over_areas_and_rounded(inception_file: Path) -> None:
    small = torch.randint(1, 255, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    large[..., ::2, ::2] += 1  # the mean is a quarter of a level higher
    reducing = metrics.InceptionFeatures(str(inception_file), side=32)
    assert torch.equal(reducing(large), reducing(small))
    reducing._side = None
    assert not torch.equal(reducing(large), reducing(small))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="not the Inception weights of FID"):
        metrics.InceptionFeatures(str(tmp_path / "other.pth"))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    import os
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="not a readable state dict"):
        metrics.InceptionFeatures(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def test_weights_that_cannot_be_downloaded_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity import feature_extractor_inceptionv3 as module

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(module, "load_state_dict_from_url", unreachable)
    with pytest.raises(UserError, match=r"cannot download .* \(no route to host\); set fid\.weights"):
        metrics.InceptionFeatures()
