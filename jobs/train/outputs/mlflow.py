"""Recording a training run in MLflow, where its package is installed."""

import importlib.util
import json
import time
from collections.abc import Mapping
from typing import Any

from cluster.config.loading import Section
from cluster.storage.stores import Storage
from colorize_core.errors import UserError
from jobs.run.record import flatten

_RUN = "mlflow.json"
_LONGEST_VALUE = 500  # characters that every version of the server takes


class TrackingOptions(Section):
    """Recording the run elsewhere too."""

    mlflow: str | None = None
    """Tracking URI of MLflow, whose package must be installed; the run is not recorded there when empty."""
    experiment: str = "colorize"
    """MLflow's experiment."""


def require_mlflow() -> None:
    """Raise UserError where the package is missing."""
    if importlib.util.find_spec("mlflow") is None:
        raise UserError("tracking.mlflow needs the package mlflow, which is not installed (pip install mlflow)")


class MlflowTracker:
    """An MLflow run: the configuration as parameters, each epoch's row as metrics."""

    def __init__(self, tracking: TrackingOptions, parameters: Mapping[str, Any], output: Storage) -> None:
        """Begin the run with these parameters, or go on with the one that OUTPUT/mlflow.json names.

        Raises:
            UserError: MLflow is not installed, or its server does not answer or refuses.
        """
        require_mlflow()
        from mlflow.tracking import MlflowClient

        try:
            self._client = MlflowClient(tracking_uri=tracking.mlflow)
            self._run = _read_run(output) or self._begin(tracking.experiment, parameters, output)
        except Exception as error:  # MLflow's own, requests', and those of stores
            raise UserError(f"tracking.mlflow = {tracking.mlflow}: {_one_line(error)}") from error

    def _begin(self, name: str, parameters: Mapping[str, Any], output: Storage) -> str:
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        run = self._client.create_run(experiment, run_name=output.uri.rsplit("/", 1)[-1]).info.run_id
        self._client.set_tag(run, "output", output.uri)
        for key, value in flatten(parameters).items():
            self._client.log_param(run, key, str(value)[:_LONGEST_VALUE])
        output.write(_RUN, json.dumps({"run": run}).encode(), "application/json")
        return run

    def epoch(self, row: Mapping[str, float]) -> str | None:
        """Record a row of metrics.csv; returns why that failed. A tracker that is away must not end a training run."""
        from mlflow.entities import Metric

        now, epoch = int(time.time() * 1000), int(row["epoch"])
        try:
            metrics = [Metric(name, value, now, epoch) for name, value in row.items() if name != "epoch"]
            self._client.log_batch(self._run, metrics=metrics)
        except Exception as error:
            return _one_line(error)
        return None

    def close(self) -> None:
        """Mark the run as finished."""
        try:
            self._client.set_terminated(self._run)
        except Exception:  # what `epoch` has said already
            return


def _read_run(output: Storage) -> str | None:
    values: dict[str, Any] = json.loads(output.read(_RUN)) if output.exists(_RUN) else {}
    return values.get("run")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
