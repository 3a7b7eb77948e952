import os
import platform
import resource
import subprocess
import sys

import pytest
from PIL import Image

from colorize_core.inference.memory_budget import needed_memory, split_within_budget
from colorize_core.runtime.memory import SINGLE_ARENA_ENV, show


def test_groups_are_in_order_and_within_the_limit() -> None:
    needs = {0: 3, 2: 3, 3: 5, 7: 4, 8: 1}
    assert list(split_within_budget(needs, 6)) == [[0, 2], [3], [7, 8]]


def test_what_is_more_than_the_limit_is_alone() -> None:
    assert list(split_within_budget({0: 1, 1: 10, 2: 1}, 5)) == [[0], [1], [2]]


def test_without_a_limit_all_are_one_group() -> None:
    assert list(split_within_budget({0: 10**12, 1: 10**12}, None)) == [[0, 1]]


def test_nothing_is_no_group() -> None:
    assert list(split_within_budget({}, 5)) == []


def test_need_grows_with_pixels_and_channels() -> None:
    assert needed_memory(Image.new("L", (10, 20)), False) == 2 * needed_memory(Image.new("L", (10, 10)), False)
    kinds = [("L", False), ("RGB", False), ("I;16", False), ("RGBA", False), ("RGB", True), ("RGBA", True)]
    needs = [needed_memory(Image.new(mode, (10, 10)), wide) for mode, wide in kinds]
    assert needs == sorted(set(needs))


def test_sizes_for_people() -> None:
    assert [show(size) for size in (1_300_000, 1_300_000_000)] == ["1.3 MB", "1.3 GB"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library keeps memory this way")
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
        f"    some = lambda: [numpy.ones({size}, numpy.uint8) for _ in range({count})]\n"
        "    some()\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(10): some()\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
        f"retain_freed_memory(everything={everything})\n"
        f"if {threads}: threading.Thread(target=work).start()\n"
        "else: work()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    pages = count * size // resource.getpagesize()
    assert int(done.stdout) < pages  # without it, ten times as many
