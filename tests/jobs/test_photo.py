import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from jobs.cli import main


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp", "out.tiff"])
def test_one_picture_at_its_size_in_the_format_of_its_name(
    tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str, name: str
) -> None:
    source = tmp_path / "gray.png"
    Image.open(photo_paths[0]).convert("L").resize((200, 120)).save(source)
    assert main(["photo", str(source), str(tmp_path / name), "--checkpoint", tiny_checkpoint]) == 0
    picture = Image.open(tmp_path / name)
    assert picture.size == (200, 120)
    assert picture.format == {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF"}[name.split(".")[1]]
    assert np.asarray(picture.convert("RGB")).std(axis=2).max() > 0


def test_the_weights_that_come_with_the_project_are_the_default(tmp_path: Path, photo_paths: list[Path]) -> None:
    Image.open(photo_paths[0]).convert("L").save(tmp_path / "gray.png")
    assert main(["photo", f"{tmp_path}/gray.png", f"{tmp_path}/color.png"]) == 0
    pixels = np.asarray(Image.open(tmp_path / "color.png")).astype(int)
    assert np.ptp(pixels, axis=2).mean() > 3  # none of these photographs is gray


def test_ray_is_not_imported(tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str) -> None:
    code = "import sys; from jobs.cli import main; assert main(sys.argv[1:]) == 0; assert 'ray' not in sys.modules"
    arguments = ["photo", str(photo_paths[0]), str(tmp_path / "out.png"), "--checkpoint", tiny_checkpoint]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


def test_16_bits_stay_16_bits_when_asked_for(tmp_path: Path, tiny_checkpoint: str) -> None:
    source, target = tmp_path / "scan.png", tmp_path / "out.tiff"
    Image.fromarray(np.arange(64 * 96, dtype=np.uint16).reshape(64, 96) * 10).save(source)
    options = ["--bit-depth", "same", "--upsampling", "bilinear", "--working-size", "64"]
    assert main(["photo", str(source), str(target), "--checkpoint", tiny_checkpoint, *options]) == 0
    picture = tifffile.imread(target)
    assert (picture.dtype, picture.shape) == (np.uint16, (64, 96, 3))


def test_chroma_is_kept_whole_when_asked_for(photo_paths: list[Path], tmp_path: Path, tiny_checkpoint: str) -> None:
    target = tmp_path / "out.jpg"
    arguments = ["photo", str(photo_paths[0]), str(target), "--checkpoint", tiny_checkpoint, "--subsampling", "4:4:4"]
    assert main(arguments) == 0
    assert Image.open(target).layer[0][1:3] == (1, 1)


def test_a_working_size_that_is_none_is_told(
    photo_paths: list[Path], tmp_path: Path, tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(photo_paths[0]), str(tmp_path / "out.jpg"), "--checkpoint", tiny_checkpoint]
    assert main(["photo", *arguments, "--working-size", "8"]) == 2
    assert "--working-size 8: must be at least 32" in capsys.readouterr().err
