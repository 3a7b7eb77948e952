"""Recording in MLflow, with a stand-in for its client, and errors without package or server."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cluster.storage.stores import LocalStorage
from colorize_core.errors import UserError
from jobs.train.config import TrainConfig
from jobs.train.outputs.mlflow import MlflowTracker, require_mlflow
from jobs.train.outputs.trackers import TrackingError

CONFIG = TrainConfig.load(None, ["shards=x", "output=y", "model.name=lite", "loss.l1=1", "tracking.mlflow=file:/m"])


class Server:
    """State of a tracking server."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.away = False

    def client(self, tracking_uri: str) -> "Client":
        if self.away:
            raise ConnectionError("Max retries exceeded\nwith url")
        return Client(self)


class Client:
    def __init__(self, server: Server) -> None:
        self._server = server

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return name

    def create_run(self, experiment: str, run_name: str) -> SimpleNamespace:
        name = f"{experiment}-{len(self._server.runs)}"
        self._server.runs[name] = {"tags": {}, "params": {}, "metrics": [], "ended": False}
        return SimpleNamespace(info=SimpleNamespace(run_id=name))

    def set_tag(self, run: str, key: str, value: str) -> None:
        self._server.runs[run]["tags"][key] = value

    def log_param(self, run: str, key: str, value: str) -> None:
        self._server.runs[run]["params"][key] = value

    def log_batch(self, run: str, metrics: list[tuple[str, float, int, int]]) -> None:
        if self._server.away:
            raise ConnectionError("Max retries exceeded")
        self._server.runs[run]["metrics"] += [(name, value, step) for name, value, _, step in metrics]

    def set_terminated(self, run: str) -> None:
        self._server.runs[run]["ended"] = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    parts = {"mlflow.tracking": {"MlflowClient": server.client}, "mlflow.entities": {"Metric": lambda *all: all}}
    package = ModuleType("mlflow")
    package.__spec__ = SimpleNamespace(name="mlflow")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "mlflow", package)
    for name, members in parts.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return server


@pytest.fixture
def output(tmp_path: Path) -> LocalStorage:
    return LocalStorage(str(tmp_path / "run"))


def started(output: LocalStorage) -> MlflowTracker:
    tracker = MlflowTracker(CONFIG.tracking, output)
    tracker.start(CONFIG.model_dump(mode="json"), 0)
    return tracker


def test_the_configuration_and_each_epoch_are_recorded(server: Server, output: LocalStorage) -> None:
    tracker = started(output)
    tracker.log({"epoch": 1.0, "loss": 0.5, "mae_ab": 0.1})
    tracker.close()
    (run,) = server.runs.values()
    assert run["params"]["model.name"] == "lite"
    assert run["params"]["loss.l1"] == "1.0"
    assert run["tags"]["output"] == output.uri
    assert run["metrics"] == [("loss", 0.5, 1), ("mae_ab", 0.1, 1)]
    assert run["ended"]


def test_a_continued_run_is_recorded_in_the_same_run(server: Server, output: LocalStorage) -> None:
    started(output).log({"epoch": 1, "loss": 0.5})
    started(output).log({"epoch": 2, "loss": 0.4})
    (run,) = server.runs.values()
    assert run["metrics"] == [("loss", 0.5, 1), ("loss", 0.4, 2)]


def test_a_lost_server_is_an_error_that_training_survives(server: Server, output: LocalStorage) -> None:
    tracker = started(output)
    server.away = True
    with pytest.raises(TrackingError, match=r"epoch 1 is not recorded in MLflow \(Max retries exceeded\)"):
        tracker.log({"epoch": 1, "loss": 0.5})
    tracker.close()


def test_an_unreachable_server_is_refused_in_one_line(server: Server, output: LocalStorage) -> None:
    server.away = True
    with pytest.raises(UserError, match=r"^tracking.mlflow = file:/m: Max retries exceeded with url$"):
        started(output)


def test_a_missing_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the package mlflow, which is not installed"):
        require_mlflow()
