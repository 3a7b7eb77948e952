"""Architectures by name, all with one contract.

`model(L: float (B, 1, H, W) in [-1, 1]) -> ab: float (B, 2, H, W)` on the network's scale, H and W multiples of 32.

A new architecture is one file in this package with a class that derives from ColorModel: the statement
`class NAME(ColorModel):` at the start of a line declares it, and the file's name is the architecture's. Architectures
that share their layers may be in a package of this package. Names are found by reading the files, so that command lines
need not import torch.
"""

import difflib
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from colorize_core.errors import UserError

if TYPE_CHECKING:
    from colorize_core.models.base import ColorModel

_DECLARATION = re.compile(r"^class (\w+)\(ColorModel\):", re.MULTILINE)

# Options of training: the source of initial weights, and which part is trained. They are not part of the architecture,
# so checkpoints do not store them, and a run starts from a checkpoint that was trained with others.
_TRAINING_OPTIONS = {"backbone_weights", "weights", "trainable_stages"}

__all__ = ["OptionError", "build_model", "check_model", "check_model_name", "model_names"]


class OptionError(UserError, ValueError):
    """Value that an option does not accept; also a ValueError, which readers of files, such as checkpoints, catch."""


def _model_classes() -> dict[str, tuple[str, str]]:
    """Return the module, relative to this package, and the class of each architecture, by the file's name."""
    found: dict[str, tuple[str, str]] = {}
    for folder in map(Path, __path__):
        for file in folder.rglob("*.py"):
            if match := _DECLARATION.search(file.read_text(encoding="utf-8")):
                found[file.stem] = ".".join(file.relative_to(folder).with_suffix("").parts), match[1]
    return found


def model_names() -> list[str]:
    """Return the names of all architectures, sorted."""
    return sorted(_model_classes())


def check_model_name(name: str) -> None:
    """Raise UserError if there is no architecture of this name; the message suggests the nearest one."""
    _find(name)


def _find(name: str) -> tuple[str, str]:
    """Return the module and the class of an architecture; raises UserError for an unknown one."""
    found = _model_classes()
    if name not in found:
        raise UserError(f"model {name!r} is unknown; {_suggest(name, sorted(found))}")
    return found[name]


def build_model(name: str, **options: Any) -> "ColorModel":
    """Build an untrained network.

    Args:
        name: one of `model_names()`.
        **options: keyword arguments of the architecture's class.

    Returns:
        The network; its attribute `architecture` has what is needed to rebuild it.

    Raises:
        UserError: unknown name or option (the message suggests the nearest valid one), or initial weights that cannot
            be loaded.
        OptionError: a value that the option does not accept.
    """
    module, class_name = _find(name)
    model_class = getattr(importlib.import_module(f"{__name__}.{module}"), class_name)
    known = get_type_hints(model_class.__init__, include_extras=True)
    known.pop("return", None)
    for option, value in options.items():
        if option not in known:
            raise UserError(f"model {name!r} has no option {option!r}; {_suggest(option, list(known))}")
        try:
            TypeAdapter(known[option]).validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].replace("Input", "it")
            raise OptionError(f"model {name!r}: {option} = {value!r}: {reason}") from error
    model: ColorModel = model_class(**options)
    kept = {key: value for key, value in options.items() if key not in _TRAINING_OPTIONS}
    model.architecture = {"name": name, "options": kept}
    return model


def check_model(name: str, **options: Any) -> "ColorModel":
    """Build a network on torch's meta device, which takes no memory and no time to draw weights.

    Arguments and errors are those of `build_model`; initial weights are read and compared with the network. The result
    has the properties of the network, but cannot compute.
    """
    from colorize_core.models.initialization import on_meta_device

    with on_meta_device():
        return build_model(name, **options)


def _suggest(word: str, choices: list[str]) -> str:
    nearest = difflib.get_close_matches(word, choices, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"choose one of {', '.join(choices) or '(none)'}"
