"""Resources and files that a job requires, derived from its configuration."""

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
"""File names of downloaded weights in the cache of torch."""


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights that workers load in addition to checkpoints."""

    location: str | None
    """Path or URI; None downloads the published weights."""
    published: Published
    """Name of the published weights."""


@dataclass(frozen=True)
class ResourceRequest:
    """Processes that must run at the same time."""

    key: str
    """Configuration section that requests them."""
    count: int
    """Minimum number of processes."""
    cpus: float
    """Logical CPUs of each process."""
    gpus: float
    """GPUs of each process."""
    reserved: float = 0.0
    """CPUs that must stay free for the rest of the pipeline."""


@dataclass(frozen=True)
class Requirements:
    """What a job requires from the cluster and from storage."""

    processes: ResourceRequest
    reads: Mapping[str, tuple[Storage, str | None]] = field(default_factory=dict)
    """By configuration key: a location to read, and a file there (None for any file)."""
    writes: Mapping[str, Storage] = field(default_factory=dict)
    """By configuration key: a location to write."""
    weights: Mapping[str, PretrainedWeights] = field(default_factory=dict)
    """By configuration key: pretrained weights."""
