"""`colorize import WEIGHTS OUTPUT`: published weights of other projects as a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cluster.config.command_line import DONE
from colorize_core.errors import UserError
from jobs.command.config import VerbConfig
from jobs.command.console import summary

if TYPE_CHECKING:
    from colorize_core.published.recognition import PublishedModel


class ImportConfig(VerbConfig):
    """Convert published weights to a checkpoint; every tensor must match the model.

    The file is recognized by its SHA-256, or else by the names of its tensors; docs/guides/published-weights.md lists
    what is known. With --dry-run nothing is written: the file is only checked.
    """

    POSITIONAL = ("weights", "output")

    weights: str
    """Path or s3:// URI of a .pth, .pt, .bin or .safetensors file."""
    output: str
    """New directory for the checkpoint."""
    size: int | None = Field(None, ge=32, multiple_of=32)
    """Working size in pixels, a multiple of 32; that of the model when empty."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the model that the tensors do not show, such as temperature of zhang_eccv16; those of the published
    code when empty."""


CONFIG = ImportConfig


def plan(config: ImportConfig) -> str:
    """Describe what `run(config)` would do; raises UserError as `run` would."""
    loaded = _load(config)
    return (
        f"import would write {config.weights} ({loaded.recognition}) as a checkpoint of "
        f"{loaded.model.architecture['name']} to {config.output}"
    )


def run(config: ImportConfig, verbose: bool = False) -> int:
    """Write the checkpoint; return the exit code.

    Raises:
        UserError: the weights cannot be used, or the output exists.
    """
    from colorize_core.checkpoint.weights import save_checkpoint

    loaded = _load(config)
    model, size = loaded.model, config.size or loaded.model.working_size
    origin = loaded.record()
    save_checkpoint(config.output, model, size, {"imported": {"file": config.weights, **origin}})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    summary(
        f"imported {model.architecture['name']}",
        [
            ("recognized as", loaded.recognition),
            ("source", origin["source"]),
            ("license", origin["license"]),
            ("trained on", origin["data"]),
            ("tensors", f"{loaded.tensors}, all matched by name and shape"),
            ("parameters", f"{parameters / 1e6:.2f} M"),
            *(("option", f"{name} = {value}") for name, value in model.architecture["options"].items()),
            ("working size", f"{size} px"),
            ("checkpoint", config.output),
        ],
    )
    return DONE


def _load(config: ImportConfig) -> "PublishedModel":
    """Return the network with the weights."""
    from colorize_core.published.recognition import load_published

    if Path(config.output).exists():
        raise UserError(f"{config.output}: exists already; give another directory")
    return load_published(config.weights, config.options)
