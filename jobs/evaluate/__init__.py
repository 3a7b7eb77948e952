"""`colorize evaluate`: score checkpoints on a test split. From Python:

from jobs.evaluate import EvaluateConfig, run

config = EvaluateConfig(shards="shards", output="evaluation", checkpoint={"mine": "run/best", "starter": "starter"})
run(config)  # writes table.md, metrics.json, grid.png and report/ to the output
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.evaluate.config import EvaluateConfig
    from jobs.evaluate.job import run

__all__ = ["EvaluateConfig", "run"]


def __getattr__(name: str) -> Any:
    """Import the public names on first use: Ray workers import modules of this package that need none of them."""
    if name in __all__:
        from jobs.evaluate import job

        return getattr(job, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
