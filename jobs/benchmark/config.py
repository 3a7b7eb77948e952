"""What can be said of benchmarks."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from jobs.command.config import JobConfig, StorageJobConfig, VerbConfig

_FEWEST = 32


class ArchiveBenchmark(StorageJobConfig):
    """Measure `colorize archive` on this machine: pictures per second, where the time goes, and what to change.

    In each round the real job colors the photographs, then the Colorizer by itself, the loops of known projects with
    the same weights on the same cores, and the cheapest kernels one by one. OUTPUT holds benchmark.json, benchmark.md
    and stages.png.
    """

    output: str = "benchmark-archive"
    """Local folder for the figures; earlier ones there are replaced."""
    checkpoint: str | None = None
    """Directory of the model; an untrained one when empty, which is as fast."""
    model: str = "lite"
    """Architecture of the untrained one."""
    source: str | None = None
    """Folder or s3:// prefix of photographs to draw from; samples of 640x480 in gray when empty."""
    photographs: int = Field(1024, ge=_FEWEST)
    """That the job colors in each round."""
    peer_photographs: int = Field(16, ge=1)
    """Of these, that the other loops color in each round."""
    rounds: int = Field(3, ge=1)
    """The figures are medians over these."""

    @model_validator(mode="after")
    def _check(self) -> "ArchiveBenchmark":
        if self.checkpoint and "model" in self.model_fields_set:
            raise ValueError("give either checkpoint or model")
        if self.peer_photographs > self.photographs:
            raise ValueError("peer_photographs is more than photographs")
        return self


class TrainBenchmark(JobConfig):
    """Measure `colorize train` on this machine, beside the tutorials' loop and the bare step without any data.

    OUTPUT holds benchmark.json and benchmark.md.
    """

    output: str = "benchmark-train"
    """Local folder for the figures; earlier ones there are replaced."""
    model: str = "lite"
    """Architecture, untrained."""
    size: int = Field(256, ge=32, multiple_of=32)
    """Side of the squares in pixels."""
    batch_size: int = Field(16, ge=1)
    """Photographs in a step."""
    steps: int = Field(20, ge=1)
    """Of each contender in each round, beside those that are not counted."""
    rounds: int = Field(3, ge=1)
    """The figures are medians over these."""
    optim: dict[str, Any] = Field(default_factory=dict)
    """Keys of the section optim of `train` to measure, such as optim.precision=fp32 or optim.compile=true."""
    gpu: bool = False
    """Train on a GPU."""

    @field_validator("optim")
    @classmethod
    def _leave_the_work(cls, optim: dict[str, Any]) -> dict[str, Any]:
        if fixed := sorted({"epochs", "batch_size"} & optim.keys()):
            raise ValueError(f"{fixed[0]} is not for choosing; steps and batch_size say how much is done")
        return optim


class PrepareBenchmark(JobConfig):
    """Measure `colorize prepare` on this machine, beside a loop with scikit-image, on sample photographs of 640x480.

    OUTPUT holds benchmark.json and benchmark.md.
    """

    output: str = "benchmark-prepare"
    """Local folder for the figures; earlier ones there are replaced."""
    size: int = Field(256, ge=32, multiple_of=32)
    """Side of the squares in pixels."""
    photographs: int = Field(1024, ge=_FEWEST)
    """Of the larger of two runs; the smaller has a quarter, and what lies between them counts, without start-up."""
    peer_photographs: int = Field(32, ge=1)
    """That the loop converts in each round."""
    rounds: int = Field(3, ge=1)
    """The figures are medians over these."""


class ModelBenchmark(VerbConfig):
    """Measure forward passes and training steps of the models by themselves, on a GPU where there is one.

    OUTPUT holds benchmark.json and benchmark.md.
    """

    output: str = "benchmark-model"
    """Local folder for the figures; earlier ones there are replaced."""
    models: list[str] = Field(default_factory=list)
    """Architectures; all when empty."""
    sizes: list[int] = Field([256], min_length=1)
    """Sides of the squares in pixels, multiples of 32 from 64 on."""
    batches: list[int] = Field([1, 16], min_length=1)
    """Photographs at a time."""
    precisions: list[Literal["fp32", "bf16"]] = Field(["fp32", "bf16"], min_length=1)
    """Of the arithmetic."""
    modes: list[Literal["eager", "graph", "compile"]] = Field(["eager"], min_length=1)
    """How the model is run: operation by operation, as a CUDA graph, by torch.compile (minutes for each)."""
    repeats: int = Field(5, ge=1)
    """The figures are medians over these."""

    @model_validator(mode="after")
    def _check(self) -> "ModelBenchmark":
        if wrong := [size for size in self.sizes if size < 64 or size % 32]:
            raise ValueError(f"sizes: {wrong[0]} is not a multiple of 32 from 64 on")
        if wrong := [batch for batch in self.batches if batch < 1]:
            raise ValueError(f"batches: {wrong[0]} is not at least 1")
        return self
