"""Work in a process of its own: its memory, threads and caches are nobody else's."""

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def run_in_subprocess(work: Callable[Arguments, Result], *args: Arguments.args, **options: Arguments.kwargs) -> Result:
    """What `work`, a function of a module, returns or raises in a new process."""
    spawn = multiprocessing.get_context("spawn")
    # Ctrl-C ends that process without a word; this one says what has to be said.
    quiet = (signal.SIGINT, signal.SIG_DFL)
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=signal.signal, initargs=quiet) as pool:
        return pool.submit(work, *args, **options).result()
