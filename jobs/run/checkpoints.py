"""Checkpoints that jobs load: `starter`, directories and URIs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cluster.storage.stores import Storage, StorageOptions, open_storage
from colorize_core.errors import UserError
from colorize_core.inference.options import EnsembleOptions
from colorize_core.starter import STARTER, locate_checkpoint

if TYPE_CHECKING:
    from colorize_core.checkpoint.config import CheckpointConfig
    from colorize_core.models.base import ColorModel

Checkpoints = str | dict[str, str]
"""Location of a checkpoint, or locations of several by name, whose predictions are mixed."""


def checkpoint_keys(checkpoints: Checkpoints) -> dict[str, str]:
    """Return the location of each checkpoint by its configuration key: `checkpoint`, or `checkpoint.NAME`."""
    if isinstance(checkpoints, str):
        return {"checkpoint": checkpoints}
    return {f"checkpoint.{name}": location for name, location in checkpoints.items()}


def describe_checkpoints(checkpoints: Checkpoints) -> str:
    """Return the locations as text."""
    if isinstance(checkpoints, str):
        return checkpoints
    return f"the ensemble of {', '.join(checkpoints.values())}"


def check_ensemble(checkpoints: Checkpoints, ensemble: EnsembleOptions) -> None:
    """Check the section `ensemble` of a configuration; raises ValueError if it does not fit the checkpoints."""
    if isinstance(checkpoints, str):
        if ensemble != EnsembleOptions():
            raise ValueError("ensemble has no effect with one checkpoint; give several by name, such as {a: A, b: B}")
        return
    try:
        ensemble.require_members(checkpoints)
    except UserError as error:
        raise ValueError(str(error)) from None


def open_checkpoint(location: str, options: StorageOptions) -> Storage:
    """Return the storage whose root contains a checkpoint."""
    return open_storage(locate_checkpoint(location), options)


def check_checkpoint(location: str, options: StorageOptions) -> str:
    """Check that a checkpoint is complete, without importing torch; return the SHA-256 of its weights.

    Raises:
        UserError: the location holds no checkpoint, or its weights are damaged.
    """
    from colorize_core.checkpoint.config import read_checkpoint_config, read_weights

    storage = open_checkpoint(location, options)
    config = read_checkpoint_config(storage.path(), storage.filesystem)
    read_weights(storage.path(), config, storage.filesystem)
    return config.weights_sha256


def read_checkpoint(location: str, options: StorageOptions) -> "tuple[ColorModel, CheckpointConfig]":
    """Load a checkpoint from any location; raises UserError (`colorize_core.checkpoint.weights.load_checkpoint`)."""
    from colorize_core.checkpoint.weights import load_checkpoint

    storage = open_checkpoint(location, options)
    return load_checkpoint(storage.path(), storage.filesystem)


def checkpoint_reads(checkpoints: Mapping[str, str], options: StorageOptions) -> dict[str, tuple[Storage, str]]:
    """Return, by configuration key, the file of each checkpoint that other nodes must be able to read.

    The starter is left out: it is part of the code.
    """
    return {
        key: (open_checkpoint(location, options), "config.json")
        for key, location in checkpoints.items()
        if location != STARTER
    }
