"""`colorize archive`: colorize an archive with Ray Data. From Python:

    from jobs.archive import ArchiveConfig, run

    config = ArchiveConfig(source="scans", output="colorized", max_failed_fraction=0.1)
    exit_code = run(config)  # 0 done; 3 done, but more inputs failed than max_failed_fraction
    rows = pandas.read_parquet("colorized/metrics")  # one row per input

`run` continues an interrupted run. Errors in the configuration or its locations raise
`colorize_core.errors.UserError`, errors of Ray or of storage `cluster.errors.ClusterError`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.archive.config import ArchiveConfig
    from jobs.archive.job import run

__all__ = ["ArchiveConfig", "run"]


def __getattr__(name: str) -> Any:
    """Import the public names on first use: Ray workers import `jobs.archive.tasks`, which needs none of them."""
    if name in __all__:
        from jobs.archive import job

        return getattr(job, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
