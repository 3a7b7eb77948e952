"""OUTPUT/metrics.csv of a training run: one row per epoch."""

import csv
import io
from collections.abc import Mapping, Sequence

from cluster.storage.stores import Storage
from colorize_core.metrics.registry import METRICS, validation_metrics

METRICS_FILE = "metrics.csv"
SCORES = (*validation_metrics(), METRICS["fid"])
"""Metrics of an epoch on the validation split; FID only if it is configured."""


def read_metrics(output: Storage) -> list[dict[str, float]]:
    """Return the rows of metrics.csv, one per epoch; empty before the first."""
    if not output.exists(METRICS_FILE):
        return []
    lines = output.read(METRICS_FILE).decode().splitlines()
    return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(lines)]


def write_metrics(output: Storage, rows: Sequence[Mapping[str, float]]) -> None:
    """Write metrics.csv with the columns of all rows."""
    file = io.StringIO()
    table = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
    table.writeheader()
    table.writerows(rows)
    output.write(METRICS_FILE, file.getvalue().encode(), "text/csv")
