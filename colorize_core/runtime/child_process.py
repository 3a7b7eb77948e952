"""Run a function in a new process, so that its memory, threads and caches are separate from the caller's."""

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def run_in_subprocess(
    function: Callable[Arguments, Result], *args: Arguments.args, **options: Arguments.kwargs
) -> Result:
    """Call a module-level function in a new process; return its result or raise its exception."""
    spawn = multiprocessing.get_context("spawn")
    # Ctrl-C ends the child silently; the parent reports the interruption.
    default_sigint = (signal.SIGINT, signal.SIG_DFL)
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=signal.signal, initargs=default_sigint) as pool:
        return pool.submit(function, *args, **options).result()
