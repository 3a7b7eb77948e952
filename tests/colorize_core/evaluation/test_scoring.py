from collections.abc import Sequence

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from colorize_core import metrics
from colorize_core.evaluation import scoring as evaluation
from colorize_core.inference.prediction import colorize_lightness
from colorize_core.models.base import ColorModel


@pytest.fixture
def rgb(photos: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(photos[:3, :96, :128].transpose(0, 3, 1, 2)))


def test_split_rgb_equals_the_lab_of_scikit_image(rgb: torch.Tensor) -> None:
    L, ab = evaluation.split_rgb(rgb)
    reference = rgb2lab(rgb.numpy(), channel_axis=1)
    np.testing.assert_allclose(torch.cat((L, ab), dim=1).numpy(), reference, atol=1e-3)  # as in test_color


def test_true_chroma_gives_the_photograph(rgb: torch.Tensor) -> None:
    assert torch.equal(evaluation.assemble(*evaluation.split_rgb(rgb)), rgb)


def test_a_prediction_is_scored_as_by_scikit_image(rgb: torch.Tensor) -> None:
    """A third of the chroma, clipped, rounded and compared by scikit-image."""
    L, ab = evaluation.split_rgb(rgb)
    scores = evaluation.score(ab / 3, rgb)
    for index, truth in enumerate(rgb.permute(0, 2, 3, 1).numpy()):
        lab = rgb2lab(truth)
        painted = np.round(lab2rgb(lab * (1, 1 / 3, 1 / 3)) * 255).astype(np.uint8)
        psnr = peak_signal_noise_ratio(truth, painted, data_range=255)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        ssim = structural_similarity(truth, painted, data_range=255, channel_axis=-1, **options)
        mae = np.abs(lab[..., 1:]).mean() * 2 / 3 / 110
        # a level of rounding differs in a few pixels of 12288
        assert scores["psnr"][index].item() == pytest.approx(psnr, abs=0.01)
        assert scores["ssim"][index].item() == pytest.approx(ssim, abs=1e-4)
        assert scores["mae_ab"][index].item() == pytest.approx(mae, abs=1e-5)
    assert L.shape == (3, 1, 96, 128)


def test_a_perfect_prediction_has_perfect_scores(rgb: torch.Tensor) -> None:
    scores = evaluation.score(evaluation.split_rgb(rgb)[1], rgb)
    assert scores["mae_ab"].tolist() == [0, 0, 0]
    assert scores["psnr"].tolist() == [100, 100, 100]
    assert scores["ssim"].tolist() == pytest.approx([1, 1, 1])


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_colors_outside_srgb_are_clipped_as_scikit_image_does(rgb: torch.Tensor) -> None:
    L, ab = evaluation.split_rgb(rgb)
    painted = evaluation.assemble(L, torch.full_like(ab, 90))
    lab = torch.cat((L, torch.full_like(ab, 90)), dim=1).double().numpy()
    # one level: both round, and may stand on two sides of a tie
    assert np.abs(painted.numpy() - lab2rgb(lab, channel_axis=1) * 255).max() <= 0.5 + 0.26


PRIOR = [[0.0, 0.0, 0.5], [10.0, 10.0, 0.3], [-20.0, 30.0, 0.2]]


