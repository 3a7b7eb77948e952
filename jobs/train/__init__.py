"""`colorize train`: train a model on Lab shards with Ray Train. From Python:

    from jobs.train import TrainConfig, run

    config = TrainConfig(shards="shards", output="run", model={"name": "lite"}, loss={"l1": 1})
    run(config)  # the best checkpoint is run/best

`run` continues an interrupted run.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.train.config import TrainConfig
    from jobs.train.job import run

__all__ = ["TrainConfig", "run"]


def __getattr__(name: str) -> Any:
    """Import the public names on first use: Ray workers import modules of this package that need none of them."""
    if name in __all__:
        from jobs.train import job

        return getattr(job, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
