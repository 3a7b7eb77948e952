import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from colorize_core.checkpoint.config import read_checkpoint_config
from colorize_core.checkpoint.weights import save_checkpoint
from colorize_core.colorizer import ColorizedPhoto, Colorizer
from colorize_core.errors import UserError
from colorize_core.inference.options import EnsembleOptions
from colorize_core.inference.settings import PhotoSettings
from colorize_core.models.base import ColorModel
from colorize_core.photo.decode import INCOMPLETE, decode
from colorize_core.photo.options import EncodingOptions
from colorize_core.runtime import strips
from colorize_core.runtime.stage_timer import DECODE, ENCODE, INFER, PAINT, SCORE, SHRINK
from colorize_core.status import Status


class ConstantColor(nn.Module):
    """One color everywhere, CIELAB a and b."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.color = torch.tensor([a, b]).view(1, 2, 1, 1) / 110

    def forward(self, L: torch.Tensor) -> torch.Tensor:
        return self.color.expand(len(L), 2, *L.shape[-2:])


@pytest.fixture
def colorizer(tiny_model: ColorModel) -> Colorizer:
    return Colorizer(tiny_model, 64, "cpu")


def file(pixels: np.ndarray, format: str = "PNG", **options: object) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format, **options)
    return sink.getvalue()


def decoded(result: ColorizedPhoto) -> np.ndarray:
    assert result.status == "ok", result.error
    assert result.image is not None
    return np.asarray(Image.open(io.BytesIO(result.image)))


def gray(photo: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(photo).convert("L"))


def assert_lightness_kept(colorizer: Colorizer, pixels: np.ndarray) -> None:
    """Assert that L differs by at most one 8-bit step on 99.9 % of the pixels."""
    out = decoded(colorizer.colorize([file(pixels)])[0])
    before = rgb2lab(np.dstack([pixels] * 3) if pixels.ndim == 2 else pixels)[..., 0]
    difference = np.abs(rgb2lab(out)[..., 0] - before)
    assert np.quantile(difference, 0.999) <= 100 / 255


# The color image


def test_lightness_of_gray_photographs_is_kept(colorizer: Colorizer, photos: np.ndarray) -> None:
    for photo in photos:
        assert_lightness_kept(colorizer, gray(photo))


def test_lightness_of_color_photographs_is_kept(colorizer: Colorizer, photos: np.ndarray) -> None:
    for photo in photos:
        assert_lightness_kept(colorizer, photo)


@pytest.mark.parametrize("color", [(100, 0), (-100, 0), (0, 100), (0, -100), (80, -100)])
def test_lightness_is_kept_under_colors_outside_srgb(color: tuple[int, int]) -> None:
    """On every gray value, most of which cannot have such a color in sRGB."""
    assert_lightness_kept(Colorizer(ConstantColor(*color), 64, "cpu"), np.tile(np.arange(256, dtype=np.uint8), (32, 1)))


def test_the_image_has_the_predicted_color() -> None:
    out = decoded(Colorizer(ConstantColor(12, -9), 64, "cpu").colorize([file(np.full((40, 60), 128, np.uint8))])[0])
    np.testing.assert_allclose(rgb2lab(out)[..., 1:].mean(axis=(0, 1)), (12, -9), atol=0.6)  # a level of RGB


def test_a_prediction_without_chroma_gives_the_gray_photograph(photos: np.ndarray) -> None:
    out = decoded(Colorizer(ConstantColor(0, 0), 64, "cpu").colorize([file(gray(photos[0]))])[0])
    np.testing.assert_array_equal(out, np.dstack([gray(photos[0])] * 3))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (5, 7), (31, 33), (250, 97)])
def test_size_is_kept(colorizer: Colorizer, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    result = colorizer.colorize([file(pixels)])[0]
    assert decoded(result).shape == (*size, 3)
    assert (result.height, result.width) == size


def test_the_result_does_not_depend_on_the_strips(
    colorizer: Colorizer, photos: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [file(photos[0, :100]), file(gray(photos[1])[:100])]
    whole = colorizer.colorize(data)
    monkeypatch.setattr(strips, "_PIXELS_PER_STRIP", 256 * 7)
    for one, other in zip(whole, colorizer.colorize(data), strict=True):
        np.testing.assert_array_equal(decoded(one), decoded(other))
        assert one.scores == pytest.approx(other.scores, rel=1e-5)


def test_alpha_is_kept(colorizer: Colorizer, photos: np.ndarray) -> None:
    alpha = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    result = colorizer.colorize([file(np.dstack((photos[0], alpha)))])[0]
    np.testing.assert_array_equal(decoded(result)[..., 3], alpha)


def test_all_bits_of_16_bit_gray_are_used() -> None:
    """The 8-bit output is rounded, not truncated."""
    pixels = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    result = Colorizer(ConstantColor(0, 0), 64, "cpu").colorize([file(pixels)])[0]
    assert result.bit_depth == 16
    np.testing.assert_array_equal(decoded(result)[..., 0], np.floor(pixels / 257 + 0.5))


def test_lightness_of_16_bits_is_kept(photos: np.ndarray) -> None:
    pixels = gray(photos[0]).astype(np.uint16) * 257
    out = decoded(Colorizer(ConstantColor(20, 10), 64, "cpu").colorize([file(pixels)])[0])
    before = rgb2lab(np.dstack([gray(photos[0])] * 3))[..., 0]
    assert np.quantile(np.abs(rgb2lab(out)[..., 0] - before), 0.999) <= 100 / 255


@pytest.mark.parametrize(("format", "name"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF")])
def test_the_image_has_the_given_format(colorizer: Colorizer, photos: np.ndarray, format: str, name: str) -> None:
    result = colorizer.colorize([file(photos[0])], format)[0]
    assert result.image is not None
    assert Image.open(io.BytesIO(result.image)).format == name


def test_quality_reaches_the_encoder(colorizer: Colorizer, photos: np.ndarray) -> None:
    data, settings = [file(photos[0])], (EncodingOptions(quality=30), EncodingOptions(quality=95))
    small, large = (colorizer.colorize(data, "jpeg", encoding=setting)[0].image for setting in settings)
    assert small is not None
    assert large is not None
    assert len(small) < len(large)


# Metadata


def test_the_metadata_name_the_checkpoint(tmp_path: Path, tiny_model: ColorModel, photos: np.ndarray) -> None:
    save_checkpoint(tmp_path, tiny_model, 64)
    weights = read_checkpoint_config(tmp_path).weights_sha256
    result = Colorizer.load(str(tmp_path), "cpu").colorize([file(gray(photos[0]))])[0]
    assert result.image is not None
    packet = bytes(Image.open(io.BytesIO(result.image)).info["xmp"])
    for text in ("algorithmicallyEnhanced", "colorize", "encoder_decoder", f"sha256:{weights}"):
        assert text.encode() in packet


# Lightness


def extremes() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "near black": generator.integers(0, 12, (64, 64), dtype=np.uint8),
        "near white": generator.integers(244, 256, (64, 64), dtype=np.uint8),
        "black and white": generator.integers(0, 2, (64, 64), dtype=np.uint8) * 255,
        "every level": np.tile(np.arange(256, dtype=np.uint8), (32, 1)),
        "noise": generator.integers(0, 256, (64, 64), dtype=np.uint8),
        "vivid noise": generator.integers(0, 256, (64, 64, 3), dtype=np.uint8),
    }


@pytest.mark.parametrize("upsampling", ["guided", "bilinear"])
@pytest.mark.parametrize("name", extremes())
def test_lightness_is_kept_in_extreme_images_under_colors_far_outside_the_gamut(name: str, upsampling: str) -> None:
    for color in ((300, 0), (-300, 300), (0, -300), (5, 5)):
        assert_lightness_kept(Colorizer(ConstantColor(*color), 64, "cpu", upsampling=upsampling), extremes()[name])


def test_lightness_is_kept_under_random_chroma(photos: np.ndarray) -> None:
    """Saturated noise instead of a prediction, on all photographs."""

    class Noise(nn.Module):
        def forward(self, L: torch.Tensor) -> torch.Tensor:
            return torch.empty(len(L), 2, *L.shape[-2:]).uniform_(-2, 2, generator=torch.Generator().manual_seed(0))

    for photo in photos:
        assert_lightness_kept(Colorizer(Noise(), 64, "cpu"), gray(photo))


def test_out_of_gamut_colors_keep_their_hue() -> None:
    """Mid gray under colors outside sRGB: the hue is that of the prediction, up to rounding."""
    for a, b in ((120, 60), (-100, 80), (40, -130), (-60, -60)):
        result = Colorizer(ConstantColor(a, b), 64, "cpu").colorize([file(np.full((32, 32), 119, np.uint8))])[0]
        found = rgb2lab(decoded(result))[0, 0, 1:]
        assert result.scores["gamut_clipped"] == 1
        assert np.degrees(np.arctan2(found[1], found[0]) - np.arctan2(b, a)) == pytest.approx(0, abs=1.5)
        assert np.linalg.norm(found) < np.hypot(a, b)


def test_the_maximum_lightness_error_is_that_of_the_encoded_image(colorizer: Colorizer, photos: np.ndarray) -> None:
    for photo in photos[:3]:
        result = colorizer.colorize([file(photo)])[0]
        expected = np.abs(rgb2lab(decoded(result))[..., 0] - rgb2lab(photo)[..., 0]).max() * 2.55
        assert result.scores["max_lightness_error"] == pytest.approx(expected, abs=0.01)


# 16 bits


def gray_16_bit(photo: np.ndarray) -> np.ndarray:
    """A 16-bit photograph with random lower bits."""
    return gray(photo).astype(np.uint16) * 256 + np.random.default_rng(0).integers(0, 256, photo.shape[:2], np.uint16)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_16_bits_are_reproduced(format: str, photos: np.ndarray) -> None:
    """Without chroma, 16-bit values are reproduced up to 2, the error of float32."""
    pixels = gray_16_bit(photos[0])
    result = Colorizer(ConstantColor(0, 0), 64, "cpu").colorize(
        [file(pixels)], format, encoding=EncodingOptions(bit_depth="same")
    )
    written = decode(result[0].image or b"")
    assert written.bit_depth == 16
    assert np.abs(written.pixels.astype(int) - pixels[..., None]).max() <= 2


def test_lightness_of_16_bits_is_kept_to_a_fiftieth_of_an_8_bit_step(photos: np.ndarray) -> None:
    pixels = gray_16_bit(photos[0])
    colorizer = Colorizer(ConstantColor(20, 10), 64, "cpu")
    result = colorizer.colorize([file(pixels)], encoding=EncodingOptions(bit_depth="same"))[0]
    before = rgb2lab(np.dstack([pixels] * 3) / 65535)[..., 0]
    after = rgb2lab(decode(result.image or b"").pixels / 65535)[..., 0]
    assert np.quantile(np.abs(after - before), 0.999) <= 0.02 * 100 / 255


def test_color_of_16_bits_is_colored_and_scored(photos: np.ndarray) -> None:
    sixteen = imagecodecs.png_encode(photos[0].astype(np.uint16) * 257, 1)
    encoding = EncodingOptions(bit_depth="same")
    results = Colorizer(ConstantColor(10, 10), 64, "cpu").colorize([sixteen, file(photos[0])], encoding=encoding)
    assert [result.bit_depth for result in results] == [16, 8]
    errors = [result.scores.pop("max_lightness_error") for result in results]
    assert errors[0] < errors[1] / 10
    assert results[0].scores == pytest.approx(results[1].scores, rel=0.02, abs=0.01)


# Memory


class Fits(ConstantColor):
    """Runs out of memory on more than so many pixels."""

    def __init__(self, pixels: int) -> None:
        super().__init__(20, 10)
        self.pixels = pixels
        self.batches: list[int] = []

    def forward(self, L: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(L))
        if L.numel() > self.pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return super().forward(L)


def test_a_photograph_that_does_not_fit_alone_is_a_model_error(photos: np.ndarray) -> None:
    """At working size 64, squares have 64 x 64 pixels; an image of 1 : 2 has 32 x 96 and fits."""
    data = [file(gray(photos[0])), file(gray(photos[1])[:128]), file(gray(photos[2]))]
    results = Colorizer(Fits(64 * 64 - 1), 64, "cpu").colorize(data)
    assert [result.status for result in results] == ["model_error", "ok", "model_error"]
    assert results[0].image is None
    assert "256x256" in results[0].error


def test_running_out_of_memory_while_encoding_is_a_model_error(
    colorizer: Colorizer, photos: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("colorize_core.colorizer.encode", full)
    result = colorizer.colorize([file(photos[0])])[0]
    assert (result.status, result.image) == ("model_error", None)
    assert "256x256" in result.error


def test_running_out_of_memory_while_decoding_is_a_model_error(
    colorizer: Colorizer, photos: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    data = file(photos[0])
    monkeypatch.setattr(ImageFile.ImageFile, "load", full)
    assert colorizer.colorize([data])[0].status == "model_error"


def test_a_photograph_over_the_memory_limit_is_too_large(colorizer: Colorizer, photos: np.ndarray) -> None:
    data = [file(gray(photos[0])), file(photos[1]), file(gray(photos[2]))]
    results = colorizer.colorize(data, max_memory=1_000_000)
    assert [result.status for result in results] == ["ok", "too_large", "ok"]
    assert "256x256 pixels need about 1.1 MB, more than max_memory 1.0 MB" in results[1].error


def test_the_memory_limit_applies_to_the_photographs_processed_together(photos: np.ndarray) -> None:
    model = Fits(10**9)
    data = [file(gray(photo)) for photo in photos]
    results = Colorizer(model, 64, "cpu").colorize(data, max_memory=1_500_000)  # two of 0.66 MB
    assert [result.status for result in results] == ["ok"] * 6
    assert model.batches == [1, 1, 2, 2]


# Threads


def test_results_do_not_depend_on_the_number_of_threads(tiny_model: ColorModel, photos: np.ndarray) -> None:
    data = [file(gray(photo)) for photo in photos] + [b"", file(photos[0])]
    one, four = (Colorizer(tiny_model, 64, "cpu", threads=threads).colorize(data) for threads in (1, 4))
    assert [result.image for result in one] == [result.image for result in four]
    assert [result.status for result in four] == ["ok"] * 6 + ["empty", "ok"]


def test_threads_do_not_change_the_compute_threads_of_the_model(tiny_model: ColorModel, photos: np.ndarray) -> None:
    torch.set_num_threads(3)
    Colorizer(tiny_model, 64, "cpu", threads=2).colorize([file(gray(photo)) for photo in photos])
    assert torch.get_num_threads() == 3


# Batches


def test_results_are_in_the_order_of_the_inputs(colorizer: Colorizer, photos: np.ndarray) -> None:
    good = [file(gray(photos[i])[: 50 + i]) for i in range(3)]
    data = [b"", good[0], b"text", good[1], good[2][:100], good[2]]
    results = colorizer.colorize(data)
    assert [result.status for result in results] == ["empty", "ok", "not_an_image", "ok", "truncated", "ok"]
    assert [result.height for result in results] == [None, 50, None, 51, None, 52]


def test_a_failure_has_a_reason_in_one_line_and_no_image(colorizer: Colorizer) -> None:
    for result in colorizer.colorize([b"", b"text"]):
        assert result.error
        assert "\n" not in result.error
        assert result.image is None


def test_more_pixels_than_the_limit_are_too_large(colorizer: Colorizer, photos: np.ndarray) -> None:
    assert colorizer.colorize([file(photos[0])], max_pixels=1000)[0].status == "too_large"


@pytest.mark.parametrize(("format", "width"), [("webp", 16_384), ("jpeg", 65_536)])
def test_an_image_too_wide_for_its_format_does_not_fail_the_batch(
    colorizer: Colorizer, photos: np.ndarray, format: str, width: int
) -> None:
    """The limits are 16383 pixels in WebP and 65500 in JPEG."""
    results = colorizer.colorize([file(np.zeros((1, width), np.uint8)), file(photos[0])], format)
    assert len(results) == 2
    assert results[0].status != "ok" or results[0].image
    assert results[1].status == "ok"


def test_colors_that_are_not_numbers_are_a_model_error() -> None:
    """A model that diverged or overflowed must not give a black image."""
    result = Colorizer(ConstantColor(float("nan"), 0), 64, "cpu").colorize([file(np.full((40, 40), 128, np.uint8))])[0]
    assert (result.status, result.image) == (Status.MODEL_ERROR, None)


def test_statuses_are_members(colorizer: Colorizer, photos: np.ndarray) -> None:
    results = colorizer.colorize([b"", file(photos[0])])
    assert [type(result.status) for result in results] == [Status, Status]


def test_losses_of_the_output_format_are_noted(colorizer: Colorizer, photos: np.ndarray) -> None:
    transparent = file(np.dstack((photos[0], np.zeros((256, 256), np.uint8))))
    assert colorizer.colorize([transparent], "jpeg")[0].note == "transparency composited on white"


def test_each_header_is_read_once(colorizer: Colorizer, photos: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def counting_open(*args: object, **options: object) -> Image.Image:
        opened.append(1)
        return original(*args, **options)

    original = Image.open
    data = [file(photos[0], format) for format in ("PNG", "JPEG", "TIFF", "WEBP")]
    monkeypatch.setattr(Image, "open", counting_open)
    assert [result.status for result in colorizer.colorize(data, "jpeg")] == ["ok"] * 4
    assert len(opened) == 4


def test_no_inputs_give_no_results(colorizer: Colorizer) -> None:
    assert colorizer.colorize([]) == []


def test_a_batch_of_invalid_inputs_gives_failures(colorizer: Colorizer) -> None:
    assert [result.status for result in colorizer.colorize([b"", b""])] == ["empty", "empty"]


def test_each_input_can_have_its_own_format(colorizer: Colorizer, photos: np.ndarray) -> None:
    results = colorizer.colorize([file(photos[0]), b"", file(photos[1])], ["png", "png", "jpeg"])
    formats = [Image.open(io.BytesIO(r.image)).format for r in results if r.image is not None]
    assert formats == ["PNG", "JPEG"]


def test_results_do_not_depend_on_the_batch(colorizer: Colorizer, photos: np.ndarray) -> None:
    """Mixed shapes; the tolerance is 1 because float32 sums in another order in a larger batch."""
    heights, widths = (256, 100, 256, 99, 30, 256), (256, 256, 256, 256, 256, 80)
    data = [file(gray(p)[:h, :w]) for p, h, w in zip(photos, heights, widths, strict=True)]
    for together, one in zip(colorizer.colorize(data), data, strict=True):
        alone = colorizer.colorize([one])[0]
        assert np.abs(decoded(together).astype(int) - decoded(alone)).max() <= 1


# Inputs in color


def test_color_photographs_are_recognized(colorizer: Colorizer, photos: np.ndarray) -> None:
    vivid = max(photos, key=lambda photo: np.linalg.norm(rgb2lab(photo)[..., 1:], axis=-1).mean())
    assert [r.is_color for r in colorizer.colorize([file(vivid), file(gray(vivid))])] == [True, False]


@pytest.mark.parametrize(("blue", "is_color"), [(134, False), (140, True)])
def test_a_mean_chroma_of_4_is_color(colorizer: Colorizer, blue: int, is_color: bool) -> None:
    tint = np.full((40, 40, 3), (128, 128, blue), np.uint8)
    assert (np.linalg.norm(rgb2lab(tint)[0, 0, 1:]) >= 4) == is_color
    assert colorizer.colorize([file(tint)], settings=PhotoSettings(on_tone="keep"))[0].is_color == is_color


def test_a_toned_photograph_counts_as_gray_unless_its_tone_is_kept(colorizer: Colorizer, photos: np.ndarray) -> None:
    sepia = (gray(photos[0])[..., None] / 255 * (255, 236, 200)).round().astype(np.uint8)
    (replaced,), (kept,) = (
        colorizer.colorize([file(sepia)], on_color="skip", settings=PhotoSettings(on_tone=policy))
        for policy in ("neutralize", "keep")
    )
    assert (replaced.status, replaced.is_color, replaced.tone) == ("ok", False, "sepia")
    assert (kept.status, kept.is_color, kept.tone) == ("skipped_color", True, "sepia")


def vivid(size: int = 40) -> np.ndarray:
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[..., 0], pixels[..., 2] = 200, np.arange(size)
    return pixels


def test_color_photographs_are_colorized_by_default() -> None:
    out = decoded(Colorizer(ConstantColor(0, 0), 64, "cpu").colorize([file(vivid())])[0])
    assert (out[..., 0] == out[..., 2]).all()


def test_color_photographs_can_be_skipped(colorizer: Colorizer) -> None:
    result = colorizer.colorize([file(vivid())], on_color="skip")[0]
    assert (result.status, result.image) == ("skipped_color", None)


def test_color_photographs_can_be_copied_byte_for_byte(colorizer: Colorizer) -> None:
    data = file(vivid(), "JPEG")
    result = colorizer.colorize([data], "png", on_color="copy")[0]
    assert (result.status, result.image) == ("skipped_color", data)


@pytest.mark.parametrize("on_color", ["skip", "copy"])
def test_the_result_of_a_skipped_photograph_has_its_properties(colorizer: Colorizer, on_color: str) -> None:
    result = colorizer.colorize([file(vivid(), "BMP")], on_color=on_color)[0]
    described = (result.width, result.height, result.source_format, result.bit_depth, result.is_color)
    assert described == (40, 40, "BMP", 8, True)


@pytest.mark.parametrize("on_color", ["skip", "copy"])
def test_gray_is_colorized_under_every_policy(colorizer: Colorizer, photos: np.ndarray, on_color: str) -> None:
    assert colorizer.colorize([file(gray(photos[0]))], on_color=on_color)[0].status == "ok"


def test_simplifications_are_noted(colorizer: Colorizer, photos: np.ndarray) -> None:
    pages = [Image.fromarray(gray(photos[i])) for i in range(2)]
    sink = io.BytesIO()
    pages[0].save(sink, "TIFF", save_all=True, append_images=pages[1:])
    assert colorizer.colorize([sink.getvalue()])[0].note == "first of 2 pages or frames"


# Scores


def test_a_gray_photograph_has_no_scores_against_a_reference(colorizer: Colorizer, photos: np.ndarray) -> None:
    scores = colorizer.colorize([file(gray(photos[0]))])[0].scores
    assert set(scores) == {"mean_chroma", "gamut_clipped", "max_lightness_error"}


@pytest.fixture
def scored(colorizer: Colorizer, photos: np.ndarray) -> list[tuple[ColorizedPhoto, np.ndarray]]:
    """Results and truth of the photographs in color, not square."""
    results = colorizer.colorize([file(photo[:150]) for photo in photos])
    pairs = [(result, photo[:150]) for result, photo in zip(results, photos, strict=True) if result.is_color]
    assert len(pairs) > 2
    return pairs


def test_psnr_is_that_of_the_image(scored: list[tuple[ColorizedPhoto, np.ndarray]]) -> None:
    for result, truth in scored:
        expected = peak_signal_noise_ratio(truth, decoded(result), data_range=255)
        assert result.scores["psnr"] == pytest.approx(expected, abs=1e-5)


def test_ssim_is_that_of_the_image(scored: list[tuple[ColorizedPhoto, np.ndarray]]) -> None:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    for result, truth in scored:
        expected = structural_similarity(truth, decoded(result), data_range=255, **options)
        assert result.scores["ssim"] == pytest.approx(expected, abs=1e-5)


def test_mae_is_that_of_the_image(scored: list[tuple[ColorizedPhoto, np.ndarray]]) -> None:
    """The score is computed before rounding to 8 bits, which changes a and b by about half a unit."""
    for result, truth in scored:
        expected = np.abs(rgb2lab(decoded(result)) - rgb2lab(truth))[..., 1:].mean() / 110
        assert result.scores["mae_ab"] == pytest.approx(expected, abs=0.5 / 110)


def test_mean_chroma_is_that_of_the_image(scored: list[tuple[ColorizedPhoto, np.ndarray]]) -> None:
    for result, _ in scored:
        expected = np.linalg.norm(rgb2lab(decoded(result))[..., 1:], axis=-1).mean()
        assert result.scores["mean_chroma"] == pytest.approx(expected, abs=0.5)  # rounding, as above


def test_gamut_clipped_is_the_share_of_pixels_that_lost_chroma() -> None:
    """All colors are in gamut on the gray quarter and out of gamut on the black rest."""
    pixels = np.full((40, 60), 128, np.uint8)
    pixels[:, 15:] = 0
    result = Colorizer(ConstantColor(20, 20), 64, "cpu").colorize([file(pixels)])[0]
    assert result.scores["gamut_clipped"] == 0.75


# Ensembles


def test_the_colors_of_several_models_are_mixed() -> None:
    models = {"one": (ConstantColor(12, -9), 64), "other": (ConstantColor(2, 15), 32)}
    data = [file(np.full((40, 60), 128, np.uint8))]
    mean = Colorizer(models, device="cpu").colorize(data)[0]
    np.testing.assert_allclose(rgb2lab(decoded(mean))[..., 1:].mean(axis=(0, 1)), (7, 3), atol=0.6)
    assert mean.scores["disagreement"] == pytest.approx(26)  # the distance of (12, -9) and (2, 15)
    limited = Colorizer(models, device="cpu", ensemble=EnsembleOptions(calm="one", limit=13)).colorize(data)[0]
    np.testing.assert_allclose(rgb2lab(decoded(limited))[..., 1:].mean(axis=(0, 1)), (7, 3), atol=0.6)
    assert limited.scores["disagreement"] == pytest.approx(26)


def test_each_model_of_an_ensemble_has_its_working_size(photos: np.ndarray) -> None:
    seen = {}

    class Look(ConstantColor):
        def forward(self, L: torch.Tensor) -> torch.Tensor:
            seen[self.color[0, 0].item()] = L
            return super().forward(L)

    small, large = (Look(a, 0) for a in (1, 2))
    colorizer = Colorizer({"small": (small, 64), "large": (large, 96)}, device="cpu", precision="fp32")
    assert colorizer.working_size == 96
    colorizer.colorize([file(photos[0])])
    for model, size in ((small, 64), (large, 96)):
        ensemble_saw = seen[model.color[0, 0].item()]
        Colorizer(model, size, "cpu", precision="fp32").colorize([file(photos[0])])
        assert ensemble_saw.shape == (1, 1, size, size)
        assert torch.equal(ensemble_saw, seen[model.color[0, 0].item()])


def test_the_ensemble_of_a_model_with_itself_is_the_model(tiny_model: ColorModel, photos: np.ndarray) -> None:
    data = [file(gray(photo)) for photo in photos[:2]]
    both = Colorizer({"one": (tiny_model, 64), "other": (tiny_model, 64)}, device="cpu").colorize(data)
    for alone, mixed in zip(Colorizer(tiny_model, 64, "cpu").colorize(data), both, strict=True):
        np.testing.assert_array_equal(decoded(alone), decoded(mixed))
        assert mixed.scores == {**alone.scores, "disagreement": 0}


def test_an_ensemble_is_loaded_from_checkpoints_and_named_in_the_image(
    tmp_path: Path, tiny_model: ColorModel, photos: np.ndarray
) -> None:
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, tiny_model, 64)
    checkpoints = {name: (str(tmp_path / name), None) for name in ("a", "b")}
    loaded = Colorizer.load_ensemble(checkpoints, EnsembleOptions(weights={"a": 1, "b": 2}), "cpu")
    sha256 = read_checkpoint_config(tmp_path / "a").weights_sha256
    assert loaded.provenance is not None
    assert loaded.provenance.model == "encoder_decoder + encoder_decoder"
    assert loaded.provenance.checkpoint_sha256 == f"{sha256} + {sha256}"
    assert loaded.colorize([file(photos[0])])[0].scores["disagreement"] == 0
    with pytest.raises(UserError, match=r"ensemble\.calm = 'c'"):
        Colorizer.load_ensemble(checkpoints, EnsembleOptions(calm="c", limit=1), "cpu")


# Loading


def test_a_colorizer_is_loaded_from_a_checkpoint(tmp_path: object, tiny_model: ColorModel, photos: np.ndarray) -> None:
    save_checkpoint(f"{tmp_path}/saved", tiny_model, 64)
    loaded = Colorizer.load(f"{tmp_path}/saved", "cpu")
    assert loaded.working_size == 64
    assert Colorizer.load(f"{tmp_path}/saved", "cpu", working_size=96).working_size == 96
    data = [file(gray(photos[0]))]
    expected = Colorizer(tiny_model, 64, "cpu").colorize(data)[0]
    np.testing.assert_array_equal(decoded(loaded.colorize(data)[0]), decoded(expected))


@pytest.mark.parametrize(("size", "shape"), [(64, (64, 64)), (96, (96, 96))])
def test_the_model_input_has_the_working_size(size: int, shape: tuple[int, int], photos: np.ndarray) -> None:
    seen = []

    class Look(ConstantColor):
        def forward(self, L: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(L.shape[-2:]))
            return super().forward(L)

    Colorizer(Look(1, 1), size, "cpu").colorize([file(photos[0])])
    assert seen == [shape]


def test_the_model_is_put_into_evaluation_mode(tiny_model: ColorModel) -> None:
    Colorizer(tiny_model.train(), 64, "cpu")
    assert not tiny_model.training


@pytest.mark.parametrize("threads", [1, 3])
def test_the_time_of_each_stage_is_measured(tiny_model: ColorModel, photos: np.ndarray, threads: int) -> None:
    colorizer = Colorizer(tiny_model, 64, "cpu", threads=threads)
    colorizer.colorize([file(gray(photos[0])), b"no photograph"])
    spent = colorizer.stages.pop()
    assert list(spent) == [DECODE, SHRINK, INFER, PAINT, ENCODE]
    assert all(seconds > 0 for seconds in spent.values())
    colorizer.colorize([file(photos[0])])
    assert list(colorizer.stages.pop()) == [DECODE, SHRINK, INFER, PAINT, SCORE, ENCODE]


def test_what_there_is_of_a_truncated_photograph_is_colorized_with_a_note(
    colorizer: Colorizer, photos: np.ndarray
) -> None:
    cut = file(gray(photos[0]), "JPEG")[:-200]
    (failed,), (kept,) = (colorizer.colorize([cut], on_truncated=policy) for policy in ("fail", "colorize"))
    assert (failed.status, failed.image) == ("truncated", None)
    assert (kept.status, kept.note) == ("ok", INCOMPLETE)
    assert kept.image
