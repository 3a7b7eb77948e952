"""What a job needs of the machines it runs on, as its configuration says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cluster.storage.stores import Storage

Published = Literal["vgg16", "alexnet", "resnet18", "inception"]

PUBLISHED_FILES: Mapping[Published, str] = {
    "vgg16": "vgg16-397923af.pth",
    "alexnet": "alexnet-owt-7be5be79.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "inception": "weights-inception-2015-12-05-6726825d.pth",
}
"""Names that torch's cache gives to weights it has downloaded."""


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights that workers load besides checkpoints."""

    location: str | None
    """Path or URI; None for what is published."""
    published: Published
    """What is downloaded where no location is given."""


@dataclass(frozen=True)
class ResourceRequest:
    """Processes that must run at the same time."""

    key: str
    """Section of the configuration that asks for them."""
    count: int
    """The fewest."""
    cpus: float
    gpus: float
    """Each."""
    reserved: float = 0.0
    """CPUs that must stay free beside them."""


@dataclass(frozen=True)
class Requirements:
    """Of a job."""

    processes: ResourceRequest
    reads: Mapping[str, tuple[Storage, str | None]] = field(default_factory=dict)
    """By key: where, and a file there; None for any."""
    writes: Mapping[str, Storage] = field(default_factory=dict)
    """By key."""
    weights: Mapping[str, PretrainedWeights] = field(default_factory=dict)
    """By key."""
