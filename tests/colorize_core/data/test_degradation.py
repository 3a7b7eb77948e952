import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from skimage import color
from torch import Tensor

from colorize_core.color.lab import lab_to_uint8
from colorize_core.data import degradation
from colorize_core.data.degradation import FILMS, LUMINANCE, degrade
from colorize_core.data.options import DegradationOptions
from colorize_core.data.shards import images_to_lab

EFFECTS = [name for name in DegradationOptions.model_fields if not name.endswith("_strength")]
OFF = DegradationOptions()
OLD_PHOTO = DegradationOptions(film=0.6, blur=0.3, gamma=0.5, contrast=0.4, grain=0.5, fading=0.4, jpeg=0.4)


def always(effect: str, **others: float) -> DegradationOptions:
    return DegradationOptions.model_validate({effect: 1.0, **others})


def draws(count: int, seed: int = 0) -> degradation.Draw:
    """Random numbers for `count` photographs, by name."""

    def draw(name: str, numbers: int) -> Tensor:
        return torch.from_numpy(np.random.default_rng([seed, *name.encode()]).random((count, numbers)))

    return draw


@pytest.fixture
def rows(photos: np.ndarray) -> tuple[Tensor, Tensor]:
    return lab_to_uint8(images_to_lab(photos))


@pytest.fixture
def gray(photos: np.ndarray) -> Tensor:
    return torch.from_numpy(photos[..., 1]).float()[:, None] / 255


def scene(rgb: tuple[int, int, int], side: int = 32) -> tuple[Tensor, Tensor]:
    """L and ab of one color."""
    return lab_to_uint8(images_to_lab(np.full((1, side, side, 3), rgb, dtype=np.uint8)))


def linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def encoded(light: np.ndarray) -> np.ndarray:
    return np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)


# Film


@pytest.mark.parametrize("name", FILMS)
def test_film_weighs_linear_light_as_scikit_image_has_it(name: str, rows: tuple[Tensor, Tensor]) -> None:
    L, ab = rows
    lab = torch.cat((L / 2.55, ab.float() - 128), 1).permute(0, 2, 3, 1).numpy()
    light = linear(color.lab2rgb(lab.astype(np.float64)))
    recorded = light @ np.array(FILMS[name])
    seen = light @ np.array(LUMINANCE)
    recorded *= seen.mean((1, 2), keepdims=True) / recorded.mean((1, 2), keepdims=True)
    weights = torch.tensor([FILMS[name]] * len(L))
    found = degradation.film(L, ab, weights)[:, 0].numpy()
    np.testing.assert_allclose(found, encoded(recorded).clip(0, 1), atol=2e-3)


def test_the_eyes_own_weights_give_scikit_images_gray(rows: tuple[Tensor, Tensor]) -> None:
    L, ab = rows
    found = degradation.film(L, ab, torch.tensor([LUMINANCE] * len(L)))[:, 0].numpy()
    lab = np.zeros((*L.shape[:1], *L.shape[2:], 3))
    lab[..., 0] = L[:, 0] / 2.55
    # Half a level of 255: colors out of gamut by the rounding of 8-bit Lab are clipped.
    np.testing.assert_allclose(found, color.lab2rgb(lab)[..., 1], atol=2.5e-2)
    assert np.abs(found - color.lab2rgb(lab)[..., 1]).mean() < 1e-3


@pytest.mark.parametrize("name", FILMS)
def test_a_neutral_scene_looks_the_same_on_every_film(name: str) -> None:
    L = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    ab = torch.full((1, 2, 16, 16), 128, dtype=torch.uint8)
    lab = np.zeros((16, 16, 3))
    lab[..., 0] = L[0, 0] / 2.55
    found = degradation.film(L, ab, torch.tensor([FILMS[name]]))[0, 0].numpy()
    np.testing.assert_allclose(found, color.lab2rgb(lab)[..., 1], atol=1e-3)


def test_old_plates_record_red_dark_and_blue_bright() -> None:
    """Beside each other, so that the exposure is the same for both."""
    pixels = np.full((1, 32, 32, 3), (200, 30, 30), dtype=np.uint8)
    pixels[:, :, 16:] = (90, 110, 200)
    L, ab = lab_to_uint8(images_to_lab(pixels))
    ratios = []
    for name in ("panchromatic", "orthochromatic", "blue_sensitive"):
        found = degradation.film(L, ab, torch.tensor([FILMS[name]]))
        ratios.append((found[..., :16].mean() / found[..., 16:].mean()).item())
    assert 1 > ratios[0] > ratios[1] > ratios[2] > 0