class Recorder(metrics.LPIPS):
    """Records its inputs."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.seen: list[torch.Tensor] = []

    def features(self, rgb: torch.Tensor, *, unit_range: bool = False) -> list[torch.Tensor]:
        self.seen.append(rgb)
        return [rgb.float() / 2 if unit_range else rgb.float()]

    def distance(self, one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> torch.Tensor:
        return (one[0] - other[0]).abs().mean(dim=(1, 2, 3))


def scores_of(scorer: evaluation.Scorer, predicted_ab: torch.Tensor, rgb: torch.Tensor) -> dict[str, torch.Tensor]:
    return scorer({"one": predicted_ab}, rgb)["one"]


def test_an_evaluation_includes_the_metrics_of_training(rgb: torch.Tensor) -> None:
    ab = evaluation.split_rgb(rgb)[1] / 3
    quick, whole = evaluation.score(ab, rgb), scores_of(evaluation.Scorer(PRIOR), ab, rgb)
    for name, values in quick.items():
        assert torch.equal(whole[name], values)
    assert {"mse", "ssim_uniform", "ciede2000", "colorfulness", "auc", "auc_rebalanced"} <= whole.keys()
    assert "lpips" not in whole


def test_ciede2000_is_computed_on_the_output_image(rgb: torch.Tensor) -> None:
    L, ab = evaluation.split_rgb(rgb)
    found = scores_of(evaluation.Scorer(PRIOR), ab / 3, rgb)["ciede2000"]
    painted = evaluation.assemble(L, ab / 3).numpy()
    expected = deltaE_ciede2000(rgb2lab(painted, channel_axis=1), rgb2lab(rgb.numpy(), channel_axis=1), channel_axis=1)
    np.testing.assert_allclose(found.numpy(), expected.mean(axis=(1, 2)), atol=1e-2)


def test_lpips_compares_the_output_image_with_the_photograph(rgb: torch.Tensor) -> None:
    recorder = Recorder()
    L, ab = evaluation.split_rgb(rgb)
    image = evaluation.assemble(L, ab / 2)
    scores = scores_of(evaluation.Scorer(PRIOR, recorder, ["gray-to-glory"]), ab / 2, rgb)
    difference = (image.float() - rgb.float()).abs().mean(dim=(1, 2, 3))
    torch.testing.assert_close(scores["lpips"], difference)
    torch.testing.assert_close(scores["lpips_unit"], difference / 2)


def test_lpips_features_of_photographs_are_computed_once(rgb: torch.Tensor) -> None:
    recorder = Recorder()
    ab = evaluation.split_rgb(rgb)[1]
    evaluation.Scorer(PRIOR, recorder)({"one": ab / 2, "two": ab / 3, "three": ab * 0}, rgb)
    assert sum(torch.equal(each, rgb) for each in recorder.seen) == 1
    assert len(recorder.seen) == 4


def test_predictions_are_scored_independently(rgb: torch.Tensor) -> None:
    ab = evaluation.split_rgb(rgb)[1]
    scorer = evaluation.Scorer(PRIOR)
    together = scorer({"one": ab / 2, "two": ab / 3}, rgb)
    for name, predicted in (("one", ab / 2), ("two", ab / 3)):
        alone = scores_of(scorer, predicted, rgb)
        assert all(torch.equal(together[name][metric], alone[metric]) for metric in alone)


def test_a_definition_adds_its_own_scores(rgb: torch.Tensor) -> None:
    ab = evaluation.split_rgb(rgb)[1]
    plain = scores_of(evaluation.Scorer(PRIOR, Recorder()), ab, rgb)
    papers = scores_of(evaluation.Scorer(PRIOR, Recorder(), ["gray-to-glory", "unet-gan", "resnet18-losses"]), ab, rgb)
    assert papers.keys() - plain.keys() == {"lpips_unit", "psnr_ab", "ssim_ab"}


def test_unet_gan_is_scored_on_ab_in_its_own_ranges(rgb: torch.Tensor) -> None:
    ab = evaluation.split_rgb(rgb)[1]
    scores = scores_of(evaluation.Scorer(PRIOR, definitions=["unet-gan"]), ab / 2, rgb)
    low, width = np.array([42, 20])[:, None, None], np.array([184, 203])[:, None, None]
    for index in range(3):
        truth, made = ((each[index].numpy() + 128 - low) / width for each in (ab, ab / 2))
        psnr = peak_signal_noise_ratio(truth, made, data_range=1)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        ssim = structural_similarity(truth, made, data_range=1, channel_axis=0, **options)
        assert scores["psnr_ab"][index].item() == pytest.approx(psnr, abs=1e-3)
        assert scores["ssim_ab"][index].item() == pytest.approx(ssim, abs=1e-4)


def test_baselines_come_first_and_models_in_order(rgb: torch.Tensor, tiny_model: ColorModel) -> None:
    models = {"z": (tiny_model, 64), "a": (tiny_model, 32)}
    assert list(evaluation.predictions(models, rgb, (1.0, 2.0))) == [
        "gray",
        "constant color",
        "oracle color",
        "ceiling 32 px",
        "ceiling 64 px",
        "z",
        "a",
    ]


def test_the_gray_baseline_scores_the_chroma_of_the_photograph(rgb: torch.Tensor) -> None:
    gray = evaluation.predictions({}, rgb, (0.0, 0.0))["gray"]
    expected = np.abs(rgb2lab(rgb.numpy(), channel_axis=1)[:, 1:]).mean(axis=(1, 2, 3)) / 110
    np.testing.assert_allclose(evaluation.score(gray, rgb)["mae_ab"].numpy(), expected, atol=1e-5)


def test_the_constant_baseline_is_the_given_color(rgb: torch.Tensor) -> None:
    constant = evaluation.predictions({}, rgb, (5.0, -6.0))["constant color"]
    assert (constant[:, 0] == 5).all()
    assert (constant[:, 1] == -6).all()


def test_a_model_is_run_at_its_own_working_size(rgb: torch.Tensor, tiny_model: ColorModel) -> None:
    found = evaluation.predictions({"a": (tiny_model, 64)}, rgb, (0.0, 0.0))["a"]
    assert torch.equal(found, colorize_lightness(tiny_model, evaluation.split_rgb(rgb)[0], 64))


def test_a_model_gets_only_lightness(rgb: torch.Tensor, tiny_model: ColorModel) -> None:
    """The same lightness in other colors is the same prediction, up to the rounding of lightness."""
    L, ab = evaluation.split_rgb(rgb)
    pale = evaluation.assemble(L, ab / 2)
    one, other = (evaluation.predictions({"a": (tiny_model, 64)}, each, (0.0, 0.0))["a"] for each in (rgb, pale))
    assert (one - other).abs().max() < 1  # of 110
    assert one.abs().mean() > 1  # there is something to compare


def test_the_oracle_is_the_best_constant_for_mae(rgb: torch.Tensor) -> None:
    L, ab = evaluation.split_rgb(rgb)
    oracle = evaluation.predictions({}, rgb, (0.0, 0.0))["oracle color"]
    best = evaluation.score(oracle, rgb)["mae_ab"]
    for shift in (-2.0, -0.5, 0.5, 2.0):
        assert (evaluation.score(oracle + shift, rgb)["mae_ab"] >= best - 1e-7).all()
    assert torch.equal(oracle[:, :, 0, 0], ab.flatten(2).median(dim=2).values)
    assert L.shape[1] == 1


def test_the_ceiling_is_true_chroma_through_the_working_size(rgb: torch.Tensor, tiny_model: ColorModel) -> None:
    models = {"small": (tiny_model, 32), "large": (tiny_model, 64)}
    found = evaluation.predictions(models, rgb, (0.0, 0.0))
    errors = [evaluation.score(found[f"ceiling {size} px"], rgb)["mae_ab"].mean() for size in (32, 64)]
    assert errors[0] > errors[1] > 0
    assert errors[0] < evaluation.score(found["gray"], rgb)["mae_ab"].mean()
