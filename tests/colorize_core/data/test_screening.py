import hashlib
import io

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from colorize_core.data import screening
from colorize_core.data.screening import ResizePolicy
from colorize_core.photo.decode import Photo

RULE = ResizePolicy(32, "squash")


def png(pixels: np.ndarray) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def flat(*rgb: int) -> np.ndarray:
    return np.full((40, 60, 3), rgb, np.uint8)


def test_the_id_is_the_sha256_of_the_file(photos: np.ndarray) -> None:
    data = png(photos[0])
    assert screening.screen(data, RULE).id == hashlib.sha256(data).hexdigest()


def test_a_color_photograph_is_accepted(photos: np.ndarray) -> None:
    vivid = max(photos, key=screening.mean_chroma)
    verdict = screening.screen(png(vivid), RULE)
    assert (verdict.reason, verdict.detail) == ("", "")


def test_a_gray_photograph_is_near_gray_unless_it_is_to_be_kept(photos: np.ndarray) -> None:
    data = png(photos[0, :, :, 1])
    assert screening.screen(data, RULE).reason == "near_gray"
    assert screening.screen(data, RULE, keep_gray=True).reason == ""
    assert screening.screen(data[:100], RULE, keep_gray=True).reason == "truncated"


def test_a_tint_of_less_than_4_is_near_gray() -> None:
    tint = flat(128, 128, 134)
    assert 1 < np.linalg.norm(rgb2lab(tint)[0, 0, 1:]) < 4
    assert screening.screen(png(tint), RULE).reason == "near_gray"


def test_a_tint_of_more_than_4_is_color() -> None:
    tint = flat(128, 128, 140)
    assert 4 < np.linalg.norm(rgb2lab(tint)[0, 0, 1:]) < 9
    assert screening.screen(png(tint), RULE).reason == ""


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "empty"), (b"text", "not_an_image"), (png(flat(255, 0, 0))[:60], "truncated")]
)
def test_what_does_not_decode_is_rejected_by_its_status(data: bytes, reason: str) -> None:
    verdict = screening.screen(data, RULE)
    assert verdict.reason == reason
    assert verdict.detail


def test_what_is_too_large_is_rejected() -> None:
    assert screening.screen(png(flat(255, 0, 0)), RULE, max_pixels=100).reason == "too_large"


def test_mean_chroma_is_that_of_scikit_image(photos: np.ndarray) -> None:
    expected = np.linalg.norm(rgb2lab(photos[0])[..., 1:], axis=-1).mean()
    assert screening.mean_chroma(photos[0]) == pytest.approx(expected, rel=1e-4)  # float32


@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize("size", [(256, 256), (100, 256), (256, 30), (5, 7)])
def test_a_square_has_the_side_that_is_asked_for(resize: str, size: tuple[int, int], photos: np.ndarray) -> None:
    photo = Photo(np.ascontiguousarray(photos[0, : size[0], : size[1]]), None, "PNG")
    assert screening.to_square(photo, ResizePolicy(32, resize)).shape == (32, 32, 3)


def test_a_gray_photograph_becomes_an_rgb_square(photos: np.ndarray) -> None:
    squared = screening.to_square(Photo(photos[0, :, :, 1].copy(), None, "PNG"), RULE)
    assert (squared[..., 0] == squared[..., 2]).all()


def halves() -> Photo:
    """Left third red, middle green, right third blue; three times as wide as high."""
    pixels = np.zeros((60, 180, 3), np.uint8)
    for third in range(3):
        pixels[:, third * 60 : third * 60 + 60, third] = 255
    return Photo(pixels, None, "PNG")


def test_squash_keeps_the_whole_picture() -> None:
    squared = screening.to_square(halves(), ResizePolicy(30, "squash"))
    assert [tuple(squared[15, x]) for x in (3, 15, 26)] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def test_crop_takes_the_central_square() -> None:
    squared = screening.to_square(halves(), ResizePolicy(30, "crop"))
    assert (squared[:, 2:-2] == (0, 255, 0)).all()  # antialiasing looks two pixels beyond the border


def test_a_square_of_the_right_side_is_not_resampled(photos: np.ndarray) -> None:
    for resize in ("squash", "crop"):
        squared = screening.to_square(Photo(photos[0], None, "PNG"), ResizePolicy(256, resize))
        np.testing.assert_array_equal(squared, photos[0])


def ids(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def test_splits_have_about_their_shares() -> None:
    splits = [screening.split_by_hash(identity, 0.1, 0.2) for identity in ids(10000)]
    shares = [splits.count(name) / 10000 for name in ("train", "val", "test")]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.02)  # four standard errors


def test_a_share_of_nothing_is_empty() -> None:
    assert {screening.split_by_hash(identity, 0, 0) for identity in ids(1000)} == {"train"}


def test_shares_of_everything_leave_no_training() -> None:
    assert {screening.split_by_hash(identity, 0.5, 0.5) for identity in ids(1000)} == {"val", "test"}


def test_more_validation_takes_no_test_photograph() -> None:
    """A split that grows takes from training alone, so that nobody trains on what was tested."""
    small = {identity for identity in ids(2000) if screening.split_by_hash(identity, 0.1, 0.1) == "test"}
    large = {identity for identity in ids(2000) if screening.split_by_hash(identity, 0.3, 0.1) == "test"}
    assert small == large


@pytest.mark.parametrize(
    ("key", "split"),
    [
        ("train/a.jpg", "train"),
        ("val/b/c.jpg", "val"),
        ("test/a.jpg", "test"),
        ("other/a.jpg", None),
        ("train", None),
        ("a/train/b.jpg", None),
        ("training/a.jpg", None),
    ],
)
def test_the_first_folder_names_the_split(key: str, split: str | None) -> None:
    assert screening.split_by_folder(key) == split