def test_film_weights_lie_between_the_eye_and_a_film() -> None:
    numbers = draws(3000)("film", 2)
    full = degradation.film_weights(torch.cat((numbers[:, :1], torch.ones(3000, 1)), 1), 1.0)
    for weights in FILMS.values():
        matches = torch.isclose(full, torch.tensor(weights, dtype=torch.float64)).all(1).sum()
        assert 900 < matches < 1100  # 1000, 4 standard deviations
    assert torch.equal(
        degradation.film_weights(numbers, 0.0), torch.tensor([LUMINANCE], dtype=torch.float64).expand(3000, 3)
    )
    torch.testing.assert_close(degradation.film_weights(numbers, 1.0).sum(1), torch.ones(3000, dtype=torch.float64))


# Lens and development


@pytest.mark.parametrize("sigma", [0.3, 0.8, 2.0])
def test_blur_is_scipys_gaussian(sigma: float, gray: Tensor) -> None:
    found = degradation.blur(gray[:1], torch.tensor([sigma]), radius=6)[0, 0].numpy()
    expected = gaussian_filter(gray[0, 0].double().numpy(), sigma, mode="mirror", radius=6)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_each_photograph_has_its_own_blur(gray: Tensor) -> None:
    sigma = torch.tensor([0.0, 0.5, 1.5])
    together = degradation.blur(gray[:3], sigma, radius=5)
    for number in range(3):
        alone = degradation.blur(gray[number : number + 1], sigma[number : number + 1], radius=5)
        assert torch.equal(together[number : number + 1], alone)


def test_gamma_is_a_power(gray: Tensor) -> None:
    exponents = torch.tensor([0.5, 1.0, 2.0])
    found = degradation.gamma(gray[:3], exponents)
    torch.testing.assert_close(found[0], gray[0].sqrt())
    torch.testing.assert_close(found[2], gray[2].square())


def test_contrast_stretches_about_the_middle_and_clips() -> None:
    gray = torch.tensor([0.0, 0.4, 0.5, 0.75, 1.0]).expand(2, 1, 1, 5)
    found = degradation.contrast(gray, torch.tensor([0.5, 2.0]))
    expected = torch.tensor([[0.25, 0.45, 0.5, 0.625, 0.75], [0.0, 0.3, 0.5, 1.0, 1.0]])
    torch.testing.assert_close(found[:, 0, 0], expected)


def test_fading_maps_black_and_white_to_the_given_values(gray: Tensor) -> None:
    found = degradation.fade(torch.tensor([0.0, 0.5, 1.0]).expand(1, 1, 1, 3), torch.tensor([0.1]), torch.tensor([0.9]))
    torch.testing.assert_close(found.flatten(), torch.tensor([0.1, 0.5, 0.9]))


# Grain


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 0.8, 1.0])
def test_grain_has_the_deviation_of_chance_coverage(level: float) -> None:
    noise = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    found = degradation.grain(torch.full((1, 1, 256, 256), level), noise, torch.tensor([0.04]))
    assert (found - level).std().item() == pytest.approx(2 * 0.04 * math.sqrt(level * (1 - level)), rel=0.02, abs=1e-6)


def test_grain_is_correlated_between_neighbors_and_not_across() -> None:
    """White noise through a Gaussian of sigma has the correlation exp(-d^2 / (4 sigma^2)) at distance d."""
    L, ab = scene((120, 120, 120), side=256)
    L, ab = L.expand(8, -1, -1, -1), ab.expand(8, -1, -1, -1)
    found = degrade(L, ab, always("grain", grain_strength=0.2), draws(8))[:, 0]
    found = found - found.mean((1, 2), keepdim=True)
    variance = found.square().mean((1, 2))
    nearby = (found[:, 1:] * found[:, :-1]).mean((1, 2)) / variance
    far = (found[:, 8:] * found[:, :-8]).mean((1, 2)) / variance
    smallest, largest = degradation._GRAIN_SIGMA
    # A sigma below half a pixel is hardly resolved by whole pixels, hence the lower bound.
    assert nearby.min() > 0.5 * math.exp(-1 / (4 * smallest**2))
    assert nearby.max() < 1.05 * math.exp(-1 / (4 * largest**2))
    assert far.abs().max() < 0.03


def test_every_photograph_has_grain_of_its_own() -> None:
    L, ab = scene((120, 120, 120))
    found = degrade(L.expand(2, -1, -1, -1), ab.expand(2, -1, -1, -1), always("grain"), draws(2))
    assert not torch.equal(found[0], found[1])


# JPEG


@pytest.mark.parametrize("quality", [20, 60, 95])
def test_jpeg_is_pillows(quality: int, gray: Tensor) -> None:
    found = degradation.compress(gray[:2], torch.tensor([float(quality)] * 2))
    for photo, result in zip(gray[:2, 0], found[:, 0], strict=True):
        file = io.BytesIO()
        Image.fromarray((photo * 255).round().byte().numpy()).save(file, "JPEG", quality=quality)
        expected = np.asarray(Image.open(file)).astype(int)
        np.testing.assert_array_equal((result * 255).round().numpy(), expected)


# All together


