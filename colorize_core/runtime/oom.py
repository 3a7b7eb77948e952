"""Running out of memory: told from other faults, and met by smaller batches."""

from collections.abc import Callable

import torch
from torch import Tensor

_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: of CUDA, of Python, or of the CPU allocator of torch, which has no error of its own."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)


def run_with_oom_split(function: Callable[[Tensor], Tensor], batch: Tensor) -> list[Tensor | None]:
    """Run a function on a batch, on halves of it where memory runs out, down to single items.

    Args:
        function: (n, ...) to (n, ...), each item by itself.
        batch: (B, ...).

    Returns:
        B results (1, ...); None for an item that does not fit by itself. Other errors are raised.
    """
    try:
        return list(function(batch).split(1))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Out of the handler: the error would hold on to the tensors of the attempt.
    if batch.is_cuda:
        torch.cuda.empty_cache()
    if len(batch) == 1:
        return [None]
    return [result for half in batch.chunk(2) for result in run_with_oom_split(function, half)]
