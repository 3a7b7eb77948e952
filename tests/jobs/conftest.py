"""A small dataset, encoded images, and the command line."""

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.cli import main


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory, photo_paths: list[Path]) -> Path:
    """Folder with color photographs in train/ and val/."""
    folder = tmp_path_factory.mktemp("photos")
    for number, path in enumerate(photo_paths):
        split = "val" if number % 4 == 0 else "train"
        (folder / split).mkdir(exist_ok=True)
        shutil.copy(path, folder / split)
    return folder


@pytest.fixture(scope="session")
def dataset(ray_local: None, tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> str:
    """Dataset of `photo_folder` at 32 px."""
    output = tmp_path_factory.mktemp("dataset") / "Köln 写真 📷"
    code = main(["prepare", f"source={photo_folder}", f"output={output}", "size=32", "split=folders"])
    assert code == 0
    return str(output)


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File with random weights for the Inception network of FID."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    extractor = module.FeatureExtractorInceptionV3
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(extractor, "load_state_dict", lambda *_: None)
        net = extractor("inception-v3-compat", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save(net.state_dict(), path)
    return path


def encode(pixels: np.ndarray, format: str, mode: str | None = None, **options: object) -> bytes:
    """Encode pixels, after conversion to a Pillow mode if one is given."""
    image = Image.fromarray(pixels)
    sink = io.BytesIO()
    (image.convert(mode) if mode else image).save(sink, format, **options)
    return sink.getvalue()


_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")  # not for the session: an open browser keeps an event loop running in this thread
def browser() -> Iterator[Any]:
    """Headless Chromium, which `make test` installs if possible; COLORIZE_TEST_BROWSER selects another browser."""
    found = os.environ.get("COLORIZE_TEST_BROWSER") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if not found:
        pytest.skip("*** NO CHROMIUM: THE REPORT IS NOT TESTED IN A BROWSER (apt-get install chromium) ***")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()
