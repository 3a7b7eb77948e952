from pathlib import Path

import pytest
import torch
from torch import nn

from colorize_core.precision import Precision, autocast, has_bf16


@pytest.mark.parametrize(("precision", "expected"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_networks_compute_in_the_precision_asked_for(precision: Precision, expected: torch.dtype) -> None:
    with autocast(precision, torch.device("cpu"))():
        assert nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2)).dtype == expected


def test_auto_is_bf16_where_the_processor_has_it() -> None:
    device = torch.device("cpu")
    with autocast("auto", device)():
        found = nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2)).dtype
    assert found == (torch.bfloat16 if has_bf16(device) else torch.float32)
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if flags and hasattr(torch.cpu, "get_capabilities"):
        assert has_bf16(device) == ("avx512_bf16" in flags or "amx_bf16" in flags)