def test_a_changed_photograph_is_the_lightness_of_an_8_bit_file(rows: tuple[Tensor, Tensor]) -> None:
    """Gamma with the largest exponent, the long way round through scikit-image."""
    L, ab = rows[0][:1], rows[1][:1]
    found = degrade(L, ab, always("gamma", gamma_strength=1.0), lambda name, count: torch.full((1, count), 0.999999))
    lab = np.zeros((*L.shape[2:], 3))
    lab[..., 0] = L[0, 0] / 2.55
    file = np.round(color.lab2rgb(lab)[..., 1] ** 2 * 255) / 255
    expected = color.rgb2lab(np.repeat(file[..., None], 3, axis=-1))[..., 0]
    difference = np.abs((found[0, 0].numpy() + 1) * 50 - expected)
    assert (difference < 1e-3).mean() > 0.999  # the rest rounds to the next level
    assert difference.max() < 0.6


@pytest.mark.parametrize("effect", EFFECTS)
def test_strength_zero_changes_nothing(effect: str, rows: tuple[Tensor, Tensor]) -> None:
    still = degrade(*rows, OFF, draws(len(rows[0])))
    assert torch.equal(degrade(*rows, always(effect, **{f"{effect}_strength": 0.0}), draws(len(rows[0]))), still)
    assert torch.equal(still, rows[0].float() / 2.55 / 50 - 1)


def test_neutral_parameters_are_the_exact_identity(gray: Tensor) -> None:
    one, zero = torch.ones(len(gray)), torch.zeros(len(gray))
    assert torch.equal(degradation.blur(gray, zero, radius=3), gray)
    assert torch.equal(degradation.gamma(gray, one), gray)
    assert torch.equal(degradation.contrast(gray, one), gray)
    assert torch.equal(degradation.grain(gray, torch.randn_like(gray), zero), gray)
    assert torch.equal(degradation.fade(gray, zero, one), gray)


@pytest.mark.parametrize("effect", EFFECTS)
def test_an_effect_applies_to_the_given_fraction_only(effect: str, photos: np.ndarray) -> None:
    L, ab = lab_to_uint8(images_to_lab(photos[:1, 96:128, 96:128]))
    L, ab = L.expand(400, -1, -1, -1), ab.expand(400, -1, -1, -1)
    options = DegradationOptions.model_validate({effect: 0.3})
    changed = (degrade(L, ab, options, draws(400)) != L.float() / 2.55 / 50 - 1).flatten(1).any(1)
    chosen = draws(400)(effect, 4)[:, 0] < 0.3
    assert 80 < chosen.sum() < 160  # 120, 4 standard deviations
    assert not changed[~chosen].any()
    assert changed[chosen].float().mean() > 0.9  # a tiny strength may round to nothing


def test_effects_are_drawn_independently(rows: tuple[Tensor, Tensor]) -> None:
    """JPEG of quality 100 changes levels by one, so the gamma beneath shows."""
    alone = degrade(*rows, always("gamma"), draws(6))
    both = degrade(*rows, always("gamma", jpeg=1.0, jpeg_strength=1.0), draws(6))
    assert (alone - both).abs().mean() < 0.01


@pytest.mark.parametrize("rgb", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255), (255, 255, 0)])
def test_the_result_stays_in_range(rgb: tuple[int, int, int]) -> None:
    L, ab = scene(rgb)
    every = OLD_PHOTO.model_copy(update=dict.fromkeys(EFFECTS, 1.0))
    found = degrade(L.expand(16, -1, -1, -1), ab.expand(16, -1, -1, -1), every, draws(16))
    assert found.isfinite().all()
    assert found.min() >= -1
    assert found.max() <= 1 + 1e-6


def test_photographs_stay_recognizable_in_the_preset(rows: tuple[Tensor, Tensor]) -> None:
    """Old, not damaged: what is seen follows the true lightness."""
    L, ab = (part.repeat(8, 1, 1, 1) for part in rows)
    seen = degrade(L, ab, OLD_PHOTO, draws(len(L))).flatten(1)
    true = L.float().flatten(1)
    correlation = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(seen, true, strict=True)])
    assert correlation.min() > 0.7
    assert correlation.median() > 0.95


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_result(rows: tuple[Tensor, Tensor]) -> None:
    every = OLD_PHOTO.model_copy(update={**dict.fromkeys(EFFECTS, 1.0), "jpeg": 0.0})
    here = degrade(*rows, every, draws(6))
    there = degrade(rows[0].cuda(), rows[1].cuda(), every, draws(6)).cpu()
    assert (here - there).abs().max() < 0.03  # a level of the file, where it rounds otherwise


@pytest.mark.parametrize(
    "values",
    [
        {"grain": 1.5},
        {"blur": -0.1},
        {"gamma_strength": -1},
        {"blur_strength": 11},
        {"jpeg_strength": 100},
        {"film": math.nan},
    ],
)
def test_values_out_of_range_are_rejected(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DegradationOptions.model_validate(values)
