"""`colorize prepare`: convert photographs to Lab shards. From Python:

from jobs.prepare import PrepareConfig, run

config = PrepareConfig(source="photos", output="shards", size=128)
run(config)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.prepare.config import PrepareConfig
    from jobs.prepare.job import run

__all__ = ["PrepareConfig", "run"]


def __getattr__(name: str) -> Any:
    """Import the public names on first use: Ray workers import `jobs.prepare.tasks`, which needs none of them."""
    if name in __all__:
        from jobs.prepare import job

        return getattr(job, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
