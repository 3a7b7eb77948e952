import os
import platform
import resource
import subprocess
import sys

import pytest

from colorize_core.runtime.memory import SINGLE_ARENA_ENV


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is of the GNU C library")
@pytest.mark.parametrize(
    ("everything", "size", "count", "threads", "environment"),
    [
        (False, 1 << 24, 1, 0, {}),
        (False, 3 << 18, 300, 1, {}),
        (True, 1 << 27, 1, 0, {}),
        (True, 1 << 27, 1, 1, SINGLE_ARENA_ENV),
    ],
)
def test_freed_memory_is_used_again(
    everything: bool, size: int, count: int, threads: int, environment: dict[str, str]
) -> None:
    code = (
        "import resource, threading, numpy\n"
        "from colorize_core.runtime.memory import retain_freed_memory\n"
        "def work():\n"
        f"    allocate = lambda: [numpy.ones({size}, numpy.uint8) for _ in range({count})]\n"
        "    allocate()\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(10): allocate()\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
        f"retain_freed_memory(everything={everything})\n"
        f"if {threads}: threading.Thread(target=work).start()\n"
        "else: work()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    pages = count * size // resource.getpagesize()
    assert int(done.stdout) < pages  # without retaining, ten times as many
