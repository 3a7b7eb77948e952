from collections.abc import Callable, Iterator

import numpy as np
import pytest
import skimage.color
import torch
from skimage.color import lab2rgb, lab2xyz, rgb2lab

from colorize_core.color import lab as color

TOLERANCE = 1e-3  # in CIELAB units, and in sRGB units of [0, 1], where it is a quarter of an 8-bit step


def pixels(values: np.ndarray) -> torch.Tensor:
    """(N, 3) rows to (1, 3, N, 1)."""
    return torch.from_numpy(np.ascontiguousarray(values.T))[None, :, :, None].float()


def rows(tensor: torch.Tensor) -> np.ndarray:
    """(1, C, N, 1) to (N, C) float64."""
    return tensor[0, :, :, 0].T.double().numpy()


def cube(step: int) -> np.ndarray:
    """A lattice in the 8-bit sRGB cube, corners included, as (N, 3) pixel values."""
    levels = np.arange(0, 256, step)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)


def linear(lab: np.ndarray) -> np.ndarray:
    """Unclipped linear sRGB of (N, 3) CIELAB, by scikit-image."""
    return lab2xyz(lab) @ np.asarray(skimage.color.colorconv.rgb_from_xyz).T


def lab_box() -> np.ndarray:
    """Random colors of the CIELAB box, most of them outside sRGB; those with negative Z are undefined and left out."""
    generator = np.random.default_rng(0)
    lab = generator.uniform((0, -128, -128), (100, 128, 128), (20000, 3))
    return lab[(lab[:, 0] + 16) / 116 - lab[:, 2] / 200 > 0]


def cube_slices(step: int) -> Iterator[np.ndarray]:
    """8-bit sRGB colors in [0, 1], one red value at a time, as (65536, 3); step 1 gives all 16.7 million."""
    green, blue = np.divmod(np.arange(65536), 256)
    for red in range(0, 256, step):
        yield np.stack((np.full(65536, red), green, blue), axis=1) / 255


def test_rgb_to_lab_equals_scikit_image_on_a_lattice() -> None:
    rgb = cube(5) / 255
    np.testing.assert_allclose(rows(color.rgb_to_lab(pixels(rgb))), rgb2lab(rgb), atol=TOLERANCE, rtol=0)


def test_rgb_to_lab_equals_scikit_image_near_black() -> None:
    """The curves of sRGB and CIELAB both change from linear to power there."""
    rgb = np.random.default_rng(0).uniform(0, 0.12, (20000, 3))
    np.testing.assert_allclose(rows(color.rgb_to_lab(pixels(rgb))), rgb2lab(rgb), atol=TOLERANCE, rtol=0)


def test_lab_to_rgb_equals_scikit_image_on_a_lattice() -> None:
    lab = rgb2lab(cube(5) / 255)
    np.testing.assert_allclose(rows(color.lab_to_rgb(pixels(lab))), lab2rgb(lab), atol=TOLERANCE, rtol=0)


