import pytest
import torch

from colorize_core.runtime.oom import is_out_of_memory, run_with_oom_split


def double_up_to(limit: int, error: Exception, seen: list[int]) -> object:
    """Return a function that doubles a batch and raises for more than `limit` items."""

    def double(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        if len(batch) > limit:
            raise error
        return 2 * batch

    return double


BATCH = torch.arange(6.0).view(6, 1)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), MemoryError("numpy")])
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_a_batch_that_does_not_fit_is_split(error: Exception, limit: int) -> None:
    seen: list[int] = []
    results = run_with_oom_split(double_up_to(limit, error, seen), BATCH)
    assert torch.equal(torch.cat(results), 2 * BATCH)
    assert seen[0] == 6


def test_a_batch_that_fits_is_not_split() -> None:
    seen: list[int] = []
    run_with_oom_split(double_up_to(6, MemoryError(), seen), BATCH)
    assert seen == [6]


def test_an_item_that_does_not_fit_does_not_affect_the_others() -> None:
    def double(batch: torch.Tensor) -> torch.Tensor:
        if (batch == 4).any():
            raise MemoryError
        return 2 * batch

    results = run_with_oom_split(double, BATCH)
    assert [None if result is None else float(result) for result in results] == [0, 2, 4, 6, None, 10]


def test_other_errors_are_raised() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        run_with_oom_split(double_up_to(0, RuntimeError("shape mismatch"), []), BATCH)


def test_the_error_of_torchs_cpu_allocator_is_recognized() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
