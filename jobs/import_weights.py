"""`colorize import WEIGHTS OUTPUT`: weights published elsewhere as a checkpoint of ours."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colorize_core.errors import UserError
from jobs.command.console import summary
from jobs.command.runner import run_parser as run_command

if TYPE_CHECKING:
    from torch import Tensor

    from colorize_core.models.base import ColorModel


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="colorize import",
        description="Turn published weights into a checkpoint, strictly: every tensor must have its place. Known are "
        "the PyTorch weights of Zhang et al. 2016 (eccv16) and the fastai generator of the tutorial that Gray to Glory "
        "follows (alone, or as net_G of its MainModel).",
    )
    parser.add_argument("weights", metavar="WEIGHTS", help="path or s3:// URI of the .pth, .pt or .safetensors file")
    parser.add_argument("output", metavar="OUTPUT", help="directory of the checkpoint, new")
    parser.add_argument("--size", type=int, default=256, help="side in pixels it was trained at (default 256)")
    return run_command(parser, _import, arguments)


def _import(options: argparse.Namespace) -> None:
    from colorize_core.checkpoint.weights import save_checkpoint
    from colorize_core.models.backbone import read_state_dict

    target = Path(options.output)
    if target.exists():
        raise UserError(f"{target}: exists already; give another directory")
    if options.size < 32 or options.size % 32:
        raise UserError(f"--size {options.size}: must be a multiple of 32")
    state = read_state_dict(options.weights)
    model = _fill(state, options.weights)
    save_checkpoint(target, model, options.size, {"imported": options.weights})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts = [("checkpoint", target), ("tensors", f"{len(model.state_dict())}, all matched by name and shape")]
    summary(f"imported {model.architecture['name']}", [*facts, ("parameters", f"{parameters / 1e6:.2f} M")])


def _fill(state: Mapping[str, "Tensor"], where: str) -> "ColorModel":
    """The network the weights are of, with them; told by the names of its first layers."""
    from colorize_core.models import build_model
    from colorize_core.models.base import load_strictly
    from colorize_core.models.fastai import generator_from_fastai

    if "model1.0.weight" in state:
        # As their PyTorch code decodes; temperature 0.38 is the paper's.
        return build_model("zhang_eccv16", temperature=1.0, weights=where)
    if any(key.removeprefix("net_G.").startswith("layers.0.0.") for key in state):
        model = build_model("resnet_unet")
        load_strictly(model, generator_from_fastai(state, where), where, "'resnet_unet'")
        return model
    raise UserError(
        f"{where}: neither the eccv16 weights of Zhang et al. nor the fastai generator of Gray to Glory's tutorial "
        f"(its first tensor is {next(iter(state), 'missing')})"
    )
