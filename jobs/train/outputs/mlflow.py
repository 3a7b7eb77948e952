"""Recording of a training run in MLflow, if its package is installed."""

import importlib.util
import json
import time
from collections.abc import Mapping
from typing import Any

from cluster.config.loading import Section
from cluster.storage.stores import Storage
from colorize_core.errors import UserError
from colorize_core.formatting import flatten
from jobs.train.outputs.trackers import TrackingError

_RUN_FILE = "mlflow.json"
_MAX_VALUE_CHARACTERS = 500  # limit of parameter values in all versions of the server


class TrackingOptions(Section):
    """Experiment tracking, in addition to metrics.csv and TensorBoard."""

    mlflow: str | None = None
    """Tracking URI of MLflow, whose package must be installed. The run is not recorded in MLflow when empty."""
    experiment: str = "colorize"
    """Name of the experiment in MLflow."""


def require_mlflow() -> None:
    """Raise UserError if the package is not installed."""
    if importlib.util.find_spec("mlflow") is None:
        raise UserError("tracking.mlflow needs the package mlflow, which is not installed (pip install mlflow)")


class MlflowTracker:
    """Records a run in MLflow: the configuration as parameters, the rows of metrics.csv as metrics."""

    def __init__(self, tracking: TrackingOptions, output: Storage) -> None:
        """Take the options and the output of the run."""
        self._tracking, self._output = tracking, output

    def start(self, parameters: Mapping[str, Any], epochs: int) -> None:
        """See `Tracker`; the run to be continued is that of OUTPUT/mlflow.json."""
        require_mlflow()
        from mlflow.tracking import MlflowClient

        try:
            self._client = MlflowClient(tracking_uri=self._tracking.mlflow)
            self._run = self._read_run() or self._create_run(parameters)
        except Exception as error:  # of MLflow, requests or the storage
            raise UserError(f"tracking.mlflow = {self._tracking.mlflow}: {_one_line(error)}") from error

    def _read_run(self) -> str | None:
        values = json.loads(self._output.read(_RUN_FILE)) if self._output.exists(_RUN_FILE) else {}
        run: str | None = values.get("run")
        return run

    def _create_run(self, parameters: Mapping[str, Any]) -> str:
        name, output = self._tracking.experiment, self._output
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        run: str = self._client.create_run(experiment, run_name=output.uri.rsplit("/", 1)[-1]).info.run_id
        self._client.set_tag(run, "output", output.uri)
        for key, value in flatten(parameters).items():
            self._client.log_param(run, key, str(value)[:_MAX_VALUE_CHARACTERS])
        output.write(_RUN_FILE, json.dumps({"run": run}).encode(), "application/json")
        return run

    def log(self, row: Mapping[str, float]) -> None:
        """See `Tracker`."""
        from mlflow.entities import Metric

        time_ms, epoch = int(time.time() * 1000), int(row["epoch"])
        try:
            metrics = [Metric(name, value, time_ms, epoch) for name, value in row.items() if name != "epoch"]
            self._client.log_batch(self._run, metrics=metrics)
        except Exception as error:  # training must not end because the server does not answer
            raise TrackingError(f"epoch {epoch} is not recorded in MLflow ({_one_line(error)})") from error

    def close(self) -> None:
        """See `Tracker`."""
        try:
            self._client.set_terminated(self._run)
        except Exception:  # `log` has reported it
            return


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
