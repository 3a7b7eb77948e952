"""Compile loops over pixels with numba."""

from collections.abc import Callable
from typing import Any

import numba


def compile_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, or take what an earlier process compiled; without a place to keep it, each does it."""
    # Python's rule for divisions by zero would be a branch in every loop.
    try:
        return numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")(function)
    except RuntimeError:
        return numba.njit(nogil=True, fastmath=True, error_model="numpy")(function)
