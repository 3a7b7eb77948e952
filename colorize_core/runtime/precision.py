"""Numeric precision of networks: float32, or bfloat16 by autocast."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

Precision = Literal["auto", "bf16", "fp32"]
Autocast = Callable[[], AbstractContextManager[Any]]


def autocast(precision: Precision, device: torch.device) -> Autocast:
    """Return a factory of the context in which networks run.

    Args:
        precision: fp32, bf16, or auto (the faster of both on the device, `bf16_is_faster`).
        device: device of the networks.
    """
    enabled = resolve_precision(precision, device) == "bf16"
    return lambda: torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Resolve auto to bf16 or fp32 for a device; return the others unchanged."""
    if precision != "auto":
        return precision
    return "bf16" if bf16_is_faster(device) else "fp32"


def bf16_is_faster(device: torch.device) -> bool:
    """Return True if the device multiplies bfloat16 matrices faster than float32 matrices.

    This holds for GPUs since Ampere, Intel CPUs with AMX, and AMD CPUs with AVX-512 BF16. On Intel CPUs, AVX-512 BF16
    without AMX runs at half the speed of float32 (measured).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    intel = str(known.get("cpu_name")).startswith("Intel")
    return bool(known.get("amx_bf16") or (known.get("avx512_bf16") and not intel))
