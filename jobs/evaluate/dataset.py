"""Split of a dataset that an evaluation reads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.storage.stores import Storage
from colorize_core.evaluation.protocols import PhotographSet, require_photographs
from colorize_core.formatting import counted
from jobs.run.parquet import parquet_dataset

if TYPE_CHECKING:
    import ray.data

    from colorize_core.data.shards import DatasetInfo


@dataclass(frozen=True)
class SplitOfDataset:
    """One split of a dataset that `prepare` wrote, with the exact pixels of its photographs."""

    shards: Storage
    info: "DatasetInfo"
    split: str

    @classmethod
    def open(cls, shards: Storage, split: str) -> "SplitOfDataset":
        """Read the description of a dataset; raises UserError if there is none, or if it has no such split."""
        from colorize_core.data.shards import read_dataset_info

        info = read_dataset_info(shards.path(), shards.filesystem)
        info.files(split, shards.uri)
        return cls(shards, info, split)

    @property
    def count(self) -> int:
        """Number of photographs."""
        return int(self.info.splits[self.split]["rows"])

    @property
    def files(self) -> list[str]:
        """Paths of the shards."""
        return [self.shards.path(name) for name in self.info.files(self.split, self.shards.uri)]

    def describe(self) -> str:
        """Return what the split is, as text."""
        return (
            f"{counted(self.count, 'photograph')} of the {self.split} split of {self.shards.uri} at {self.info.size} px"
        )

    def require(self, needed: PhotographSet) -> None:
        """Raise UserError if the photographs are not of the number and form that a protocol needs."""
        where = f"the {self.split} split of {self.shards.uri}"
        require_photographs(needed, self.count, self.info.size, self.info.resize, where)

    def read(self, batch_size: int) -> "ray.data.Dataset":
        """Return keys and pixels as a dataset of Ray with a block for each batch."""
        return parquet_dataset(self.shards, self.info.files(self.split, ""), ["key", "rgb"], batch_size)
