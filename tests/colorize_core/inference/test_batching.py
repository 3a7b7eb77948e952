from collections.abc import Iterator

import pytest
import torch
from torch import nn

from colorize_core.inference.batching import BatchPredictor

SQUARE, WIDE = (64, 64), (32, 96)


class Recorder(nn.Module):
    """Returns a = L, b = -L; records batch sizes; runs out of memory above a number of pixels."""

    def __init__(self, max_pixels: int = 10**9, channels: int = 1) -> None:
        super().__init__()
        self.max_pixels, self.channels = max_pixels, channels
        self.batches: list[int] = []

    def forward(self, L: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(L))
        if L.numel() > self.max_pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        nn.functional.pad(L, (0, 0, 0, 0, 0, self.channels - 1))  # features of channels x h x w x 4 bytes
        return torch.cat((L, -L), dim=1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def predict(model: nn.Module, shapes: list[tuple[int, int]]) -> list[torch.Tensor | None]:
    """Predict photographs whose lightness is their index."""
    lightness = [torch.full((1, 1, *shape), float(index)) for index, shape in enumerate(shapes)]
    return BatchPredictor(model, torch.device("cpu"), "fp32").predict(lightness, shapes)


def test_results_are_in_the_order_of_the_photographs() -> None:
    results = predict(Recorder(), [SQUARE, WIDE, SQUARE, WIDE, SQUARE])
    for index, (ab, shape) in enumerate(zip(results, [SQUARE, WIDE, SQUARE, WIDE, SQUARE], strict=True)):
        assert ab is not None
        expected = (index / 50 - 1) * 110
        torch.testing.assert_close(ab[:, :1], torch.full((1, 1, *shape), expected))


def test_the_padding_of_the_working_shape_is_cut_off() -> None:
    lightness = torch.rand(1, 1, 20, 64) * 100
    (ab,) = BatchPredictor(Recorder(), torch.device("cpu"), "fp32").predict([lightness], [(32, 64)])
    assert ab is not None
    torch.testing.assert_close(ab[:, :1], (lightness / 50 - 1) * 110)


def test_photographs_of_equal_working_shape_run_together() -> None:
    model = Recorder()
    predict(model, [SQUARE, WIDE, SQUARE, WIDE, SQUARE])
    assert model.batches == [1, 2, 1, 1]  # the first of each shape runs alone, to measure the features


@pytest.mark.parametrize(("channels", "batches"), [(64, [1, 5]), (2048, [1, 1, 1, 1, 1, 1]), (1024, [1, 2, 2, 1])])
def test_batches_on_a_cpu_are_limited_by_the_size_of_the_features(channels: int, batches: list[int]) -> None:
    model = Recorder(channels=channels)
    predict(model, [SQUARE] * 6)
    assert model.batches == batches


def test_the_features_of_a_shape_are_measured_once() -> None:
    model = Recorder()
    predictor = BatchPredictor(model, torch.device("cpu"), "fp32")
    for _ in range(2):
        predictor.predict([torch.zeros(1, 1, *SQUARE)] * 4, [SQUARE] * 4)
    assert model.batches == [1, 3, 4]


def test_a_batch_that_does_not_fit_is_halved() -> None:
    model = Recorder(max_pixels=2 * 64 * 64)
    assert all(ab is not None for ab in predict(model, [SQUARE] * 6))
    assert model.batches == [1, 5, 3, 2, 1, 2]


def test_a_photograph_that_does_not_fit_alone_has_no_result() -> None:
    results = predict(Recorder(max_pixels=64 * 64 - 1), [SQUARE, WIDE, SQUARE])
    assert [ab is None for ab in results] == [True, False, True]


def test_no_photographs_need_no_run() -> None:
    model = Recorder()
    assert predict(model, []) == []
    assert model.batches == []


def test_the_model_is_put_into_evaluation_mode() -> None:
    assert not BatchPredictor(Recorder().train(), torch.device("cpu")).network.training
