"""Saving and loading of checkpoints: `model.safetensors` and `config.json`, without pickle."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyarrow import fs
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from colorize_core.checkpoint.config import CONFIG, WEIGHTS, CheckpointConfig, read_checkpoint_config, read_weights
from colorize_core.encoders.state_dicts import load_strictly
from colorize_core.errors import UserError
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel


def checkpoint_files(model: ColorModel, working_size: int, training: dict[str, Any] | None = None) -> dict[str, bytes]:
    """Return the files of a checkpoint by name, in the order they must be written: the configuration last.

    Args:
        model: from `build_model`, on any device.
        working_size: side in pixels of the photographs that the model should be applied to.
        training: JSON values for users to read.
    """
    weights = save_safetensors({key: value.cpu().contiguous() for key, value in model.state_dict().items()})
    config = CheckpointConfig(
        architecture=model.architecture,
        working_size=working_size,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        training=training or {},
    )
    return {WEIGHTS: weights, CONFIG: json.dumps(asdict(config), indent=2).encode()}


def save_checkpoint(
    directory: str | Path, model: ColorModel, working_size: int, training: dict[str, Any] | None = None
) -> None:
    """Write a checkpoint to a local directory, each file atomically; arguments as in `checkpoint_files`."""
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    for name, data in checkpoint_files(model, working_size, training).items():
        scratch = target / f".{name}.tmp"
        scratch.write_bytes(data)
        os.replace(scratch, target / name)


def load_checkpoint(
    path_or_uri: str | Path, filesystem: fs.FileSystem | None = None
) -> tuple[ColorModel, CheckpointConfig]:
    """Load a checkpoint, strictly.

    Args:
        path_or_uri: the directory; a path on `filesystem` if that is given.
        filesystem: pyarrow file system.

    Returns:
        The model in evaluation mode on the CPU, and its configuration.

    Raises:
        UserError: this is not a checkpoint, it is incomplete, or its weights are of another architecture.
    """
    where = str(path_or_uri).rstrip("/")
    config = read_checkpoint_config(where, filesystem)
    weights = read_weights(where, config, filesystem)
    try:
        model = build_model(config.architecture["name"], **config.architecture["options"])
        state = load_safetensors(weights)
    except (TypeError, ValueError, SafetensorError) as error:
        raise UserError(f"{where}: damaged checkpoint ({error})") from error
    load_weights(model, state, where)
    return model.eval(), config


def load_weights(model: ColorModel, state: dict[str, Tensor], where: str) -> None:
    """Load a state dict into a model, strictly; raises UserError (see `encoders.state_dicts.load_strictly`)."""
    load_strictly(model, state, where, repr(model.architecture["name"]))
