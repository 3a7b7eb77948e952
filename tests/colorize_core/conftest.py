"""Photographs and models that the tests of the core share."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from colorize_core.models import build_model
from colorize_core.models.base import ColorModel


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one compute thread, which is faster on the small tensors of these tests, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def photos(photo_paths: list[Path]) -> np.ndarray:
    """Six color photographs as (6, 256, 256, 3) uint8."""
    images = []
    for path in photo_paths[:6]:
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("RGB").resize((256, 256))))
    return np.stack(images)


@pytest.fixture
def tiny_model() -> ColorModel:
    """An encoder-decoder of a few thousand parameters, in evaluation mode, with saturated predictions."""
    torch.manual_seed(0)
    model = build_model("encoder_decoder", widths=[8, 8], latent=8)
    with torch.no_grad():
        model.to_ab[0].weight.mul_(3)
    return model.eval()
