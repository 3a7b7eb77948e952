"""Compilation of loops over pixels with numba."""

from collections.abc import Callable
from typing import Any

import numba


def compile_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop at its first call, cached on disk; without a writable cache, every process compiles again."""
    # error_model="numpy": Python's check for division by zero would add a branch to every loop.
    try:
        return numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")(function)
    except RuntimeError:
        return numba.njit(nogil=True, fastmath=True, error_model="numpy")(function)
