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
        precision: fp32, bf16, or auto: what is faster on the device (`bf16_is_faster`).
        device: of the networks.
    """
    enabled = chosen(precision, device) == "bf16"
    return lambda: torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def chosen(precision: Precision, device: torch.device) -> Precision:
    """What auto stands for on a device, bf16 or fp32; the others as they are."""
    if precision != "auto":
        return precision
    return "bf16" if bf16_is_faster(device) else "fp32"


def bf16_is_faster(device: torch.device) -> bool:
    """Whether the device multiplies matrices of bfloat16 faster than those of float32.

    GPUs do since Ampere, Intel's CPUs with AMX, AMD's with AVX-512 BF16. On Intel's, AVX-512 BF16 alone has half the
    pace of float32 (measured).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    intel = str(known.get("cpu_name")).startswith("Intel")
    return bool(known.get("amx_bf16") or (known.get("avx512_bf16") and not intel))