def test_lab_to_rgb_clips_colors_outside_srgb_as_scikit_image_does() -> None:
    lab = lab_box()
    np.testing.assert_allclose(rows(color.lab_to_rgb(pixels(lab))), lab2rgb(lab), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("step", [16, pytest.param(1, marks=pytest.mark.long)])
def test_both_conversions_equal_scikit_image_on_every_color(step: int) -> None:
    """All green and blue values with every 16th red value, or with every red value."""
    for rgb in cube_slices(step):
        lab = rgb2lab(rgb)
        np.testing.assert_allclose(rows(color.rgb_to_lab(pixels(rgb))), lab, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(rows(color.lab_to_rgb(pixels(lab))), rgb, atol=TOLERANCE, rtol=0)


def test_eight_bit_colors_survive_the_round_trip_exactly() -> None:
    levels = cube(5)
    back = color.to_uint8(color.lab_to_rgb(color.rgb_to_lab(pixels(levels / 255))))
    np.testing.assert_array_equal(rows(back), levels)


def test_images_of_a_batch_are_converted_independently() -> None:
    batch = torch.rand(3, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    reference = rgb2lab(batch.double().numpy(), channel_axis=1)
    np.testing.assert_allclose(color.rgb_to_lab(batch).numpy(), reference, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("convert", [color.rgb_to_lab, color.lab_to_rgb])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_conversions_compute_in_float32_for_every_dtype(convert: object, dtype: torch.dtype) -> None:
    assert callable(convert)
    values = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    result = convert(values)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, convert(values.float()))


@pytest.mark.parametrize("convert", [color.rgb_to_lab, color.lab_to_rgb, color.fit_gamut, color.lab_to_uint8])
def test_conversions_do_not_modify_their_input(convert: object) -> None:
    assert callable(convert)
    values = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 100
    before = values.clone()
    convert(values)
    assert torch.equal(values, before)


def test_to_uint8_rounds_to_the_nearest_level() -> None:
    values = torch.tensor([0.4, 0.6, 1.4, 253.6, 254.4]) / 255
    assert color.to_uint8(values).tolist() == [0, 1, 1, 254, 254]


def test_to_uint8_clips() -> None:
    assert color.to_uint8(torch.tensor([-1.0, 2.0])).tolist() == [0, 255]


def test_lightness_to_gray_is_the_gray_of_that_lightness() -> None:
    gray = np.linspace(0, 1, 256)
    L = rgb2lab(np.repeat(gray[:, None], 3, 1))[:, 0]
    torch.testing.assert_close(color.lightness_to_gray(torch.tensor(L)), torch.tensor(gray), atol=5e-6, rtol=0)
    L = torch.tensor([0.0, 8.0, 100.0], requires_grad=True)
    color.lightness_to_gray(L).sum().backward()
    assert L.grad.isfinite().all()


def test_conversions_are_exact_within_autocast() -> None:
    """A product of matrices would be computed in bfloat16 there."""
    rgb = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        lab = color.rgb_to_lab(rgb)
        back = color.lab_to_rgb(lab)
    assert torch.equal(lab, color.rgb_to_lab(rgb))
    assert torch.equal(back, color.lab_to_rgb(lab))


def test_chroma_is_the_length_of_a_and_b() -> None:
    ab = torch.tensor([[3.0, 0.0], [-4.0, 2.0]]).view(1, 2, 1, 2)  # (3, -4) and (0, 2)
    assert color.chroma(ab).tolist() == [[[5.0, 2.0]]]


def test_fit_gamut_keeps_lightness_exactly() -> None:
    lab = pixels(lab_box())
    fitted, _ = color.fit_gamut(lab)
    assert torch.equal(fitted[:, 0], lab[:, 0])


def test_fit_gamut_keeps_hue() -> None:
    lab = pixels(lab_box())
    fitted, _ = color.fit_gamut(lab)
    before, after = rows(lab)[:, 1:], rows(fitted)[:, 1:]
    across = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]  # |before| |after| sin(turn)
    scale = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    assert (np.abs(across) <= 1e-6 * scale + 1e-6).all()  # float32 has 7 digits
    assert ((before * after).sum(axis=1) >= 0).all()  # not the opposite hue


def test_fit_gamut_returns_colors_inside_srgb() -> None:
    fitted, _ = color.fit_gamut(pixels(lab_box()))
    light = linear(rows(fitted))
    # A tenth of an 8-bit step is 3e-5 of linear light where the curve is steepest, and 9e-4 at white.
    assert light.min() >= -3e-5
    assert light.max() <= 1 + 1.5e-4


def test_fit_gamut_reduces_chroma_no_more_than_necessary() -> None:
    lab = pixels(lab_box())
    fitted, changed = color.fit_gamut(lab)
    more = rows(fitted)
    more[:, 1:] += 2 / 1024 * rows(lab)[:, 1:]  # twice the resolution of the search
    light = linear(more[changed[0, :, 0].numpy()])
    # the core's tolerances, less float32's error
    assert ((light.min(axis=1) < -1e-5) | (light.max(axis=1) > 1 + 0.9e-4)).all()


def test_fit_gamut_does_not_change_srgb_colors() -> None:
    lab = pixels(rgb2lab(cube(5) / 255))
    fitted, changed = color.fit_gamut(lab)
    assert not changed.any()
    assert torch.equal(fitted, lab)


def test_fit_gamut_does_not_change_colors_inside_the_gamut_among_colors_outside() -> None:
    inside, outside = rgb2lab(cube(51) / 255), lab_box()
    outside = outside[(linear(outside).min(axis=1) < -0.01) | (linear(outside).max(axis=1) > 1.01)]
    lab = pixels(np.concatenate((inside, outside)))
    fitted, _ = color.fit_gamut(lab)
    assert torch.equal(fitted[:, :, : len(inside)], lab[:, :, : len(inside)])


def test_fit_gamut_returns_the_mask_of_changed_pixels() -> None:
    lab = pixels(lab_box())
    fitted, changed = color.fit_gamut(lab)
    assert changed.any()
    assert torch.equal((fitted != lab).any(dim=1), changed)


def test_fit_gamut_maps_images_of_a_batch_independently() -> None:
    lab = pixels(lab_box()[:240]).view(1, 3, 240, 1).reshape(3, 2, 10, 12).permute(1, 0, 2, 3)
    together, _ = color.fit_gamut(lab)
    alone = torch.cat([color.fit_gamut(one[None])[0] for one in lab])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("L", [0.0, 100.0])
def test_fit_gamut_removes_all_chroma_of_black_and_white(L: float) -> None:
    fitted, changed = color.fit_gamut(torch.tensor([L, 60.0, -40.0]).view(1, 3, 1, 1))
    assert changed.all()
    assert color.chroma(fitted[:, 1:]).item() < 0.5  # half an 8-bit step


def test_network_lightness_ranges_from_minus_one_to_one() -> None:
    assert color.normalize_L(torch.tensor([0.0, 50.0, 100.0])).tolist() == [-1.0, 0.0, 1.0]


def test_network_chroma_is_ab_divided_by_110() -> None:
    assert color.normalize_ab(torch.tensor([-110.0, 0.0, 55.0])).tolist() == [-1.0, 0.0, 0.5]


def test_every_srgb_color_is_within_the_range_of_networks() -> None:
    """The extremes of the gamut are corners of the cube."""
    lab = pixels(rgb2lab(cube(51) / 255))
    assert color.normalize_L(lab[:, :1]).abs().max() <= 1 + 1e-5  # white is 1 up to float32
    assert color.normalize_ab(lab[:, 1:]).abs().max() < 1


def test_denormalize_ab_undoes_normalize_ab() -> None:
    ab = torch.linspace(-110, 110, 101).view(1, 1, 101, 1)
    torch.testing.assert_close(color.denormalize_ab(color.normalize_ab(ab)), ab)


def test_the_gray_of_a_lightness_is_scikit_images() -> None:
    """There R, G and B differ by up to 1e-4, because the white of its matrix is not exactly that of D65."""
    L = np.linspace(0, 100, 201)
    expected = lab2rgb(np.stack((L, np.zeros(201), np.zeros(201)), axis=1))
    gray = color.lightness_to_gray(torch.from_numpy(L).view(1, 1, 201, 1))
    assert gray.dtype == torch.float64
    np.testing.assert_allclose(gray.flatten()[:, None].numpy().repeat(3, 1), expected, atol=2e-4)


def test_denormalize_lightness_undoes_normalize_lightness() -> None:
    L = torch.linspace(0, 100, 101)
    torch.testing.assert_close(color.denormalize_L(color.normalize_L(L)), L)


def test_the_image_of_a_network_is_float32_under_autocast() -> None:
    lab = color.rgb_to_lab(pixels(cube(51) / 255))
    with torch.autocast("cpu", torch.bfloat16):
        rgb = color.network_rgb(color.normalize_L(lab[:, :1]), color.normalize_ab(lab[:, 1:]))
    assert rgb.dtype == torch.float32
    np.testing.assert_allclose(rows(rgb), cube(51) / 255, atol=TOLERANCE)


def test_8_bit_lab_is_the_convention_of_opencv() -> None:
    rgb = cube(5) / 255
    L, ab = color.lab_to_uint8(color.rgb_to_lab(pixels(rgb)))
    exact = rgb2lab(rgb) * (255 / 100, 1, 1) + (0, 128, 128)
    stored = np.concatenate((rows(L), rows(ab)), axis=1)
    assert (L.dtype, ab.dtype) == (torch.uint8, torch.uint8)
    # rounding, and 2 * TOLERANCE because float32 may round a tie the other way
    assert np.abs(stored - exact).max() <= 0.5 + 2 * TOLERANCE


def test_network_scale_reads_8_bit_lab() -> None:
    L = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    ab = torch.tensor([[18, 128], [128, 238], [73, 183]], dtype=torch.uint8).view(3, 2, 1, 1)
    network_L, network_ab = color.network_scale(L, ab)
    torch.testing.assert_close(network_L.flatten(), torch.tensor([-1.0, -0.6, 1.0]))
    torch.testing.assert_close(network_ab.flatten(1), torch.tensor([[-1.0, 0.0], [0.0, 1.0], [-0.5, 0.5]]))


@pytest.mark.parametrize("convert", [color.rgb_to_lab, color.lab_to_rgb])
def test_gradients_are_finite_for_black_white_and_out_of_gamut(convert: Callable[[torch.Tensor], torch.Tensor]) -> None:
    corners = torch.tensor([[0.0, 0, 0], [1, 1, 1], [100, 0, 0], [50, 120, -120], [1, -90, 90], [0.001, 0, 0]])
    pixels = corners.T[None, :, :, None].clone().requires_grad_()
    convert(pixels).sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.isfinite().all()
