"""Recognition of published weight files, by hash or by the names of their tensors, and the model made of them."""

import hashlib
import importlib
import pkgutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor

import colorize_core.published
from colorize_core.encoders.state_dicts import load_strictly, parse_state_dict
from colorize_core.errors import UserError
from colorize_core.models import check_model
from colorize_core.models.base import ColorModel
from colorize_core.published.family import Family, PublishedFile
from colorize_core.runtime.files import read_file


@dataclass(frozen=True)
class PublishedModel:
    """A model with published weights, and where they come from."""

    model: ColorModel
    """In evaluation mode, on the CPU."""
    family: Family
    file: PublishedFile | None
    """The known file of this hash; None for a file that was recognized by the names of its tensors."""
    sha256: str
    """Hash of the file."""
    tensors: int
    """Number of tensors in the file."""

    @property
    def title(self) -> str:
        """Name of the weights."""
        return f"{self.family.name} {self.file.variant}" if self.file else self.family.name

    @property
    def recognition(self) -> str:
        """Say by what the file was recognized."""
        if self.file:
            return f"{self.title}, by the SHA-256 of the file"
        return f"{self.title}, by the names of its tensors; its SHA-256 is not that of a known file"

    def record(self) -> dict[str, str]:
        """Return what a checkpoint of the model says about its origin."""
        return {
            "weights": self.title,
            "weights_sha256": self.sha256,
            "source": self.family.source,
            "license": self.family.license,
            "data": self.family.terms(self.file),
        }


@cache
def families() -> tuple[Family, ...]:
    """Return the families that the modules of this package define."""
    package = colorize_core.published
    modules = [
        importlib.import_module(f"{package.__name__}.{each.name}") for each in pkgutil.iter_modules(package.__path__)
    ]
    return tuple(module.FAMILY for module in modules if hasattr(module, "FAMILY"))


def load_published(source: str, options: Mapping[str, Any] | None = None) -> PublishedModel:
    """Build the model of a published weight file, and load the weights strictly.

    Args:
        source: path or s3:// URI of a .safetensors file, or of one that torch.save wrote.
        options: options of the architecture; they take precedence over those known for the file.

    Raises:
        UserError: the file is not one of published weights, or tensors are missing, unknown or of another shape.
    """
    data = read_file(source)
    sha256 = hashlib.sha256(data).hexdigest()
    state, allowed = _read(data, source)
    del data
    family, file = find_file(sha256)
    if family is None:
        family = _recognize(state, allowed, source)
    converted = family.convert(state, source)
    known = file.options if file else {}
    # The weights take the place of a model without memory: drawing 228 M initial ones would take ten seconds.
    model = check_model(converted.model, **{**converted.options, **known, **(options or {})})
    load_strictly(model, converted.state, source, repr(converted.model))
    own = model.state_dict()
    model.load_state_dict({key: value.to(own[key].dtype) for key, value in converted.state.items()}, assign=True)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    return PublishedModel(model.eval(), family, file, sha256, len(state))


def find_file(sha256: str) -> tuple[Family, PublishedFile] | tuple[None, None]:
    """Return the known file of a hash and its family."""
    for family in families():
        for file in family.files:
            if sha256.startswith(file.sha256):
                return family, file
    return None, None


def _read(data: bytes, source: str) -> tuple[dict[str, Tensor], tuple[type, ...]]:
    """Read a state dict, and return the types beside tensors that it needed: none, or those that one family allows."""
    *others, last = sorted({each.allowed_types for each in families()}, key=len)
    for allowed in others:
        with suppress(UserError):
            return parse_state_dict(data, source, allowed), allowed
    return parse_state_dict(data, source, last), last


def _recognize(state: Mapping[str, Tensor], allowed: tuple[type, ...], source: str) -> Family:
    """Return the family that has these names and may need the allowed types."""
    for family in families():
        if set(allowed) <= set(family.allowed_types) and family.recognize(state):
            return family
    raise UserError(
        f"{source}: not weights that can be imported, which are {', '.join(each.name for each in families())} "
        f"(its first tensor is {next(iter(state), 'missing')})"
    )
