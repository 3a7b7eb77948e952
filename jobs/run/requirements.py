"""Resources and files that a job requires, derived from its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.storage.stores import Storage


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights that workers load in addition to checkpoints."""

    location: str | None
    """Path or URI; None for the published weights."""
    published: str
    """Name of the network: "inception" of FID, or one of torchvision or of `colorize_core.encoders`."""


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
