import pytest
import torch
from torch import nn

from colorize_core.runtime.precision import Precision, autocast, bf16_is_faster


@pytest.mark.parametrize(("precision", "expected"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_networks_compute_in_the_given_precision(precision: Precision, expected: torch.dtype) -> None:
    with autocast(precision, torch.device("cpu"))():
        assert nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2)).dtype == expected


def test_auto_is_bf16_where_it_is_faster() -> None:
    device = torch.device("cpu")
    with autocast("auto", device)():
        found = nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2)).dtype
    assert found == (torch.bfloat16 if bf16_is_faster(device) else torch.float32)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"cpu_name": "AMD EPYC 9R14", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD EPYC 7R13", "avx512_bf16": False, "amx_bf16": False}, False),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({}, False),
    ],
)
def test_processors_with_fast_bf16(
    capabilities: dict[str, bool | str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert bf16_is_faster(torch.device("cpu")) == expected
