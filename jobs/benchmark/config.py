"""Configuration of `colorize benchmark`."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from cluster.storage.stores import StorageOptions
from colorize_core.inference.engines import Engine
from jobs.command.config import JobConfig, VerbConfig

_MIN_PHOTOGRAPHS = 32


class JobBenchmark(JobConfig):
    """Keys of every benchmark of a job."""

    output: str
    rounds: int = Field(3, ge=1)
    """Number of measurements; the figures are their medians."""


class ArchiveBenchmark(JobBenchmark):
    """Measure `colorize archive` on this machine: images per second, time by stage, and what would make it faster.

    Each round runs the job, then the Colorizer alone, the loops of known projects with the same weights on the same
    cores, and the fastest kernels one by one. OUTPUT receives benchmark.json, benchmark.md and stages.png.
    """

    output: str = "benchmark-archive"
    """Local folder for the figures; existing ones are replaced."""
    checkpoint: str | None = None
    """Checkpoint directory; if empty, an untrained model, which is as fast."""
    model: str = "lite"
    """Architecture of the untrained model."""
    source: str | None = None
    """Folder or URI (s3://, gs://, az://) to draw photographs from; if empty, gray sample photographs of 640x480."""
    engine: Engine = "auto"
    """What runs the model in the job; as of `archive`."""
    photographs: int = Field(1024, ge=_MIN_PHOTOGRAPHS)
    """Number of photographs that the job colors in each round."""
    peer_photographs: int = Field(16, ge=1)
    """Number of these photographs that the other loops color in each round."""
    storage: StorageOptions = Field(default_factory=StorageOptions)
    """Access to object storage."""

    @model_validator(mode="after")
    def _check(self) -> "ArchiveBenchmark":
        if self.checkpoint and "model" in self.model_fields_set:
            raise ValueError("give either checkpoint or model, not both")
        if self.peer_photographs > self.photographs:
            raise ValueError("peer_photographs must not exceed photographs")
        return self


class TrainBenchmark(JobBenchmark):
    """Measure `colorize train` on this machine, a plain PyTorch loop, and the training step without data loading.

    OUTPUT receives benchmark.json and benchmark.md.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"train": "optim"}

    output: str = "benchmark-train"
    """Local folder for the figures; existing ones are replaced."""
    model: str = "lite"
    """Architecture, untrained."""
    size: int = Field(256, ge=32, multiple_of=32)
    """Side of the square training images in pixels."""
    batch_size: int = Field(16, ge=1)
    """Photographs per step."""
    steps: int = Field(20, ge=1)
    """Timed steps of each loop in each round."""
    optim: dict[str, Any] = Field(default_factory=dict)
    """Keys of the section optim of `train` to measure, such as optim.precision=fp32 or optim.compile=true."""
    gpu: bool = False
    """Train on a GPU."""

    @field_validator("optim")
    @classmethod
    def _refuse_fixed_keys(cls, optim: dict[str, Any]) -> dict[str, Any]:
        if fixed := sorted({"epochs", "batch_size"} & optim.keys()):
            raise ValueError(f"{fixed[0]} cannot be set here; use steps and batch_size of the benchmark")
        return optim


class PrepareBenchmark(JobBenchmark):
    """Measure `colorize prepare` on this machine, and loops with scikit-image, on sample photographs of 640x480.

    OUTPUT receives benchmark.json and benchmark.md.
    """

    output: str = "benchmark-prepare"
    """Local folder for the figures; existing ones are replaced."""
    size: int = Field(256, ge=32, multiple_of=32)
    """Side of the square training images in pixels."""
    photographs: int = Field(1024, ge=_MIN_PHOTOGRAPHS)
    """Number of photographs of the larger of two runs; their difference, without the start-up, is what counts."""
    peer_photographs: int = Field(32, ge=1)
    """Number of photographs that each loop converts in each round."""


class ModelBenchmark(VerbConfig):
    """Measure forward passes and training steps of the models alone, on a GPU if there is one; needs no Ray.

    OUTPUT receives benchmark.json and benchmark.md.
    """

    output: str = "benchmark-model"
    """Local folder for the figures; existing ones are replaced."""
    models: list[str] = Field(default_factory=list)
    """Architectures; all if empty."""
    sizes: list[int] = Field([256], min_length=1)
    """Sides of the square inputs in pixels: multiples of 32, at least 64."""
    batches: list[int] = Field([1, 16], min_length=1)
    """Batch sizes."""
    precisions: list[Literal["fp32", "bf16"]] = Field(["fp32", "bf16"], min_length=1)
    """Precisions of the arithmetic."""
    modes: list[Literal["eager", "graph", "compile", "openvino"]] = Field(["eager"], min_length=1)
    """Execution modes: eager, graph (CUDA graph, needs a GPU), compile (torch.compile, minutes per setting), openvino
    (forward passes on a CPU)."""
    repeats: int = Field(5, ge=1)
    """Timed calls per setting; the figures are their medians."""

    @model_validator(mode="after")
    def _check(self) -> "ModelBenchmark":
        if wrong := [size for size in self.sizes if size < 64 or size % 32]:
            raise ValueError(f"sizes: {wrong[0]} must be a multiple of 32 and at least 64")
        if wrong := [batch for batch in self.batches if batch < 1]:
            raise ValueError(f"batches: {wrong[0]} must be at least 1")
        return self
