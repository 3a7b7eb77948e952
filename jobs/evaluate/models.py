"""Models of an evaluation, and the images that they make."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cluster.storage.stores import StorageOptions
from colorize_core.evaluation.rows import ENSEMBLE, GRAY
from colorize_core.inference.options import EnsembleOptions
from jobs.evaluate.config import CheckpointLocations, name_checkpoints
from jobs.run.checkpoints import read_checkpoint

if TYPE_CHECKING:
    import torch
    from torch import nn

    from colorize_core.checkpoint.config import CheckpointConfig

TRUTH = "truth"
"""Name of the photographs among the images of the models."""


def load_models(
    checkpoints: CheckpointLocations, options: StorageOptions
) -> dict[str, "tuple[nn.Module, CheckpointConfig]"]:
    """Load checkpoints; return network and configuration by name. Raises UserError."""
    return {name: read_checkpoint(location, options) for name, location in name_checkpoints(checkpoints).items()}


def color_images(
    models: Mapping[str, "tuple[nn.Module, CheckpointConfig]"],
    rgb: "torch.Tensor",
    constant: tuple[float, float],
    ensemble: EnsembleOptions | None = None,
) -> dict[str, "torch.Tensor"]:
    """Return gray images, those of each model and of their ensemble, and the photographs, all uint8, by name.

    Args:
        models: networks and configurations by name.
        rgb: photographs (B, 3, H, W) uint8.
        constant: color of the constant baseline.
        ensemble: how the predictions of the models are mixed; None for no ensemble.
    """
    from colorize_core.evaluation import scoring

    sizes = {name: (model, config.working_size) for name, (model, config) in models.items()}
    predicted = scoring.predictions(sizes, rgb, constant, ensemble)
    L, _ = scoring.split_rgb(rgb)
    shown = [GRAY, *models, *([ENSEMBLE] if ensemble else [])]
    return {name: scoring.assemble(L, predicted[name]) for name in shown} | {TRUTH: rgb}
