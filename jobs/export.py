"""`colorize export CHECKPOINT OUT`: a checkpoint for other runtimes, ONNX or torch.export, or of half the size."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from colorize_core.errors import UserError
from colorize_core.starter import locate_checkpoint
from jobs.command.console import summary
from jobs.command.runner import run_parser as run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="colorize export",
        description="Write a checkpoint for other runtimes, with dynamic batch, height and width, and compare its "
        "outputs with the checkpoint's before it is kept. Input L in [0, 100], output a and b, CIELAB units. Or, where "
        "OUT is a directory, a checkpoint of half the size (float16).",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="directory or s3:// URI, such as RUN/best; or starter")
    parser.add_argument("output", metavar="OUT", help="file that ends in .onnx or .pt2 (torch.export), or a directory")
    return run_command(parser, _export, arguments)


def _export(options: argparse.Namespace) -> None:
    from colorize_core.checkpoint.config import WEIGHTS
    from colorize_core.checkpoint.export import HALF_TOLERANCE, TOLERANCE, export_half, export_model
    from colorize_core.checkpoint.weights import load_checkpoint

    target = Path(options.output)
    if not target.parent.is_dir():
        raise UserError(f"{target}: the folder {target.parent} does not exist")
    model, config = load_checkpoint(locate_checkpoint(options.checkpoint))
    if target.suffix:
        worst, allowed = export_model(model, target, config.working_size), TOLERANCE
        facts: list[tuple[str, object]] = [
            ("file", f"{target}, {target.stat().st_size / 1e6:.1f} MB"),
            ("input", f"L: float32 (batch, 1, height, width) in [0, 100], sides multiples of {model.stride}"),
            ("output", "ab: float32 (batch, 2, height, width), CIELAB units"),
            ("working size", f"{config.working_size} px, in the file's metadata"),
        ]
    else:
        worst, allowed = export_half(model, target, config), HALF_TOLERANCE
        facts = [("checkpoint", f"{target}, {(target / WEIGHTS).stat().st_size / 1e6:.1f} MB")]
    facts.append(("parity", f"largest difference from the checkpoint {worst:.1e} (allowed {allowed:g})"))
    summary(f"exported {config.architecture['name']}", facts)


if __name__ == "__main__":
    sys.exit(main())
