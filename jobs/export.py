"""`colorize export CHECKPOINT OUTPUT`: a checkpoint for other runtimes (ONNX, torch.export), or in float16."""

import sys
from pathlib import Path

from cluster.config.command_line import DONE
from colorize_core.errors import UserError
from colorize_core.formatting import format_bytes
from colorize_core.starter import locate_checkpoint
from jobs.command.config import VerbConfig
from jobs.command.console import summary
from jobs.command.runner import run_verb


class ExportConfig(VerbConfig):
    """Write a checkpoint for another runtime, with dynamic batch, height and width. Input is L in [0, 100], outputs are
    a and b, in CIELAB units. Or write a checkpoint of half the size (float16). The outputs are compared with those of
    the checkpoint before the export is kept.
    """

    POSITIONAL = ("checkpoint", "output")

    checkpoint: str
    """Directory or s3:// URI of the checkpoint, such as RUN/best, or starter."""
    output: str
    """File that ends in .onnx or .pt2 (torch.export), or the directory of a float16 checkpoint."""


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
    from colorize_core.checkpoint.config import WEIGHTS
    from colorize_core.checkpoint.export import HALF_TOLERANCE, TOLERANCE, export_half, export_model
    from colorize_core.checkpoint.weights import load_checkpoint

    target = _target(config)
    model, loaded = load_checkpoint(locate_checkpoint(config.checkpoint))
    if target.suffix:
        worst, allowed = export_model(model, target, loaded.working_size), TOLERANCE
        facts: list[tuple[str, object]] = [
            ("file", f"{target}, {format_bytes(target.stat().st_size)}"),
            ("input", f"L: float32 (batch, 1, height, width) in [0, 100], sides multiples of {model.stride}"),
            ("output", "ab: float32 (batch, 2, height, width), CIELAB units"),
            ("working size", f"{loaded.working_size} px, in the metadata of the file"),
        ]
    else:
        worst, allowed = export_half(model, target, loaded), HALF_TOLERANCE
        facts = [("checkpoint", f"{target}, {format_bytes((target / WEIGHTS).stat().st_size)}")]
    facts.append(("parity", f"largest difference from the checkpoint {worst:.1e} (allowed {allowed:g})"))
    summary(f"exported {loaded.architecture['name']}", facts)
    return DONE


def _target(config: ExportConfig) -> Path:
    target = Path(config.output)
    if not target.parent.is_dir():
        raise UserError(f"{target}: the folder {target.parent} does not exist")
    return target


if __name__ == "__main__":
    sys.exit(run_verb("export"))
