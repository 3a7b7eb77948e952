"""Initial weights of networks."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DEVIATION = 0.02
_RANDOM = {
    Tensor.normal_,
    Tensor.uniform_,
    *(getattr(nn.init, name) for name in ("normal_", "trunc_normal_", "uniform_")),
    *(getattr(nn.init, f"{name}_{kind}_") for name in ("kaiming", "xavier") for kind in ("normal", "uniform")),
}


class _SkipRandomNumbers(TorchFunctionMode):
    """Leaves tensors as they are where random numbers would be drawn into them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the tensor of a function that fills it; call any other function."""
        if func in _RANDOM:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def on_meta_device() -> Iterator[None]:
    """Build networks on torch's meta device within the block: they have shapes and no values.

    Drawing random numbers there would import torch's compiler, which takes two seconds.
    """
    with torch.device("meta"), _SkipRandomNumbers():
        yield


def init_pix2pix(network: nn.Module, norm_deviation: float = _DEVIATION) -> None:
    """Draw convolutions from N(0, 0.02) and BatchNorm scales from N(1, `norm_deviation`); biases are 0.

    Source: Isola et al. 2017, section 6.2; pytorch-CycleGAN-and-pix2pix, models/networks.py.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, _DEVIATION)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, norm_deviation)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def init_icnr(weight: Tensor, scale: int) -> None:
    """Draw weights (outputs, inputs, h, w) so that pixel shuffle by `scale` starts as nearest-neighbor upsampling.

    Source: Aitken et al. 2017.
    """
    outputs, inputs, height, width = weight.shape
    kernel = torch.empty(outputs // scale**2, inputs, height, width)
    nn.init.kaiming_normal_(kernel)
    with torch.no_grad():
        weight.copy_(kernel.repeat_interleave(scale**2, dim=0))
