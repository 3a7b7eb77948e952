"""Checkpoints of jobs: `starter`, directories and URIs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cluster.storage.stores import Storage, StorageOptions, open_storage
from colorize_core.starter import STARTER, locate_checkpoint

if TYPE_CHECKING:
    from colorize_core.checkpoint.config import CheckpointConfig
    from colorize_core.models.base import ColorModel


def open_checkpoint(location: str, options: StorageOptions) -> Storage:
    """The store whose root holds a checkpoint."""
    return open_storage(locate_checkpoint(location), options)


def check_checkpoint(location: str, options: StorageOptions) -> str:
    """The SHA-256 of a checkpoint's weights, which are all there; raises UserError. Without importing torch."""
    from colorize_core.checkpoint.config import read_checkpoint_config, read_weights

    store = open_checkpoint(location, options)
    config = read_checkpoint_config(store.path(), store.filesystem)
    read_weights(store.path(), config, store.filesystem)
    return config.weights_sha256


def read_checkpoint(location: str, options: StorageOptions) -> "tuple[ColorModel, CheckpointConfig]":
    """Load a checkpoint from wherever it is; raises UserError (`colorize_core.checkpoint.weights.load_checkpoint`)."""
    from colorize_core.checkpoint.weights import load_checkpoint

    store = open_checkpoint(location, options)
    return load_checkpoint(store.path(), store.filesystem)


def checkpoint_reads(checkpoints: Mapping[str, str], options: StorageOptions) -> dict[str, tuple[Storage, str]]:
    """The file of each that other machines must be able to read, by its key; the starter comes with the code."""
    return {
        key: (open_checkpoint(location, options), "config.json")
        for key, location in checkpoints.items()
        if location != STARTER
    }
