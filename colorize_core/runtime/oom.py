"""Recognition of out-of-memory errors, and recovery by splitting the batch."""

from collections.abc import Callable

import torch
from torch import Tensor

_MESSAGES = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory ran out: CUDA's, Python's, or that of torch's CPU allocator (a plain RuntimeError)."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error).lower() for message in _MESSAGES)


def run_with_oom_split(function: Callable[[Tensor], Tensor], batch: Tensor) -> list[Tensor | None]:
    """Run a function on a batch; where memory runs out, run it on halves, down to single items.

    Args:
        function: maps (n, ...) to (n, ...), each item independently.
        batch: (B, ...).

    Returns:
        B results (1, ...); None for an item that does not fit even alone.

    Raises:
        Exception: any other error of the function.
    """
    try:
        return list(function(batch).split(1))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Outside the handler: the exception would keep the tensors of the failed attempt alive.
    if batch.is_cuda:
        torch.cuda.empty_cache()
    if len(batch) == 1:
        return [None]
    return [result for half in batch.chunk(2) for result in run_with_oom_split(function, half)]
