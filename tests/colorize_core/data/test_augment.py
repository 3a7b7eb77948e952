import hashlib

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from colorize_core.color.lab import lab_to_uint8
from colorize_core.data.augment import augment, draw_uniform
from colorize_core.data.options import AugmentOptions, DegradationOptions
from colorize_core.data.shards import images_to_lab
from colorize_core.errors import UserError

UNCHANGED = AugmentOptions(flip=False)
OLD_PHOTO = DegradationOptions(film=0.6, blur=0.3, gamma=0.5, contrast=0.4, grain=0.5, fading=0.4, jpeg=0.4)
EVERYTHING = AugmentOptions(crop=64, zoom=0.5, style=OLD_PHOTO)


def ids(count: int) -> list[str]:
    return [hashlib.sha256(bytes([number % 256, number // 256])).hexdigest() for number in range(count)]


def coordinates(count: int, side: int) -> tuple[Tensor, Tensor]:
    """Photographs whose L is the column, whose a is the row, and whose b is the column again."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    pixels = torch.stack((column, row, column)).to(torch.uint8).expand(count, -1, -1, -1)
    return pixels[:, :1], pixels[:, 1:]


def pixels_of(L: Tensor, ab: Tensor) -> tuple[Tensor, Tensor]:
    """The 8-bit values behind the network's scale."""
    return ((L + 1) * 50 * 2.55).round().int(), (ab * 110 + 128).round().int()


@pytest.fixture
def rows(photos: np.ndarray) -> tuple[Tensor, Tensor]:
    return lab_to_uint8(images_to_lab(photos[:, :128, :128]))


def test_without_augmentation_photographs_are_only_scaled(rows: tuple[Tensor, Tensor]) -> None:
    seen, L, ab = augment(*rows, ids(6), 1, UNCHANGED, 0)
    torch.testing.assert_close(L, rows[0].float() * 100 / 255 / 50 - 1)
    torch.testing.assert_close(ab, (rows[1].float() - 128) / 110)
    assert torch.equal(seen, L)


def test_by_default_photographs_are_whole_and_half_of_them_mirrored() -> None:
    L, ab = coordinates(400, 32)
    _, found, _ = augment(L, ab, ids(400), 1, AugmentOptions(), 0)
    found, _ = pixels_of(found, ab)
    mirrored = (found == L.flip(-1)).flatten(1).all(1)
    assert ((found == L).flatten(1).all(1) ^ mirrored).all()
    assert 160 < mirrored.sum() < 240  # 200, 4 standard deviations


def test_crops_and_flips_apply_to_lightness_and_colors_alike() -> None:
    L, ab = coordinates(200, 96)
    seen, L, ab = augment(L, ab, ids(200), 1, AugmentOptions(crop=64), 0)
    assert L.shape == (200, 1, 64, 64)
    assert ab.shape == (200, 2, 64, 64)
    assert torch.equal(seen, L)
    columns, (rows, again) = pixels_of(L, ab)[0][:, 0], pixels_of(L, ab)[1].unbind(1)
    assert torch.equal(columns, again)
    assert (rows.diff(dim=1) == 1).all()
    steps = columns.diff(dim=2)
    assert ((steps == 1).flatten(1).all(1) | (steps == -1).flatten(1).all(1)).all()


def test_crop_positions_are_uniform() -> None:
    L, ab = coordinates(2000, 36)
    _, L, ab = augment(L, ab, ids(2000), 1, AugmentOptions(flip=False, crop=32), 0)
    left, top = pixels_of(L, ab)[0][:, 0, 0, 0], pixels_of(L, ab)[1][:, 0, 0, 0]
    for places in (left, top):
        values, counts = places.unique(return_counts=True)
        assert values.tolist() == [0, 1, 2, 3, 4]
        assert all(320 < count < 480 for count in counts.tolist())  # 400, 4 standard deviations
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.1


@pytest.mark.parametrize(("crop", "side"), [(64, 64), (96, 96), (None, 96)])
def test_zoomed_crops_apply_to_lightness_and_colors_alike(crop: int | None, side: int) -> None:
    L, ab = coordinates(50, 96)
    seen, L, ab = augment(L, ab, ids(50), 1, AugmentOptions(crop=crop, zoom=0.5), 0)
    assert L.shape == (50, 1, side, side)
    assert torch.equal(seen, L)
    columns, (rows, again) = pixels_of(L, ab)[0][:, 0], pixels_of(L, ab)[1].unbind(1)
    assert torch.equal(columns, again)
    assert (rows.diff(dim=1) >= 0).all()
    widths = (columns[:, 0, -1] - columns[:, 0, 0]).abs()
    assert 40 <= widths.min() < 60  # half of 96, give or take the stretch
    assert 80 < widths.max() <= 95
    mirrored = columns[:, 0, -1] < columns[:, 0, 0]
    assert 10 < mirrored.sum() < 40


def test_degradation_changes_the_input_and_not_the_target(rows: tuple[Tensor, Tensor]) -> None:
    seen, L, ab = augment(*rows, ids(6), 1, EVERYTHING, 0)
    _, plain_L, plain_ab = augment(*rows, ids(6), 1, AugmentOptions(crop=64, zoom=0.5), 0)
    assert torch.equal(L, plain_L)
    assert torch.equal(ab, plain_ab)
    assert (seen != L).flatten(1).any(1).any()
    assert seen.shape == L.shape


def test_chroma_changes_the_target_and_not_the_input(rows: tuple[Tensor, Tensor]) -> None:
    seen, L, ab = augment(*rows, ids(6), 1, EVERYTHING.model_copy(update={"chroma": 1.25}), 0)
    plain_seen, plain_L, plain_ab = augment(*rows, ids(6), 1, EVERYTHING, 0)
    assert torch.equal(seen, plain_seen)
    assert torch.equal(L, plain_L)
    torch.testing.assert_close(ab, 1.25 * plain_ab)


def test_the_given_tensors_are_not_modified(rows: tuple[Tensor, Tensor]) -> None:
    before = [part.clone() for part in rows]
    augment(*rows, ids(6), 1, EVERYTHING, 0)
    assert all(torch.equal(part, kept) for part, kept in zip(rows, before, strict=True))


def test_augmentation_does_not_depend_on_the_batch(rows: tuple[Tensor, Tensor]) -> None:
    names = ids(6)
    together = augment(*rows, names, 3, EVERYTHING, 7)
    order = [4, 0, 5, 2]
    others = augment(*(part[order] for part in rows), [names[i] for i in order], 3, EVERYTHING, 7)
    for all_rows, some in zip(together, others, strict=True):
        assert torch.equal(all_rows[order], some)
    for number in range(6):
        alone = augment(*(part[number : number + 1] for part in rows), names[number : number + 1], 3, EVERYTHING, 7)
        for all_rows, one in zip(together, alone, strict=True):
            assert torch.equal(all_rows[number : number + 1], one)


def test_augmentation_does_not_depend_on_threads_or_torch_seed(rows: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(1)
    first = augment(*rows, ids(6), 3, EVERYTHING, 7)
    torch.manual_seed(2)
    torch.set_num_threads(2)
    second = augment(*rows, ids(6), 3, EVERYTHING, 7)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("epoch", "seed"), [(4, 7), (3, 8)])
def test_another_epoch_or_seed_gives_other_changes(epoch: int, seed: int, rows: tuple[Tensor, Tensor]) -> None:
    first, other = augment(*rows, ids(6), 3, EVERYTHING, 7), augment(*rows, ids(6), epoch, EVERYTHING, seed)
    assert all((a != b).flatten(1).any(1).all() for a, b in zip(first, other, strict=True))


def test_ids_may_be_a_numpy_column(rows: tuple[Tensor, Tensor]) -> None:
    names = np.array(ids(6), dtype=object)
    found, expected = (augment(*rows, given, 1, EVERYTHING, 0) for given in (names, list(names)))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_random_numbers_are_uniform_and_independent() -> None:
    names = ids(5000)
    numbers = torch.cat([draw_uniform(names, 1, 0, name, 2) for name in ("flip", "grain")], dim=1).numpy()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for column in numbers.T:
        counts, _ = np.histogram(column, bins=20, range=(0, 1))
        assert ((counts - 250) ** 2 / 250).sum() < 43.8  # chi-squared of 19 degrees of freedom, p = 0.001
    correlation = np.corrcoef(numbers.T) - np.eye(4)
    assert np.abs(correlation).max() < 4 / np.sqrt(5000)


def test_a_crop_must_fit() -> None:
    L, ab = coordinates(1, 64)
    with pytest.raises(UserError, match="crop = 64: must be smaller than the photographs, which have 64 px"):
        augment(L, ab, ids(1), 1, AugmentOptions(crop=64), 0)
    augment(L, ab, ids(1), 1, AugmentOptions(crop=64, zoom=0.5), 0)
    with pytest.raises(UserError, match="crop = 96: must not be larger than the photographs, which have 64 px"):
        augment(L, ab, ids(1), 1, AugmentOptions(crop=96, zoom=0.5), 0)


@pytest.mark.parametrize(
    "options", [{"crop": 48}, {"crop": 0}, {"zoom": 0}, {"zoom": 1}, {"zoom": -0.5}, {"zoom": 2}, {"chroma": 0}]
)
def test_values_out_of_range_are_rejected(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AugmentOptions.model_validate(options)
