"""Places that cannot be written to: one line, nothing lost, no half file, and the same command continues."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from jobs.cli import main

pytestmark = pytest.mark.long
OneLine = Callable[[list[str], int], str]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("only root can mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twelve photographs of noise, 60 kB each in color."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(12):
        Image.frombytes("L", (200, 200), os.urandom(40_000)).save(folder / f"{number:02d}.png")
    return folder


def test_a_full_disk_loses_nothing_and_the_archive_continues(
    small_disk: Path, source: Path, tiny_checkpoint: str, ray_local: None, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["archive", f"source={source}", f"output={small_disk}/out", f"checkpoint={tiny_checkpoint}"]
    assert main(command) in (1, 3)
    said = capsys.readouterr()
    assert "No space left on device" in said.out + said.err
    assert "Traceback" not in said.err
    remount(small_disk, "size=20m")
    assert main([*command, "retry_failed=true"]) == 0
    rows = pd.read_parquet(small_disk / "out" / "metrics")
    assert sorted(rows.key) == sorted(path.name for path in source.iterdir())
    assert (rows.status == "ok").all()
    for key in rows.output_key:
        Image.open(small_disk / "out" / "images" / key).load()
    assert not list(small_disk.rglob(".writing-*"))


@pytest.mark.parametrize("verb", ["photo", "archive"])
def test_a_read_only_place_is_named(
    small_disk: Path, source: Path, tiny_checkpoint: str, one_line: OneLine, verb: str
) -> None:
    remount(small_disk, "ro")
    place = f"input={source}/00.png" if verb == "photo" else f"source={source}"
    said = one_line([verb, place, f"output={small_disk}/out.png", f"checkpoint={tiny_checkpoint}"], 1)
    assert "Read-only file system" in said
    assert str(small_disk) in said
    assert "let the user that runs the job write there" in said


def test_a_full_disk_for_one_photograph_leaves_no_file(
    small_disk: Path, source: Path, tiny_checkpoint: str, one_line: OneLine
) -> None:
    (small_disk / "filler").write_bytes(bytes(280_000))
    said = one_line(["photo", f"{source}/00.png", f"{small_disk}/out.png", f"checkpoint={tiny_checkpoint}"], 1)
    assert said.startswith(f"colorize: {small_disk}/out.png: cannot be written (No space left on device); free space")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
