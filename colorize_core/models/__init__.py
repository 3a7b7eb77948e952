"""Architectures by name, all with one contract.

`model(L: float (B, 1, H, W) in [-1, 1]) -> ab: float (B, 2, H, W)` on the network's scale, H and W multiples
of 32. A new architecture is one file here and one line in `_MODELS`.
"""

import difflib
import importlib
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from colorize_core.errors import UserError
from colorize_core.models.base import ColorModel

_MODELS = {
    "encoder_decoder": "EncoderDecoder",
    "lite": "Lite",
    "pix2pix_unet": "Pix2PixUNet",
    "resnet_unet": "ResNetUNet",
    "resnet_upsampler": "ResNetUpsampler",
    "zhang_eccv16": "ZhangECCV16",
}

# Options that say where the first weights come from. They are not part of the architecture: a checkpoint
# does not carry them, since it carries the weights themselves.
_INITIAL_WEIGHT_OPTIONS = {"backbone_weights", "weights"}

__all__ = ["OptionError", "build_model", "model_names"]


class OptionError(UserError, ValueError):
    """A value that an option does not take; a ValueError to those who read options from a file, as checkpoints do."""


def model_names() -> list[str]:
    """Names that `build_model` knows, sorted."""
    return sorted(_MODELS)


def build_model(name: str, **options: Any) -> ColorModel:
    """Build an untrained network.

    Args:
        name: one of `model_names()`.
        **options: keyword arguments of the architecture's class.

    Returns:
        The network; its `architecture` rebuilds it.

    Raises:
        UserError: unknown name or option, with the nearest valid one; initial weights that cannot be had.
        OptionError: a value that the option does not take.
    """
    if name not in _MODELS:
        raise UserError(f"model {name!r} is unknown; {_suggest(name, model_names())}")
    model_class = getattr(importlib.import_module(f"{__name__}.{name}"), _MODELS[name])
    known = get_type_hints(model_class.__init__, include_extras=True)
    del known["return"]
    for option, value in options.items():
        if option not in known:
            raise UserError(f"model {name!r} has no option {option!r}; {_suggest(option, list(known))}")
        try:
            TypeAdapter(known[option]).validate_python(value, strict=True)
        except ValidationError as error:
            wrong = error.errors()[0]["msg"].replace("Input", "it")
            raise OptionError(f"model {name!r}: {option} = {value!r}: {wrong}") from error
    model: ColorModel = model_class(**options)
    kept = {key: value for key, value in options.items() if key not in _INITIAL_WEIGHT_OPTIONS}
    model.architecture = {"name": name, "options": kept}
    return model


def _suggest(word: str, choices: list[str]) -> str:
    nearest = difflib.get_close_matches(word, choices, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"choose one of {', '.join(choices) or '(none)'}"
