"""Engines that run networks. This module does not import torch: command lines read it for `--help`."""

import importlib.util
from typing import Literal

from colorize_core.errors import UserError

Engine = Literal["auto", "torch", "openvino"]
"""What runs networks: torch, OpenVINO, or the faster of both that is there (`openvino_network.open_network`)."""


def is_openvino_installed() -> bool:
    """Return True if OpenVINO can be imported."""
    return importlib.util.find_spec("openvino") is not None


def require_engine(engine: Engine, *, gpu: bool) -> None:
    """Raise UserError if an engine is not installed, or does not run on the kind of device."""
    if engine == "openvino" and gpu:
        raise UserError("engine=openvino runs on CPUs; use engine=auto or torch with GPUs")
    if engine == "openvino" and not is_openvino_installed():
        raise UserError("engine=openvino needs a package that is not installed: pip install 'colorize[openvino]'")
