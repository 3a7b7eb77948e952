"""Facts about the architectures: `python -m colorize_core.benchmark.model_facts` prints the tables of the docs."""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from colorize_core.models import build_model
from colorize_core.models.patchgan import PatchGAN

_SIDE = 256  # pixels, of the pictures everything but the receptive field is measured on
_LARGE_SIDE = 512  # pixels; a model that sees as much sees a whole picture of 256 px from each of its corners
_REPEATS = 5

_MODELS: list[tuple[str, dict[str, int | str | bool], str]] = [
    ("encoder_decoder", {}, "Gray to Glory, widths ours"),
    ("lite", {}, "ours"),
    ("pix2pix_unet", {}, "Isola et al. 2017"),
    ("pix2pix_unet", {"levels": 7, "variant": "keras"}, "the paper unet-gan"),
    ("resnet_unet", {}, "Gray to Glory, fastai 2.4"),
    ("resnet_unet", {"self_attention": True}, "fastai 2.4"),
    ("resnet_upsampler", {}, "the paper resnet18-losses"),
    ("zhang_eccv16", {}, "Zhang et al. 2016"),
]


def parameters(network: nn.Module) -> int:
    """Number of parameters, trained or not."""
    return sum(parameter.numel() for parameter in network.parameters())


def flops(network: nn.Module, *inputs: Tensor) -> int:
    """Operations of convolutions and matrix products in one forward pass, two per multiply-add."""
    # Not in inference mode: there the counter cannot follow spectral norm.
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*inputs)
    return counter.get_total_flops()


def milliseconds(network: nn.Module, L: Tensor) -> float:
    """Shortest of five forward passes after a first one, per image of the batch L (B, 1, H, W)."""
    seconds = []
    with torch.inference_mode():
        network(L)
        for _ in range(_REPEATS):
            start = time.perf_counter()
            network(L)
            seconds.append(time.perf_counter() - start)
    return min(seconds) / len(L) * 1000


def receptive_field(network: Callable[[Tensor], Tensor], side: int) -> int:
    """Side of the square of the input that the center of the output depends on: where its gradient is not 0.

    Args:
        network: function of L (1, 1, side, side) float64, without randomness, to (1, channels, h, w).
        side: in pixels; the result is at most that.
    """
    L = torch.rand((1, 1, side, side), dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    output = network(L.requires_grad_())
    (gradient,) = torch.autograd.grad(output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum(), L)
    rows, columns = gradient[0, 0].nonzero(as_tuple=True)
    return int(max(rows.max() - rows.min(), columns.max() - columns.min())) + 1


def model_table() -> str:
    """Markdown table of the models, on as many threads as torch has."""
    lines = [
        "| model | parameters, M | GFLOP | CPU ms, batch 1 | CPU ms, batch 8 | sees, px | source |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for name, options, source in _MODELS:
        model = build_model(name, **options).eval()
        L = torch.rand(8, 1, _SIDE, _SIDE) * 2 - 1
        single, batch = milliseconds(model, L[:1]), milliseconds(model, L)
        gflop = flops(model, L[:1]) / 1e9
        field = receptive_field(model.double(), _LARGE_SIDE)
        title = ", ".join([f"`{name}`", *(f"{key} {value}" for key, value in options.items())])
        lines.append(
            f"| {title} | {parameters(model) / 1e6:.2f} | {gflop:.1f} | {single:.0f} | {batch:.0f} "
            f"| {field if field < _LARGE_SIDE else 'all'} | {source} |"
        )
    return "\n".join(lines)


def discriminator_table() -> str:
    """Markdown table of PatchGAN by layers, with BatchNorm."""
    lines = ["| layers | sees, px | logits | parameters, M | GFLOP |", "|---:|---:|---:|---:|---:|"]
    for layers in range(6):
        discriminator = PatchGAN(layers).eval()
        L, ab = torch.zeros(1, 1, _SIDE, _SIDE), torch.zeros(1, 2, _SIDE, _SIDE)
        side, count = discriminator(L, ab).shape[-1], parameters(discriminator)
        gflop = flops(discriminator, L, ab) / 1e9
        large = torch.zeros(1, 2, _LARGE_SIDE, _LARGE_SIDE, dtype=torch.float64)
        field = receptive_field(partial(discriminator.double(), ab=large), _LARGE_SIDE)
        lines.append(f"| {layers} | {field} | {side}x{side} | {count / 1e6:.2f} | {gflop:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(model_table(), discriminator_table(), sep="\n\n")
