"""Thousands of mutated photographs: no crash, no endless loop, no runaway memory, and no wrong pixels."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.faults.mutations import SIDE, mutate, originals, outcome

MEMORY = 1_500_000_000
FORMATS = 22
# OpenCV converts CMYK without a model of inks, and reads no JPEG of 12 bits and no WebP in TIFF.
UNCOMPARED = ("jpeg cmyk", "jpeg 12 bits", "tiff webp")


def decoded(count: int, tmp_path: Path) -> list[dict[str, Any]]:
    """Decode the first mutants in a process of their own, which must end in time."""
    program = Path(__file__).with_name("mutations.py")
    command = [sys.executable, str(program), "0", str(count), str(MEMORY)]
    environment = {**os.environ, "PYTHONPATH": str(program.parents[2]), "PYTHONWARNINGS": "ignore"}
    with (tmp_path / "decoded.jsonl").open("w+") as lines:
        done = subprocess.run(
            command, stdout=lines, stderr=subprocess.DEVNULL, env=environment, timeout=30 + count / 50, check=False
        )
        lines.seek(0)
        results = [json.loads(line) for line in lines]
    assert done.returncode == 0, f"mutant {len(results)} ended the process with {done.returncode}"
    return results


def by_opencv(data: bytes) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None


@pytest.mark.parametrize("count", [5_500, pytest.param(250_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_mutants_are_decoded_or_refused_with_a_reason(count: int, tmp_path: Path) -> None:
    files = originals()
    assert len(files) == FORMATS
    results = decoded(count, tmp_path)
    assert [each["number"] for each in results] == list(range(count))
    statuses = Counter(each["status"] for each in results)
    assert statuses.keys() <= {"ok", "truncated", "not_an_image", "unsupported", "too_large", "empty"}
    assert all(each["status"] == "ok" or each["error"] for each in results)
    compared = different = 0
    for each in results:
        if each["status"] != "ok" or each["format"] in UNCOMPARED:
            continue
        theirs = by_opencv(mutate(each["number"], files)[1])
        if theirs is None:
            continue
        compared += 1
        assert sorted(theirs.shape[:2]) == sorted(each["size"])
        different += abs(theirs.mean() / 255 - each["mean"]) > 0.03
    assert compared > count / 20
    # A changed tag can make two readers read different pixels, each rightly: a directory with strips and tiles.
    assert different <= max(compared / 500, 1)


@pytest.mark.parametrize("name", sorted(originals()))
def test_the_originals_are_photographs(name: str) -> None:
    found = outcome(originals()[name])
    assert found["status"] == "ok"
    assert sorted(found["size"]) == sorted(SIDE)


def test_directories_of_a_tiff_that_refer_to_each_other_are_read_once() -> None:
    """A loop of sub-directories once filled 18 GB of memory."""
    assert outcome(mutate(1841, originals())[1])["status"] == "truncated"
