import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from colorize_core.checkpoint.config import read_checkpoint_config
from colorize_core.errors import UserError


def message(path: object) -> str:
    with pytest.raises(UserError) as caught:
        read_checkpoint_config(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("format", [0, 2, "1", None])
def test_another_format_is_refused(edit: Callable[..., Path], format: object) -> None:
    assert f"checkpoint format {format}" in message(edit(format=format))


def test_a_later_format_with_further_keys_is_refused(edit: Callable[..., Path]) -> None:
    message(edit(format=2, precision="bf16"))


def test_another_normalization_is_refused(edit: Callable[..., Path]) -> None:
    assert "normalized by" in message(edit(normalization={"L_center": 50, "L_scale": 50, "ab_scale": 128}))


@pytest.mark.parametrize("architecture", [{}, {"name": "encoder_decoder"}, "encoder_decoder", None])
def test_a_damaged_architecture_is_refused(edit: Callable[..., Path], architecture: object) -> None:
    assert "config.json" in message(edit(architecture=architecture))


def test_a_missing_entry_is_refused(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    del config["working_size"]
    (saved / "config.json").write_text(json.dumps(config))
    assert "working_size" in message(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe\x00", b'{"a": 1}', b"not\njson"])
def test_a_damaged_configuration_is_refused(saved: Path, content: bytes) -> None:
    (saved / "config.json").write_bytes(content)
    assert f"{saved}/config.json: damaged" in message(saved)


def test_a_working_size_that_is_no_number_is_refused(edit: Callable[..., Path]) -> None:
    assert "working_size is 'big'" in message(edit(working_size="big"))


def test_information_about_training_is_kept(saved: Path) -> None:
    assert read_checkpoint_config(saved).training == {"epoch": 3}


def test_the_normalization_is_written(saved: Path) -> None:
    assert json.loads((saved / "config.json").read_text())["normalization"] == {
        "L_center": 50,
        "L_scale": 50,
        "ab_scale": 110,
    }


def test_the_sha256_of_the_weights_is_written(saved: Path) -> None:
    digest = hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert read_checkpoint_config(saved).weights_sha256 == digest


def test_a_directory_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path}: not a checkpoint" in message(tmp_path)


def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path}/nothing: not a checkpoint" in message(tmp_path / "nothing")
