import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from colorize_core.inference.prediction import (
    colorize_lightness,
    content_shape,
    enlarge,
    pad,
    predict_ab,
    shrink,
    working_shape,
)

SIZES = [(256, 256), (480, 640), (640, 480), (1, 1), (31, 33), (4000, 6000), (1000, 3000), (10000, 200), (1, 100000)]


class Echo(nn.Module):
    """Records its inputs and returns a = L, b = -L on the network's scale."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, L: torch.Tensor) -> torch.Tensor:
        self.seen.append(L)
        return torch.cat((L, -L), dim=1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("working", [32, 64, 256, 512])
def test_sides_are_positive_multiples_of_32(size: tuple[int, int], working: int) -> None:
    assert all(side >= 32 and side % 32 == 0 for side in working_shape(*size, working))


@pytest.mark.parametrize("working", [32, 64, 256, 512])
def test_the_working_shape_of_a_square_is_the_working_size(working: int) -> None:
    assert working_shape(1234, 1234, working) == (working, working)


@pytest.mark.parametrize("size", SIZES)
def test_the_working_shape_of_a_rotated_photograph_is_rotated(size: tuple[int, int]) -> None:
    height, width = size
    assert working_shape(width, height, 256) == working_shape(height, width, 256)[::-1]


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.66, 0.75, 1.0, 1.33, 1.5, 2.0, 4.0])
def test_sides_are_the_multiples_nearest_to_the_aspect_ratio_at_constant_area(ratio: float) -> None:
    height, width = working_shape(round(1000 * ratio), 1000, 256)
    assert abs(height - 256 * math.sqrt(ratio)) <= 16.5  # half of 32, and the rounded height of the photograph
    assert abs(width - 256 / math.sqrt(ratio)) <= 16.5


def test_the_longest_working_shape_is_the_area_divided_by_32() -> None:
    assert working_shape(10, 100000, 256) == (32, 256**2 // 32)


@pytest.mark.parametrize("size", [*SIZES, (300, 3000), (3000, 300), (64, 4097)])
@pytest.mark.parametrize("working", [32, 64, 256, 512])
def test_the_aspect_ratio_is_distorted_by_at_most_an_eighth(size: tuple[int, int], working: int) -> None:
    shape = working_shape(*size, working)
    content = content_shape(*size, shape)
    assert all(1 <= side <= whole for side, whole in zip(content, shape, strict=True))
    # rounded to whole pixels, of which a short side has few
    slack = 1 + 0.5 / min(content)
    squash = content[0] / content[1] / (size[0] / size[1])
    assert min(content) == 1 or 1 / (9 / 8 * slack) <= squash <= 9 / 8 * slack


def test_common_photographs_fill_their_working_shape() -> None:
    for size in ((480, 640), (640, 480), (4000, 6000), (1080, 1920), (256, 256)):
        shape = working_shape(*size, 256)
        assert content_shape(*size, shape) == shape


@pytest.mark.parametrize("height", [1, 2, 5, 31, 32])
def test_padding_equals_symmetric_padding_of_numpy(height: int) -> None:
    L = torch.rand(2, 1, height, 64, generator=torch.Generator().manual_seed(0))
    expected = np.pad(L.numpy(), ((0, 0), (0, 0), (0, 32 - height), (0, 32)), mode="symmetric")
    np.testing.assert_array_equal(pad(L, (32, 96)).numpy(), expected)


def test_a_panorama_is_padded_rather_than_distorted() -> None:
    """The edge in an image of 100 x 10000 stays in place, although the model input is padded."""
    L = torch.zeros(1, 1, 100, 10000)
    L[..., 5000:] = 100
    model = Echo()
    a = colorize_lightness(model, L, 256)[0, 0]
    assert model.seen[0].shape[-2:] == (32, 2048)
    assert a[:, :4900].max() < -100
    assert a[:, 5100:].min() > 100


def test_the_shape_does_not_depend_on_the_resolution() -> None:
    assert len({working_shape(2 * k, 3 * k, 256) for k in (1, 10, 100, 1000)}) == 1


def test_the_model_input_is_normalized_lightness() -> None:
    model = Echo()
    predict_ab(model, torch.tensor([0.0, 25.0, 100.0]).view(3, 1, 1, 1))
    assert model.seen[0].flatten().tolist() == [-1.0, -0.5, 1.0]


def test_predicted_chroma_is_in_cielab_units() -> None:
    ab = predict_ab(Echo(), torch.full((1, 1, 32, 32), 75.0))
    torch.testing.assert_close(ab, torch.tensor([55.0, -55.0]).view(1, 2, 1, 1).expand(1, 2, 32, 32))


def test_prediction_of_a_half_precision_network_is_float32() -> None:
    class Half(nn.Module):
        def forward(self, L: torch.Tensor) -> torch.Tensor:
            return torch.cat((L, L), dim=1).half()

    assert predict_ab(Half(), torch.zeros(1, 1, 32, 32)).dtype == torch.float32


def test_prediction_keeps_no_graph() -> None:
    assert not predict_ab(nn.Conv2d(1, 2, 3, padding=1), torch.zeros(1, 1, 32, 32)).requires_grad


def resized(channel: torch.Tensor, shape: tuple[int, int]) -> np.ndarray:
    """Bilinear resize by Pillow, in float; antialiased when shrinking."""
    return np.asarray(Image.fromarray(channel.numpy()).resize(shape[::-1], Image.Resampling.BILINEAR))


@pytest.mark.parametrize("shape", [(32, 64), (64, 32), (96, 96)])
def test_shrink_equals_antialiased_bilinear_resize_of_pillow(shape: tuple[int, int], photos: np.ndarray) -> None:
    L = torch.from_numpy(photos[:2, :200, :, 1].astype(np.float32))[:, None] / 2.55
    reference = np.stack([resized(one[0], shape) for one in L])
    np.testing.assert_allclose(shrink(L, shape)[:, 0].numpy(), reference, atol=1e-3)  # of 100; float32


def test_enlarge_equals_bilinear_resize_of_pillow() -> None:
    ab = torch.rand(1, 2, 32, 64, generator=torch.Generator().manual_seed(0)) * 200 - 100
    reference = np.stack([resized(channel, (150, 333)) for channel in ab[0]])
    np.testing.assert_allclose(enlarge(ab, (150, 333))[0].numpy(), reference, atol=1e-3)  # of 100; float32


@pytest.mark.parametrize("resize", [shrink, enlarge])
def test_nothing_is_resampled_at_the_right_size(resize: object) -> None:
    assert callable(resize)
    values = torch.rand(1, 1, 32, 64)
    assert torch.equal(resize(values, (32, 64)), values)


@pytest.mark.parametrize("size", [(256, 256), (100, 333), (7, 5), (300, 40)])
def test_chroma_has_the_size_of_the_lightness(size: tuple[int, int]) -> None:
    assert colorize_lightness(Echo(), torch.full((2, 1, *size), 50.0), 64).shape == (2, 2, *size)


def test_the_model_input_has_the_working_shape() -> None:
    model = Echo()
    colorize_lightness(model, torch.full((1, 1, 200, 400), 50.0), 64)
    assert model.seen[0].shape[-2:] == working_shape(200, 400, 64)


def test_color_stays_in_place() -> None:
    """With a model that returns its input, a bright quarter stays where it is in the photograph."""
    L = torch.zeros(1, 1, 128, 192)
    L[..., :64, 96:] = 100
    a = colorize_lightness(Echo(), L, 64)[0, 0]
    assert a[8:56, 104:184].min() > 100  # 110, less what antialiasing mixes in at the border
    assert a[72:, :].max() < -100
    assert a[:, :88].max() < -100
