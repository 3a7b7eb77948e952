"""`colorize sweep`: one training run for each combination of values, compared in a table and in a plot.

Trials run one after another, each on all the workers that it requests. Ray Tune would run them concurrently, each with
its own driver that holds resources while it waits for its workers, and would keep a second record of progress in
addition to the checkpoints from which `train` continues. A grid needs neither.
"""

import copy
import itertools
import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.config.command_line import DONE, FAILED
from cluster.config.keys import changeable_keys
from cluster.errors import ClusterError
from cluster.ray_compat import root_cause
from cluster.session import ray_session
from cluster.storage.stores import Storage, reach
from colorize_core.errors import UserError
from colorize_core.formatting import counted, set_dotted
from colorize_core.metrics.registry import METRICS
from colorize_core.runtime.memory import SINGLE_ARENA_ENV
from jobs.command.console import say, summary
from jobs.run.lock import OutputLock
from jobs.run.record import RUN_FILE, begin_run, now, write_record
from jobs.sweep import comparison
from jobs.sweep.comparison import Trial, format_value
from jobs.sweep.config import OWN_KEYS, SweepConfig
from jobs.train import job as train
from jobs.train.config import TrainConfig
from jobs.train.outputs.metrics_file import read_metrics

_log = logging.getLogger(__name__)

CONFIG = SweepConfig
_FAILURES = "_state/failures.json"
_MAX_NAME_CHARACTERS = 200  # file systems allow 255 bytes


@dataclass(frozen=True)
class PlannedTrial:
    """Trial with its checked configuration."""

    config: TrainConfig
    folder: Storage
    fingerprints: dict[str, str]
    """Fingerprints of the inputs, as in run.json."""

    def is_done(self) -> bool:
        """Return True if the folder contains this run, finished, with the same inputs."""
        record = _read_json(self.folder, RUN_FILE)
        if record.get("status") != "done" or record["inputs"] != self.fingerprints:
            return False
        return _without_own_keys(record["config"]) == _without_own_keys(self.config.model_dump(mode="json"))


@dataclass(frozen=True)
class SweepPlan:
    """Trials of a sweep."""

    trials: dict[str, PlannedTrial]
    """Trials by name."""
    panels: dict[str, dict[str, str]]
    """Names of trials by their values, by the keys of their grid: the panels of the plot."""
    keys: list[str]
    """All varied keys."""


def plan(config: SweepConfig) -> str:
    """Describe what `run` would do."""
    output = _output(config)
    trials = _plan_trials(config, output).trials
    todo = {name: counted(trial.config.optim.epochs, "epoch") for name, trial in trials.items() if not trial.is_done()}
    lines = [f"  {name}  ({todo.get(name, 'done')})" for name in trials]
    return "\n".join([f"sweep would run {len(todo)} of {len(lines)} trials below {output.uri}:", *lines])


def run(config: SweepConfig, verbose: bool = False) -> int:
    """Check all trials, then run those that are not done in one Ray session."""
    output = _output(config)
    planned = _plan_trials(config, output)
    with OutputLock(output) as lock:
        record = begin_run(output, "sweep", config, {}, changeable=changeable_keys(TrainConfig))
        failures = _read_json(output, _FAILURES)
        todo = {name: each.config for name, each in planned.trials.items() if not each.is_done()}
        if todo:
            with ray_session(config.ray, verbose=verbose, environment=SINGLE_ARENA_ENV):
                for number, (name, trial) in enumerate(todo.items(), start=1):
                    lock.check()
                    _log.info("trial %d of %d: %s", number, len(todo), name)
                    failures.pop(name, None)
                    if reason := _attempt(trial, verbose):
                        failures[name] = reason
                        _log.warning("trial %s failed: %s", name, reason)
                    output.write(_FAILURES, json.dumps(failures, indent=2, ensure_ascii=False).encode())
                    _compare(planned, output, failures)
        trials = _compare(planned, output, failures)
        write_record(output, record | {"status": "done", "finished": now()})
    return _summarize(trials, output)


def _output(config: SweepConfig) -> Storage:
    return reach(config.storage, config.shards, config.output)[1]


