"""What networks compute in."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

Precision = Literal["auto", "bf16", "fp32"]
Autocast = Callable[[], AbstractContextManager[Any]]


def autocast(precision: Precision, device: torch.device) -> Autocast:
    """The context in which networks run.

    Args:
        precision: fp32, bf16, or auto: bf16 where the device computes in it natively (GPUs since Ampere, CPUs with
            AVX-512 BF16 or AMX), else fp32.
        device: of the networks.
    """
    enabled = precision == "bf16" or (precision == "auto" and has_bf16(device))
    return lambda: torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices natively."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
