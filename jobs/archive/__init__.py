"""`colorize archive`: colorize an archive with Ray Data. From Python:

    from jobs.archive import ArchiveConfig, run

    config = ArchiveConfig(source="scans", output="colorized", max_failed_fraction=0.1)
    exit_code = run(config)  # 0 done; 3 done, but more inputs failed than max_failed_fraction
    rows = pandas.read_parquet("colorized/metrics")  # one row per input

`run` continues an interrupted run. Errors in the configuration or its locations raise
`colorize_core.errors.UserError`, errors of Ray or of storage `cluster.errors.ClusterError`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
