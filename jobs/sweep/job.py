"""`colorize sweep`: one training run for each combination of values, compared in one table and one picture.

Trials run one after another, each on all the workers it asks for. Ray Tune would run them side by side, each in a
driver of its own that holds resources while it waits for those of its workers, and would keep a second record of
what is done beside the checkpoints that `train` continues from; a grid needs neither.
"""

import copy
import itertools
import json
import re
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.config.command_line import DONE, FAILED
from cluster.config.loading import changeable_keys
from cluster.errors import ClusterError
from cluster.ray_compat import root_cause
from cluster.session import ray_session
from cluster.storage.stores import Storage, reach
from colorize_core.errors import UserError
from jobs.command.console import say, summary
from jobs.run.lock import OutputLock
from jobs.run.record import RUN_FILE, begin_run, now, write_record
from jobs.sweep import comparison
from jobs.sweep.comparison import Trial
from jobs.sweep.config import OWN_KEYS, SweepConfig
from jobs.train import job as train
from jobs.train.config import TrainConfig

CONFIG = SweepConfig
_FAILURES = "_state/failures.json"
_LONGEST_NAME = 200  # characters; file systems allow 255 bytes


@dataclass(frozen=True)
class _Planned:
    """A trial before it runs."""

    config: TrainConfig
    folder: Storage
    fingerprints: dict[str, str]
    """Of what it works from, as its run.json has them."""

    def is_done(self) -> bool:
        """Whether its folder holds this run, of the same inputs, finished."""
        record = _read_json(self.folder, RUN_FILE)
        if record.get("status") != "done" or record["inputs"] != self.fingerprints:
            return False
        return _without_place(record["config"]) == _without_place(self.config.model_dump(mode="json"))


@dataclass(frozen=True)
class _Study:
    """The trials of a sweep."""

    trials: dict[str, _Planned]
    """By name."""
    panels: dict[str, dict[str, str]]
    """By the keys of a grid: the name of a trial by its values."""
    keys: list[str]
    """All keys that vary."""


def plan(config: SweepConfig) -> str:
    """What would run."""
    output = _output(config)
    study = _study(config, output)
    left = {name: f"{each.config.optim.epochs} epochs" for name, each in study.trials.items() if not each.is_done()}
    lines = [f"  {name}  ({left.get(name, 'done')})" for name in study.trials]
    return "\n".join([f"sweep would run {len(left)} of {len(lines)} trials below {output.uri}:", *lines])


def run(config: SweepConfig, verbose: bool = False) -> int:
    """Check every trial, then run those that are not done in one Ray session."""
    output = _output(config)
    study = _study(config, output)
    with OutputLock(output) as lock:
        record = begin_run(output, "sweep", config, {}, changeable=[f"train.{key}" for key in changeable_keys(TrainConfig)])
        failures = _read_json(output, _FAILURES)
        todo = {name: each.config for name, each in study.trials.items() if not each.is_done()}
        if todo:
            with ray_session(config.ray, verbose=verbose):
                for number, (name, trial) in enumerate(todo.items(), start=1):
                    lock.check()
                    say(f"\nsweep: trial {number} of {len(todo)}: {name}")
                    failures.pop(name, None)
                    if reason := _attempt(trial, verbose):
                        failures[name] = reason
                        say(f"sweep: {name} failed: {reason}")
                    output.write(_FAILURES, json.dumps(failures, indent=2, ensure_ascii=False).encode())
                    _compare(study, output, failures)
        trials = _compare(study, output, failures)
        write_record(output, record | {"status": "done", "finished": now()})
    return _summarize(trials, output)


def _output(config: SweepConfig) -> Storage:
    return reach(config.storage, config.shards, config.output)[1]


