"""`colorize export CHECKPOINT OUTPUT`: a checkpoint for other runtimes (ONNX, torch.export), or in float16."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.config.command_line import DONE
from colorize_core.errors import UserError
from colorize_core.formatting import format_bytes
from colorize_core.starter import locate_checkpoint
from jobs.command.config import VerbConfig
from jobs.command.console import summary
from jobs.command.runner import run_verb

if TYPE_CHECKING:
    from colorize_core.models.base import ColorModel


class ExportConfig(VerbConfig):
    """Write a checkpoint for another runtime, with dynamic batch, height and width. Input is L in [0, 100], outputs are
    a and b, in CIELAB units. Or write a checkpoint of half the size (float16) with a model card, for publication. The
    outputs are compared with those of the checkpoint before the export is kept.
    """

    POSITIONAL = ("checkpoint", "output")

    checkpoint: str
    """Directory or s3:// URI of the checkpoint, such as RUN/best, or starter."""
    output: str
    """File that ends in .onnx or .pt2 (torch.export), or the directory of a float16 checkpoint."""
    half: bool = False
    """Store kernels and matrices of an .onnx or .pt2 file in float16, for half the size; the arithmetic stays float32.
    Directories always do."""
    license: str | None = None
    """License of the weights, such as CC-BY-4.0, for the metadata of the file or the model card; that of imported
    weights when empty."""


CONFIG = ExportConfig


def plan(config: ExportConfig) -> str:
    """Describe what `run(config)` would do; raises UserError as `run` would."""
    from colorize_core.checkpoint.config import read_checkpoint_config

    target = _target(config)
    architecture = read_checkpoint_config(locate_checkpoint(config.checkpoint)).architecture["name"]
    return f"export would write the {architecture} of {config.checkpoint} to {target}"


def run(config: ExportConfig, verbose: bool = False) -> int:
    """Export the checkpoint; return the exit code.

    Raises:
        UserError: the checkpoint or the output cannot be used, or the outputs of the export differ.
    """
    from colorize_core.checkpoint.card import model_metadata
    from colorize_core.checkpoint.config import WEIGHTS
    from colorize_core.checkpoint.export import HALF_TOLERANCE, TOLERANCE, export_half, export_model
    from colorize_core.checkpoint.weights import load_checkpoint

    target = _target(config)
    model, loaded = load_checkpoint(locate_checkpoint(config.checkpoint))
    if target.suffix:
        metadata = model_metadata(loaded, model.stride, config.license)
        worst = export_model(model, target, metadata, half=config.half)
        facts: list[tuple[str, object]] = [
            ("file", f"{target}, {format_bytes(target.stat().st_size)}"),
            *((key, metadata[key]) for key in ("input", "output", "license")),
            ("working size", f"{loaded.working_size} px"),
        ]
    else:
        worst = export_half(model, target, loaded)
        facts = [
            ("checkpoint", f"{target}, {format_bytes((target / WEIGHTS).stat().st_size)}"),
            ("model card", _write_card(target, model, config.license)),
        ]
    allowed = HALF_TOLERANCE if config.half or not target.suffix else TOLERANCE
    facts.append(("parity", f"largest difference from the checkpoint {worst:.1e} (allowed {allowed:g})"))
    summary(f"exported {loaded.architecture['name']}", facts)
    return DONE


def _write_card(target: Path, model: "ColorModel", license: str | None) -> str:
    """Write the model card unless there is one, which may have been edited; return what became of it."""
    from colorize_core.checkpoint.card import CARD, model_card
    from colorize_core.checkpoint.config import read_checkpoint_config

    card = target / CARD
    if card.exists():
        return f"{card}, kept as it was"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    card.write_text(model_card(read_checkpoint_config(target), parameters, license), encoding="utf-8")
    return f"{card}; add what it says is not stated"


def _target(config: ExportConfig) -> Path:
    target = Path(config.output)
    if not target.parent.is_dir():
        raise UserError(f"{target}: the folder {target.parent} does not exist")
    return target


if __name__ == "__main__":
    sys.exit(run_verb("export"))
