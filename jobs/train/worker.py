"""One rank of a training run: what it was given, and how ranks agree."""

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

Value = TypeVar("Value")


@dataclass(frozen=True)
class Worker:
    """A process with a replica of the model and its share of the photographs."""

    config: TrainConfig
    dataset: DatasetInfo
    shards: Storage
    output: Storage
    messages: Any
    """Queue to the terminal."""
    device: torch.device
    rank: int
    ranks: int

    @classmethod
    def current(cls, setup: Mapping[str, Any]) -> "Worker":
        """The rank that this process is."""
        context = ray.train.get_context()
        return cls(
            **setup,
            device=ray.train.torch.get_device(),
            rank=context.get_world_rank(),
            ranks=context.get_world_size(),
        )

    @property
    def is_rank_zero(self) -> bool:
        """Whether it is the one that writes for all."""
        return self.rank == 0

    def say(self, line: str) -> None:
        """Print a line at the driver, once for all ranks."""
        if self.is_rank_zero:
            self.messages.put(line)

    def loader(self) -> ShardLoader:
        """Its share of the training photographs."""
        optim = self.config.optim
        return ShardLoader(
            open_shards(self.files(TRAIN), self.shards.filesystem),
            self.shards.filesystem,
            ("id", "L", "ab"),
            optim.batch_size,
            optim.shuffle_buffer,
            optim.seed,
            self.rank,
            self.ranks,
        )

    def files(self, split: str = VAL) -> list[str]:
        """Paths of the shards of a split."""
        return [self.shards.path(name) for name in self.dataset.files(split, self.shards.uri)]

    def sum(self, values: Tensor) -> Tensor:
        """Sums over all ranks, on the CPU."""
        if self.ranks > 1:
            dist.all_reduce(values)
        return values.cpu()

    def gather(self, value: Value) -> list[Value]:
        """What every rank has, in their order."""
        if self.ranks == 1:
            return [value]
        values: list[Any] = [None] * self.ranks
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: Value) -> Value:
        """What the leading rank says."""
        if self.ranks == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Give every rank the running statistics of the leading one, which the checkpoint holds."""
        if self.ranks > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)
