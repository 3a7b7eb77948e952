"""`colorize import WEIGHTS OUTPUT`: published weights of other projects as a checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from cluster.config.command_line import DONE
from colorize_core.errors import UserError
from jobs.command.config import VerbConfig
from jobs.command.console import summary

if TYPE_CHECKING:
    from torch import Tensor

    from colorize_core.models.base import ColorModel


class ImportConfig(VerbConfig):
    """Convert published weights to a checkpoint; every tensor must match the model. Supported are the PyTorch weights
    of Zhang et al. 2016 (eccv16) and the fastai generator of the tutorial that Gray to Glory follows (alone, or as
    net_G of its MainModel).
    """

    POSITIONAL = ("weights", "output")

    weights: str
    """Path or s3:// URI of a .pth, .pt or .safetensors file."""
    output: str
    """New directory for the checkpoint."""
    size: int = Field(256, ge=32, multiple_of=32)
    """Side in pixels of the photographs that the weights were trained on, a multiple of 32."""


CONFIG = ImportConfig


def plan(config: ImportConfig) -> str:
    """Describe what `run(config)` would do; raises UserError as `run` would."""
    model = _load(config)
    return f"import would write {config.weights} as a checkpoint of {model.architecture['name']} to {config.output}"


def run(config: ImportConfig, verbose: bool = False) -> int:
    """Write the checkpoint; return the exit code.

    Raises:
        UserError: the weights cannot be used, or the output exists.
    """
    from colorize_core.checkpoint.weights import save_checkpoint

    model = _load(config)
    save_checkpoint(config.output, model, config.size, {"imported": config.weights})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts = [("checkpoint", config.output), ("tensors", f"{len(model.state_dict())}, all matched by name and shape")]
    summary(f"imported {model.architecture['name']}", [*facts, ("parameters", f"{parameters / 1e6:.2f} M")])
    return DONE


def _load(config: ImportConfig) -> "ColorModel":
    """Return the network with the weights."""
    from colorize_core.encoders.state_dicts import read_state_dict

    if Path(config.output).exists():
        raise UserError(f"{config.output}: exists already; give another directory")
    return _build(read_state_dict(config.weights), config.weights)


def _build(state: Mapping[str, "Tensor"], source: str) -> "ColorModel":
    """Build the network that the weights belong to, recognized by the names of its first layers, and load them."""
    from colorize_core.encoders.state_dicts import load_strictly
    from colorize_core.models import build_model
    from colorize_core.models.fastai import generator_from_fastai

    if "model1.0.weight" in state:
        # The published PyTorch code decodes with temperature 1; 0.38 is the temperature of the paper.
        return build_model("zhang_eccv16", temperature=1.0, weights=source)
    if any(key.removeprefix("net_G.").startswith("layers.0.0.") for key in state):
        model = build_model("resnet_unet")
        load_strictly(model, generator_from_fastai(state, source), source, "'resnet_unet'")
        return model
    raise UserError(
        f"{source}: neither the eccv16 weights of Zhang et al. nor the fastai generator of the Gray to Glory tutorial "
        f"(its first tensor is {next(iter(state), 'missing')})"
    )
