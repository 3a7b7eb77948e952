import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
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


def test_ray_is_not_imported(tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str) -> None:
    code = "import sys; from jobs.cli import main; assert main(sys.argv[1:]) == 0; assert 'ray' not in sys.modules"
    arguments = ["photo", str(photo_paths[0]), str(tmp_path / "out.png"), "--checkpoint", tiny_checkpoint]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
