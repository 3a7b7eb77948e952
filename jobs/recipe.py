"""`colorize recipe`: prepare, train in stages and evaluate: one row of a paper's table, from one file."""

import sys
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from cluster.session import ray_session
from cluster.storage.stores import Storage, reach
from colorize_core.errors import UserError
from colorize_core.formatting import flatten
from jobs.command.config import Output, StorageJobConfig
from jobs.command.console import say
from jobs.command.runner import run_verb
from jobs.evaluate import job as evaluate
from jobs.evaluate.job import EvaluateConfig
from jobs.prepare import job as prepare
from jobs.prepare.config import PrepareConfig
from jobs.train import job as train
from jobs.train.config import ModelOptions, TrainConfig, WorkersOptions

_SHARDS, _EVALUATION, _PUBLISHED = "shards", "evaluation", "published"


class RecipeConfig(StorageJobConfig):
    """Prepare a dataset, train on it in one or more stages, evaluate the last checkpoint.

    OUTPUT holds shards/ (where no dataset is given), a training run for each stage, and evaluation/. The same
    command continues an interrupted recipe.
    """

    source: str | None = None
    """Folder or s3:// prefix of color photographs."""
    shards: str | None = None
    """A dataset of `prepare`, instead of source and prepare."""
    output: Output
    """Where everything goes."""
    prepare: dict[str, Any] = Field(default_factory=dict)
    """Keys of `prepare`."""
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Keys of `train` by name of the stage, in order; a stage begins with the weights the one before ended with."""
    published: ModelOptions | None = None
    """A network with published weights to evaluate, instead of stages."""
    evaluate: dict[str, Any] = Field(default_factory=dict)
    """Keys of `evaluate`."""
    workers: WorkersOptions = Field(default_factory=WorkersOptions)
    """Where each stage trains."""

    @model_validator(mode="after")
    def _check(self) -> "RecipeConfig":
        if (self.source is None) == (self.shards is None):
            raise ValueError("give either source (photographs) or shards (a dataset of prepare)")
        if self.shards is not None and self.prepare:
            raise ValueError("prepare has no effect with shards")
        if bool(self.stages) == (self.published is not None):
            raise ValueError("give either stages to train or published weights to evaluate")
        for name in self.stages:
            if name in (_SHARDS, _EVALUATION, _PUBLISHED) or "/" in name:
                raise ValueError(f"stages.{name}: the name of a folder of the output; use another name")
        return self


CONFIG = RecipeConfig


@dataclass(frozen=True)
class _Steps:
    """The configurations of the jobs that a recipe runs."""

    prepare: PrepareConfig | None
    stages: dict[str, TrainConfig]
    evaluate: EvaluateConfig


def plan(config: RecipeConfig) -> str:
    """What would run."""
    steps = _steps(config)
    parts = ["prepare"] if steps.prepare else []
    parts += [f"{name} ({stage.model.name}, {stage.optim.epochs} epochs)" for name, stage in steps.stages.items()]
    if config.published:
        parts.append(f"{config.published.name} with published weights")
    return f"recipe would run {', '.join(parts)} and evaluate, below {config.output}"


def run(config: RecipeConfig, verbose: bool = False) -> int:
    """Check every step, then run them in one Ray session."""
    steps = _steps(config)
    output = _output(config)
    with ray_session(config.ray, verbose=verbose):
        if steps.prepare and not _is_prepared(steps.prepare, output.child(_SHARDS)):
            say(f"recipe: prepare into {steps.prepare.output}")
            prepare.run(steps.prepare, verbose)
        if config.published:
            _write_published(config.published, steps.evaluate, output.child(_PUBLISHED))
        for name, stage in steps.stages.items():
            say(f"recipe: stage {name}")
            train.run(stage, verbose)
        say("recipe: evaluate")
        return evaluate.run(steps.evaluate, verbose)


def _output(config: RecipeConfig) -> Storage:
    return reach(config.storage, config.source or str(config.shards), config.output)[1]


def _steps(config: RecipeConfig) -> _Steps:
    """The checked configuration of every job; raises UserError for a mistake in any, before one begins."""
    output = _output(config)
    shared = {"storage": config.storage.model_dump(), "ray": config.ray.model_dump()}
    shards = config.shards or output.child(_SHARDS).uri
    preparation = None
    if config.source:
        values = {**config.prepare, "source": config.source, "output": shards, **shared}
        preparation = PrepareConfig.part(values, "prepare")
    stages: dict[str, TrainConfig] = {}
    for name, keys in config.stages.items():
        own = {"shards": shards, "output": output.child(name).uri, "workers": config.workers.model_dump()}
        values = {**keys, **own, **shared}
        if stages:
            start = f"{list(stages.values())[-1].output}/last"
            values["model"] = {"init_from": start} | dict(values.get("model") or {})
        stages[name] = TrainConfig.part(values, f"stages.{name}")
    last = f"{list(stages.values())[-1].output}/last" if stages else output.child(_PUBLISHED).uri
    values = {"checkpoint": {output.uri.rstrip("/").rsplit("/", 1)[-1]: last}, **config.evaluate, **shared}
    values |= {"shards": shards, "output": output.child(_EVALUATION).uri}
    for model in (config.published, *(stage.model for stage in stages.values())):
        if model:
            train.build_untrained(model)
    return _Steps(preparation, stages, EvaluateConfig.part(values, "evaluate"))


def _is_prepared(config: PrepareConfig, shards: Storage) -> bool:
    """Whether the dataset is there already; raises UserError when it was made in another way."""
    from colorize_core.data.shards import DATASET_FILE, read_dataset_info

    if not shards.exists(DATASET_FILE):
        return False
    before = flatten(read_dataset_info(shards.path(), shards.filesystem).config)
    after = flatten(config.model_dump(mode="json"))
    changed = [key for key in after if before.get(key) != after[key] and not key.startswith(("ray.", "storage."))]
    if changed:
        raise UserError(
            f"{shards.uri}: the dataset there was prepared otherwise ({', '.join(changed)}); use another output"
        )
    return True


def _write_published(model: ModelOptions, evaluation: EvaluateConfig, checkpoint: Storage) -> None:
    """A checkpoint of published weights, which have no run of ours behind them."""
    from colorize_core.checkpoint.weights import checkpoint_files
    from colorize_core.data.shards import read_dataset_info

    shards = reach(evaluation.storage, evaluation.shards, evaluation.output)[0]
    size = read_dataset_info(shards.path(), shards.filesystem).size
    network = train.build_untrained(model)
    for name, data in checkpoint_files(network, size, {"published": model.model_dump(mode="json")}).items():
        checkpoint.write(name, data)


if __name__ == "__main__":
    sys.exit(run_verb("recipe"))
