"""A saved checkpoint, and a way to damage its configuration."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from colorize_core.checkpoint.weights import save_checkpoint
from colorize_core.models.base import ColorModel


@pytest.fixture
def saved(tmp_path: Path, tiny_model: ColorModel) -> Path:
    save_checkpoint(tmp_path / "saved", tiny_model, 64, {"epoch": 3})
    return tmp_path / "saved"


@pytest.fixture
def edit(saved: Path) -> Callable[..., Path]:
    """Replaces entries of config.json."""

    def change(**entries: object) -> Path:
        file = saved / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | entries))
        return saved

    return change
