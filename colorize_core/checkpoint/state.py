"""Training state as safetensors: tensors, with their structure as JSON in the metadata."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors
from torch import Tensor

from colorize_core.errors import UserError


def pack_state(state: Any) -> bytes:
    """Serialize nested dicts and lists of tensors and JSON scalars (such as optimizer states) as safetensors."""
    tensors: dict[str, Tensor] = {}

    def skeleton(value: Any) -> Any:
        if isinstance(value, Tensor):
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().contiguous()
            return {"tensor": name}
        if isinstance(value, dict):
            return {"items": [[key, skeleton(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return {"list": [skeleton(item) for item in value]}
        return {"value": value}

    structure = json.dumps(skeleton(state))
    return save_safetensors(tensors, metadata={"structure": structure})


def unpack_state(path: str | Path) -> Any:
    """Read a local file that `pack_state` wrote; raises UserError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            structure = json.loads(file.metadata()["structure"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged training state ({error})") from error

    def rebuild(node: dict[str, Any]) -> Any:
        if "tensor" in node:
            return tensors[node["tensor"]]
        if "items" in node:
            return {key: rebuild(item) for key, item in node["items"]}
        if "list" in node:
            return [rebuild(item) for item in node["list"]]
        return node["value"]

    return rebuild(structure)