def _plan_trials(config: SweepConfig, output: Storage) -> SweepPlan:
    """Check the configuration of every trial; raises UserError for a mistake in any of them, before one starts."""
    trials: dict[str, PlannedTrial] = {}
    panels: dict[str, dict[str, str]] = {}
    values = {"shards": config.shards, "storage": config.storage.model_dump(), "ray": config.ray.model_dump()}
    shared = {**config.shared, **values, "output": output.uri}
    for grid in config.grid:
        panel = panels.setdefault(", ".join(grid), {})
        for given in _combinations(grid):
            changed = copy.deepcopy(shared)
            for key, value in given.items():
                set_dotted(changed, key, value)
            trial = TrainConfig.part(changed, f"trial {trial_name(given)}")
            values = {key: _value(trial, key) for key in given}  # 1e-3, which YAML reads as text, is 0.001
            name = trial_name(values)
            twin = next((each for each, other in trials.items() if _is_same(other.config, trial)), None)
            if twin is None:
                _require_folder_name(name, trials)
                folder = output.child(f"trials/{name}")
                trial = trial.model_copy(update={"output": folder.uri})
                trials[name] = PlannedTrial(trial, folder, train.check_inputs(trial).fingerprints)
            panel[", ".join(map(format_value, values.values()))] = twin or name
    return SweepPlan(trials, panels, list(dict.fromkeys(key for grid in config.grid for key in grid)))


def _require_folder_name(name: str, taken: Collection[str]) -> None:
    if name in taken:
        raise UserError(f"trial {name}: two combinations of values would have this name; vary a simpler key")
    if len(name) > _MAX_NAME_CHARACTERS:
        raise UserError(f"trial {name[:60]}...: too long for the name of a folder; vary fewer or simpler keys")


def _combinations(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def trial_name(values: Mapping[str, Any]) -> str:
    """Return the name of a folder: optim.lr=0.001,optim.betas=0.5_0.999."""
    return ",".join(f"{key}={_path_text(value)}" for key, value in values.items())


def _path_text(value: Any) -> str:
    """Format a value with characters that need no quoting in paths, URIs and shells."""
    text = "_".join(map(format_value, value)) if isinstance(value, list) else format_value(value)
    return re.sub(r"[^\w.+-]+", "-", text.strip('[]{}"'))


def _value(config: TrainConfig, key: str) -> Any:
    """Return the value of a dotted key; None for an option that is not given."""
    found: Any = config.model_dump(mode="json")
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _is_same(one: TrainConfig, other: TrainConfig) -> bool:
    return _without_own_keys(one.model_dump(mode="json")) == _without_own_keys(other.model_dump(mode="json"))


def _without_own_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in OWN_KEYS}


def _read_json(storage: Storage, key: str) -> dict[str, Any]:
    return json.loads(storage.read(key)) if storage.exists(key) else {}


def _attempt(config: TrainConfig, verbose: bool) -> str | None:
    """Train, from the last checkpoint if there is one; return the reason in one line if it fails.

    A trial that fails must not end the others. The loss of the cluster ends all, so a ClusterError is not caught.
    """
    try:
        train.run(config, verbose)
    except ClusterError:
        raise
    except Exception as error:
        _log.debug("traceback of the failed trial", exc_info=error)
        cause = root_cause(error)
        words = " ".join(str(cause).split())[:300]
        return words if isinstance(cause, UserError) else f"{type(cause).__name__}: {words}"
    return None


def _compare(plan: SweepPlan, output: Storage, failures: Mapping[str, str]) -> list[Trial]:
    """Write the table and the curves of all trials as they are now."""
    trials = {}
    for name, planned in plan.trials.items():
        epochs = read_metrics(planned.folder)
        if planned.is_done():
            status = "done"
        elif name in failures:
            status = f"failed: {failures[name]}"
        else:
            status = "unfinished" if epochs else "waiting"
        trials[name] = Trial(name, {key: _value(planned.config, key) for key in plan.keys}, epochs, status)
    panels = {title: {label: trials[name] for label, name in names.items()} for title, names in plan.panels.items()}
    listed = list(trials.values())
    output.write("comparison.csv", comparison.to_csv(listed).encode(), "text/csv")
    output.write("comparison.md", comparison.to_markdown(listed).encode(), "text/markdown")
    output.write("curves.png", comparison.curves_png(panels), "image/png")
    return listed


def _summarize(trials: Sequence[Trial], output: Storage) -> int:
    say(f"\n{comparison.to_markdown(trials)}")
    failed = [trial for trial in trials if trial.status.startswith("failed")]
    facts = [("trials", f"{len(trials) - len(failed)} done, {len(failed)} failed")]
    best = comparison.rank(trials)[0]
    if best.epochs:
        mae, epoch = METRICS["mae_ab"], best.scores["best_epoch"]
        facts.append(("best", f"{best.name}, {mae.label} {mae.format(best.scores[mae.name])} at epoch {epoch:.0f}"))
        facts.append(("checkpoint", f"{output.uri}/trials/{best.name}/best"))
    facts += [("table", f"{output.uri}/comparison.md, comparison.csv"), ("curves", f"{output.uri}/curves.png")]
    summary("swept", facts)
    return FAILED if failed else DONE
