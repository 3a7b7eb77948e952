"""Properties of the architectures; `python -m colorize_core.benchmark.model_facts` prints their tables."""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from colorize_core.benchmark.tables import figure_table
from colorize_core.discriminators.patchgan import PatchGAN
from colorize_core.models import build_model

_SIDE = 256  # pixels, of the inputs for everything except the receptive field
_LARGE_SIDE = 512  # pixels; a receptive field of this size covers all of a 256 px image from each of its corners
_REPEATS = 5

_MODELS: list[tuple[str, dict[str, int | str | bool], str]] = [
    ("ddcolor_large", {}, "Kang et al. 2023"),
    ("ddcolor_tiny", {}, "Kang et al. 2023"),
    ("deoldify_artistic", {}, "Antic 2018"),
    ("deoldify_stable", {}, "Antic 2018"),
    ("encoder_decoder", {}, "Gray to Glory, widths ours"),
    ("lite", {}, "ours"),
    ("pix2pix_unet", {}, "Isola et al. 2017"),
    ("pix2pix_unet", {"levels": 7, "variant": "keras"}, "the paper unet-gan"),
    ("pretrained_unet", {}, "ours, on Tan and Le 2019"),
    ("pretrained_unet", {"encoder": "efficientnet_lite0"}, "ours, on Tan and Le 2019"),
    ("resnet_unet", {}, "Gray to Glory, fastai 2.4"),
    ("resnet_unet", {"self_attention": True}, "fastai 2.4"),
    ("resnet_upsampler", {}, "the paper resnet18-losses"),
    ("siggraph17", {}, "Zhang et al. 2017"),
    ("zhang_eccv16", {}, "Zhang et al. 2016"),
]


def parameters(network: nn.Module) -> int:
    """Return the number of parameters, trainable or frozen."""
    return sum(parameter.numel() for parameter in network.parameters())


def flops(network: nn.Module, *inputs: Tensor) -> int:
    """Return the FLOPs of convolutions and matrix products in one forward pass, two per multiply-add."""
    # no_grad, since the counter does not see spectral norm in inference mode
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*inputs)
    return counter.get_total_flops()


def milliseconds(network: nn.Module, L: Tensor) -> float:
    """Return milliseconds per image of the batch L (B, 1, H, W): the fastest of five passes after a warm-up."""
    seconds = []
    with torch.inference_mode():
        network(L)
        for _ in range(_REPEATS):
            start = time.perf_counter()
            network(L)
            seconds.append(time.perf_counter() - start)
    return min(seconds) / len(L) * 1000


def receptive_field(network: Callable[[Tensor], Tensor], side: int) -> int:
    """Return the side of the input square that the center of the output depends on: where its gradient is not 0.

    Args:
        network: deterministic function of L (1, 1, side, side) float64 to (1, channels, h, w).
        side: in pixels; upper limit of the result.
    """
    L = torch.rand((1, 1, side, side), dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    output = network(L.requires_grad_())
    (gradient,) = torch.autograd.grad(output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum(), L)
    rows, columns = gradient[0, 0].nonzero(as_tuple=True)
    return int(max(rows.max() - rows.min(), columns.max() - columns.min())) + 1


def model_table() -> str:
    """Return the Markdown table of the models, measured with torch's current number of threads."""
    header = ["model", "parameters, M", "GFLOP", "CPU ms, batch 1", "CPU ms, batch 8", "receptive field, px", "source"]
    rows = []
    for name, options, source in _MODELS:
        model = build_model(name, **options).eval()
        L = torch.rand(8, 1, _SIDE, _SIDE) * 2 - 1
        single, batch = milliseconds(model, L[:1]), milliseconds(model, L)
        size, gflop = f"{parameters(model) / 1e6:.2f}", f"{flops(model, L[:1]) / 1e9:.1f}"
        field = receptive_field(model.double(), _LARGE_SIDE)
        title = ", ".join([f"`{name}`", *(f"{key} {value}" for key, value in options.items())])
        shown = field if field < _LARGE_SIDE else "all"
        rows.append((title, size, gflop, f"{single:.0f}", f"{batch:.0f}", shown, source))
    return figure_table(header, rows)


def discriminator_table() -> str:
    """Return the Markdown table of PatchGAN by number of layers, with BatchNorm."""
    rows = []
    for layers in range(6):
        discriminator = PatchGAN(layers).eval()
        L, ab = torch.zeros(1, 1, _SIDE, _SIDE), torch.zeros(1, 2, _SIDE, _SIDE)
        side, gflop = discriminator(L, ab).shape[-1], f"{flops(discriminator, L, ab) / 1e9:.1f}"
        large = torch.zeros(1, 2, _LARGE_SIDE, _LARGE_SIDE, dtype=torch.float64)
        field = receptive_field(partial(discriminator.double(), ab=large), _LARGE_SIDE)
        rows.append((layers, field, f"{side}x{side}", f"{parameters(discriminator) / 1e6:.2f}", gflop))
    return figure_table(("layers", "receptive field, px", "logits", "parameters, M", "GFLOP"), rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(model_table(), discriminator_table(), sep="\n\n")
