"""Checkpoints that jobs load: `starter`, directories and URIs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cluster.storage.stores import Storage, StorageOptions, open_storage
from colorize_core.starter import STARTER, locate_checkpoint

if TYPE_CHECKING:
    from colorize_core.checkpoint.config import CheckpointConfig
    from colorize_core.models.base import ColorModel


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
