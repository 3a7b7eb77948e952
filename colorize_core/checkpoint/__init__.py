"""Model files: model.safetensors and config.json, training state, export to other runtimes.

`load_checkpoint` and `save_checkpoint` are imported when they are first used: reading the configuration of a checkpoint
does not need torch, which takes seconds to import.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colorize_core.checkpoint.weights import load_checkpoint, save_checkpoint

__all__ = ["load_checkpoint", "save_checkpoint"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from colorize_core.checkpoint import weights

        return getattr(weights, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