def _study(config: SweepConfig, output: Storage) -> _Study:
    """The checked configuration of every trial; raises UserError for a mistake in any, before one begins."""
    trials: dict[str, _Planned] = {}
    panels: dict[str, dict[str, str]] = {}
    shared = {"shards": config.shards, "storage": config.storage.model_dump(), "ray": config.ray.model_dump()}
    for grid in config.grid:
        panel = panels.setdefault(", ".join(grid), {})
        for given in _combinations(grid):
            changed = _with_keys({**config.train, **shared, "output": output.uri}, given)
            trial = TrainConfig.part(changed, f"trial {trial_name(given)}")
            values = {key: _value(trial, key) for key in given}  # 1e-3, which YAML reads as text, is 0.001
            name = trial_name(values)
            twin = next((each for each, other in trials.items() if _is_same(other.config, trial)), None)
            if twin is None:
                _require_folder_name(name, trials)
                folder = output.child(f"trials/{name}")
                trial = trial.model_copy(update={"output": folder.uri})
                trials[name] = _Planned(trial, folder, train.check_inputs(trial).fingerprints)
            panel[", ".join(map(comparison.show, values.values()))] = twin or name
    return _Study(trials, panels, list(dict.fromkeys(key for grid in config.grid for key in grid)))


def _require_folder_name(name: str, taken: Collection[str]) -> None:
    if name in taken:
        raise UserError(f"trial {name}: two combinations of values would have this name; vary a simpler key")
    if len(name) > _LONGEST_NAME:
        raise UserError(f"trial {name[:60]}...: too long for the name of a folder; vary simpler or fewer keys")


def _combinations(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def trial_name(values: Mapping[str, Any]) -> str:
    """A folder's name: optim.lr=0.001,optim.betas=0.5_0.999."""
    return ",".join(f"{key}={_plain(value)}" for key, value in values.items())


def _plain(value: Any) -> str:
    """A value in letters that are plain in paths, URIs and shells."""
    text = "_".join(map(comparison.show, value)) if isinstance(value, list) else comparison.show(value)
    return re.sub(r"[^\w.+-]+", "-", text.strip('[]{}"'))


def _with_keys(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested mappings with dotted keys set."""
    result = copy.deepcopy(dict(values))
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = result
        for parent in parents:
            if not isinstance(section.get(parent), dict):
                section[parent] = {}
            section = section[parent]
        section[last] = value
    return result


def _value(config: TrainConfig, key: str) -> Any:
    """What a dotted key stands for; none for an option that is not given."""
    found: Any = config.model_dump(mode="json")
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _is_same(one: TrainConfig, other: TrainConfig) -> bool:
    return _without_place(one.model_dump(mode="json")) == _without_place(other.model_dump(mode="json"))


def _without_place(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in OWN_KEYS}


def _read_json(store: Storage, key: str) -> dict[str, Any]:
    return json.loads(store.read(key)) if store.exists(key) else {}


def _attempt(config: TrainConfig, verbose: bool) -> str | None:
    """Train, from the last checkpoint if there is one; returns why it failed, in a line.

    One bad combination must not cost the others; a cluster that is gone would, and is not caught.
    """
    try:
        train.run(config, verbose)
    except ClusterError:
        raise
    except Exception as error:
        if verbose:
            traceback.print_exception(error)
        cause = root_cause(error)
        words = " ".join(str(cause).split())[:300]
        return words if isinstance(cause, UserError) else f"{type(cause).__name__}: {words}"
    return None


def _compare(study: _Study, output: Storage, failures: Mapping[str, str]) -> list[Trial]:
    """Write the table and the curves of what there is so far."""
    trials = {}
    for name, planned in study.trials.items():
        epochs = train.read_metrics(planned.folder)
        if planned.is_done():
            status = "done"
        elif name in failures:
            status = f"failed: {failures[name]}"
        else:
            status = "unfinished" if epochs else "waiting"
        trials[name] = Trial(name, {key: _value(planned.config, key) for key in study.keys}, epochs, status)
    panels = {title: {label: trials[name] for label, name in names.items()} for title, names in study.panels.items()}
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
        facts.append(("best", f"{best.name}, MAE {best.scores['mae_ab']:.4f} at epoch {best.scores['best_epoch']:.0f}"))
        facts.append(("checkpoint", f"{output.uri}/trials/{best.name}/best"))
    facts += [("table", f"{output.uri}/comparison.md, comparison.csv"), ("curves", f"{output.uri}/curves.png")]
    summary("swept", facts)
    return FAILED if failed else DONE
