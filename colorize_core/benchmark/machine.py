"""Description of the machine that figures were measured on."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from colorize_core.runtime.precision import bf16_is_faster


def available_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_facts() -> dict[str, Any]:
    """Return processor, cores, memory, GPU, software versions and the current load, for records."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "bf16": bf16_is_faster(torch.device("cpu")),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def machine_line(machine: dict[str, Any]) -> str:
    """Format the result of `machine_facts` as one line."""
    return (
        f"{machine['cores']} cores of {machine['processor']} {'with' if machine['bf16'] else 'without'} fast bf16, "
        f"{machine['memory_bytes'] / 1e9:.0f} GB, {machine['gpu'] or 'no GPU'}; "
        f"load before the start {machine['load']:.1f}; torch {machine['torch']}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
