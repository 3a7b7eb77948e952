"""OUTPUT/metrics.csv of a training run: one row per epoch."""

import csv

from cluster.storage.stores import Storage

METRICS = "metrics.csv"


def read_metrics(output: Storage) -> list[dict[str, float]]:
    """Rows of metrics.csv, one per epoch; empty before the first."""
    if not output.exists(METRICS):
        return []
    lines = output.read(METRICS).decode().splitlines()
    return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(lines)]
