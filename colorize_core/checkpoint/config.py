"""Configuration of a checkpoint, `config.json`, and the bytes of its weights.

The configuration holds everything that inference needs: architecture, normalization, working size, and the SHA-256 of
the weights, so that incomplete or mixed-up checkpoints are rejected. This module does not import torch, which takes
seconds.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyarrow import fs

from colorize_core.errors import UserError
from colorize_core.models import check_model_name
from colorize_core.normalization import AB_SCALE, L_CENTER
from colorize_core.runtime.files import read_file

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
_FORMAT = 1
_NORMALIZATION = {"L_center": L_CENTER, "L_scale": L_CENTER, "ab_scale": AB_SCALE}
_HINT = "a checkpoint is a directory with model.safetensors and config.json, such as RUN/best"


@dataclass(frozen=True)
class CheckpointConfig:
    """Content of `config.json`."""

    architecture: dict[str, Any]
    """Name and options for `build_model`."""
    working_size: int
    """Side in pixels of the photographs that the model was trained on and should be applied to."""
    weights_sha256: str
    """SHA-256 of `model.safetensors`."""
    training: dict[str, Any] = field(default_factory=dict)
    """Information for users: epoch, metrics, run."""
    normalization: dict[str, float] = field(default_factory=lambda: dict(_NORMALIZATION))
    format: int = _FORMAT

    @property
    def terms(self) -> dict[str, str]:
        """What is known about the weights' `source`, `license` and training `data`; only that which is known."""
        known = self.training.get("imported", self.training)
        return {key: known[key] for key in ("source", "license", "data") if known.get(key)}


def read_checkpoint_config(path_or_uri: str | Path, filesystem: fs.FileSystem | None = None) -> CheckpointConfig:
    """Read and check `config.json`; raises UserError if it is missing, damaged, or of another format or version."""
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
        raise UserError(f"{where}/{CONFIG}: damaged, or not the configuration of a checkpoint ({error})") from error
    if config is None:
        raise UserError(f"{where}: checkpoint format {found}; this version reads format {_FORMAT}")
    if not isinstance(config.architecture, dict) or not {"name", "options"} <= config.architecture.keys():
        raise UserError(f"{where}/{CONFIG}: damaged: architecture must have a name and options")
    try:
        check_model_name(config.architecture["name"])
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if not isinstance(config.working_size, int) or config.working_size < 1:
        raise UserError(f"{where}/{CONFIG}: damaged: working_size is {config.working_size!r}, not a number of pixels")
    if config.normalization != _NORMALIZATION:
        raise UserError(f"{where}: normalized by {config.normalization}; this version normalizes by {_NORMALIZATION}")
    return config


def read_weights(path_or_uri: str | Path, config: CheckpointConfig, filesystem: fs.FileSystem | None = None) -> bytes:
    """Read `model.safetensors`; raises UserError if it is missing or does not match the SHA-256 in `config`."""
    where = str(path_or_uri).rstrip("/")
    try:
        weights = read_file(f"{where}/{WEIGHTS}", filesystem)
    except UserError as error:
        raise UserError(f"{where}: the checkpoint has no weights ({WEIGHTS} is missing); {_HINT}") from error
    if hashlib.sha256(weights).hexdigest() != config.weights_sha256:
        raise UserError(f"{where}: {WEIGHTS} does not match {CONFIG} (half written or replaced)")
    return weights
