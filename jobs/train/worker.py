"""Context of one rank of a training run, and collective operations of all ranks."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cluster.storage.stores import Storage
from colorize_core.data.loader import ShardLoader, open_shards
from colorize_core.data.shards import TRAIN, VAL, DatasetInfo
from jobs.train.config import TrainConfig

_log = logging.getLogger(__name__)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Worker:
    """A process with a replica of the model and a share of the photographs."""

    config: TrainConfig
    dataset: DatasetInfo
    shards: Storage
    output: Storage
    device: torch.device
    rank: int
    world_size: int

    @classmethod
    def current(cls, setup: Mapping[str, Any]) -> "Worker":
        """Return the context of this process; `setup` has the fields that are equal on all ranks."""
        context = ray.train.get_context()
        return cls(
            **setup,
            device=ray.train.torch.get_device(),
            rank=context.get_world_rank(),
            world_size=context.get_world_size(),
        )

    @property
    def is_rank_zero(self) -> bool:
        """True on rank 0, which writes all outputs."""
        return self.rank == 0

    def log(self, level: int, message: str, *values: object) -> None:
        """Log a message once for all ranks."""
        if self.is_rank_zero:
            _log.log(level, message, *values)

    def loader(self) -> ShardLoader:
        """Return the loader of this rank's share of the training photographs."""
        optim = self.config.optim
        return ShardLoader(
            open_shards(self.files(TRAIN), self.shards.filesystem),
            self.shards.filesystem,
            ("id", "L", "ab"),
            optim.batch_size,
            optim.shuffle_buffer,
            optim.seed,
            self.rank,
            self.world_size,
        )

    def files(self, split: str = VAL) -> list[str]:
        """Return the paths of the shards of a split."""
        return [self.shards.path(name) for name in self.dataset.files(split, self.shards.uri)]

    def sum(self, values: Tensor) -> Tensor:
        """Return the sums of `values` over all ranks, on the CPU."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values.cpu()

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all ranks, in order of rank."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: Value) -> Value:
        """Return the value of rank 0 on all ranks."""
        if self.world_size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of rank 0, such as running statistics, to all ranks; checkpoints contain those of rank 0."""
        if self.world_size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)
