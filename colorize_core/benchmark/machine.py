"""What the figures were measured on."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from colorize_core.runtime.precision import bf16_is_faster


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, GPU, and how busy it is with other work, for records."""
    cuda = torch.cuda.is_available()
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "bf16": bf16_is_faster(torch.device("cpu")),
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def in_words(machine: dict[str, Any]) -> str:
    """One line about it."""
    gpu = machine["gpu"] or "no GPU"
    fast = "with" if machine["bf16"] else "without"
    return (
        f"{machine['cores']} cores of {machine['processor']} {fast} fast bf16, {machine['memory_bytes'] / 1e9:.0f} GB, "
        f"{gpu}; load before the start {machine['load']:.1f}; torch {machine['torch']}"
    )


def _processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
