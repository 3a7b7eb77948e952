"""What a checkpoint says of itself: `config.json`, and the bytes of the weights that it was written for.

It carries all that inference must know: architecture, normalization, working size, and the SHA-256 of the weights, so
that a half-written or mixed-up checkpoint is refused instead of used. Without torch, which takes seconds to import.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyarrow import fs

from colorize_core.errors import UserError
from colorize_core.normalization import AB_SCALE, L_CENTER
from colorize_core.runtime.files import read_file

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
_FORMAT = 1
_NORMALIZATION = {"L_center": L_CENTER, "L_scale": L_CENTER, "ab_scale": AB_SCALE}
_HINT = "a checkpoint is a directory with model.safetensors and config.json, such as RUN/best"


@dataclass(frozen=True)
class CheckpointConfig:
    """What `config.json` says of the weights beside it."""

    architecture: dict[str, Any]
    """{"name", "options"} for `build_model`."""
    working_size: int
    """Side in pixels at which the model was trained and should see photographs."""
    weights_sha256: str
    """Of the bytes of `model.safetensors`."""
    training: dict[str, Any] = field(default_factory=dict)
    """For people: epoch, metrics, run."""
    normalization: dict[str, float] = field(default_factory=lambda: dict(_NORMALIZATION))
    format: int = _FORMAT


def read_checkpoint_config(path_or_uri: str | Path, filesystem: fs.FileSystem | None = None) -> CheckpointConfig:
    """Read and check `config.json` alone; raises UserError when it is missing, damaged or of another format."""
    where = str(path_or_uri).rstrip("/")
    try:
        raw = read_file(f"{where}/{CONFIG}", filesystem)
    except UserError as error:
        raise UserError(f"{where}: not a checkpoint (no readable {CONFIG}); {_HINT}") from error
    try:
        values = json.loads(raw)
        found = values["format"]
        config = CheckpointConfig(**values) if found == _FORMAT else None
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{where}/{CONFIG}: damaged or not a checkpoint's ({error})") from error
    if config is None:
        raise UserError(f"{where}: checkpoint format {found}, this version reads {_FORMAT}")
    if not isinstance(config.architecture, dict) or not {"name", "options"} <= config.architecture.keys():
        raise UserError(f"{where}/{CONFIG}: damaged: architecture must have a name and options")
    if not isinstance(config.working_size, int) or config.working_size < 1:
        raise UserError(f"{where}/{CONFIG}: damaged: working_size is {config.working_size!r}, not a number of pixels")
    if config.normalization != _NORMALIZATION:
        raise UserError(f"{where}: normalized by {config.normalization}, this version by {_NORMALIZATION}")
    return config


def read_weights(path_or_uri: str | Path, config: CheckpointConfig, filesystem: fs.FileSystem | None = None) -> bytes:
    """Read `model.safetensors`; raises UserError when it is missing or not the file its configuration is of."""
    where = str(path_or_uri).rstrip("/")
    try:
        weights = read_file(f"{where}/{WEIGHTS}", filesystem)
    except UserError as error:
        raise UserError(f"{where}: the checkpoint has no weights ({WEIGHTS} is missing); {_HINT}") from error
    if hashlib.sha256(weights).hexdigest() != config.weights_sha256:
        raise UserError(f"{where}: {WEIGHTS} is not the file {CONFIG} was written for (half written or replaced)")
    return weights
