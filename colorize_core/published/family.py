"""What is known about published weights: files, license, and how they become a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

IMAGENET_TERMS = "ImageNet; its terms of access limit the use of the photographs to research and education"
"""Terms of the data of weights that were trained on ImageNet."""
Tensors = Mapping[str, Tensor]
"""A state dict as published."""


@dataclass(frozen=True)
class PublishedFile:
    """A weight file whose hash is known."""

    variant: str
    """Name of the weights within their family, as their authors call them."""
    name: str
    """Where the file is published, and its name there."""
    sha256: str
    """SHA-256 in hexadecimal digits, or its first digits where only these are published."""
    size: int | None
    """Size in bytes; None where it is not known."""
    model: str
    """Name of the architecture."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the architecture that the tensors do not show."""
    data: str = ""
    """Terms of the data it was trained on, where they are not those of the family."""


@dataclass(frozen=True)
class Conversion:
    """Weights under the names of one of our models."""

    model: str
    """Name of the architecture."""
    state: dict[str, Tensor]
    """Tensors of its state dict."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the architecture."""


@dataclass(frozen=True)
class Family:
    """Weights of one project that are converted in one way."""

    name: str
    source: str
    """Authors, year, and the address of the project."""
    license: str
    """License of the weights, and who states it."""
    data: str
    """Data that the weights were trained on, and its terms."""
    files: tuple[PublishedFile, ...]
    recognize: Callable[[Tensors], bool]
    """Return True if the names of the tensors are those of this family; no two families may recognize one file."""
    convert: Callable[[Tensors, str], Conversion]
    """Convert a state dict read from the location in the second argument; raises UserError if tensors do not fit."""
    allowed_types: tuple[type, ...] = ()
    """Types beside tensors that the restricted loader must build for these files."""

    def terms(self, file: PublishedFile | None) -> str:
        """Return the terms of the data of one of the files, or those of the family."""
        return file.data if file and file.data else self.data
