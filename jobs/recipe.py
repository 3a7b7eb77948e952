"""`colorize recipe`: prepare, train in stages and evaluate from one file, for one row of a published table."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from cluster.config.keys import changeable_keys
from cluster.session import ray_session
from cluster.storage.stores import Storage, reach
from colorize_core.errors import UserError
from colorize_core.formatting import counted, flatten
from jobs.command.config import Output, StorageJobConfig
from jobs.command.runner import run_verb
from jobs.evaluate import job as evaluate
from jobs.evaluate.job import EvaluateConfig
from jobs.prepare import job as prepare
from jobs.prepare.config import PrepareConfig
from jobs.train import job as train
from jobs.train.config import ModelOptions, TrainConfig, WorkersOptions

_log = logging.getLogger(__name__)
_SHARDS, _EVALUATION, _PUBLISHED = "shards", "evaluation", "published"


class RecipeConfig(StorageJobConfig):
    """Prepare a dataset, train on it in one or more stages, and evaluate the last checkpoint.

    OUTPUT contains shards/ (unless a dataset is given), a training run for each stage, and evaluation/. The same
    command continues an interrupted recipe.
    """

    source: str | None = None
    """Folder or URI (s3://, gs://, az://) of color photographs, which `prepare` turns into a dataset."""
    shards: str | None = None
    """Existing dataset of `prepare`, instead of source and prepare."""
    output: Output
    """Directory or URI of all results."""
    prepare: dict[str, Any] = Field(default_factory=dict)
    """Configuration of `prepare`."""
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Configurations of `train` by name of the stage, in order. Each stage starts from the last weights of the stage
    before."""
    published: ModelOptions | None = None
    """Model with published weights to evaluate, instead of stages."""
    evaluate: dict[str, Any] = Field(default_factory=dict)
    """Configuration of `evaluate`."""
    workers: WorkersOptions = Field(default_factory=WorkersOptions)
    """Workers of every stage."""

    @model_validator(mode="after")
    def _check(self) -> "RecipeConfig":
        if (self.source is None) == (self.shards is None):
            raise ValueError("give either source (photographs) or shards (a dataset of prepare)")
        if self.shards is not None and self.prepare:
            raise ValueError("prepare has no effect if shards is given")
        if bool(self.stages) == (self.published is not None):
            raise ValueError("give either stages to train or published weights to evaluate")
        for name in self.stages:
            if name in (_SHARDS, _EVALUATION, _PUBLISHED) or "/" in name:
                raise ValueError(f"stages.{name}: not possible as the name of a folder in the output; use another name")
        return self


CONFIG = RecipeConfig


@dataclass(frozen=True)
class RecipeSteps:
    """Configurations of the jobs that a recipe runs."""

    prepare: PrepareConfig | None
    stages: dict[str, TrainConfig]
    evaluate: EvaluateConfig


def plan(config: RecipeConfig) -> str:
    """Describe what `run` would do."""
    steps = _check_steps(config)
    parts = ["prepare"] if steps.prepare else []
    parts += [
        f"{name} ({stage.model.name}, {counted(stage.optim.epochs, 'epoch')})" for name, stage in steps.stages.items()
    ]
    if config.published:
        parts.append(f"{config.published.name} with published weights")
    return f"recipe would run {', '.join(parts)} and evaluate, below {config.output}"


def run(config: RecipeConfig, verbose: bool = False) -> int:
    """Check every step, then run them in one Ray session."""
    steps = _check_steps(config)
    output = _output(config)
    with ray_session(config.ray, verbose=verbose):
        if steps.prepare and not _is_prepared(steps.prepare, output.child(_SHARDS)):
            _log.info("prepare into %s", steps.prepare.output)
            prepare.run(steps.prepare, verbose)
        if config.published:
            _write_published(config.published, output.child(_PUBLISHED))
        for name, stage in steps.stages.items():
            _log.info("stage %s", name)
            train.run(stage, verbose)
        _log.info("evaluate")
        return evaluate.run(steps.evaluate, verbose)


def _output(config: RecipeConfig) -> Storage:
    return reach(config.storage, config.source or str(config.shards), config.output)[1]


def _check_steps(config: RecipeConfig) -> RecipeSteps:
    """Check the configuration of every job; raises UserError for a mistake in any of them, before one starts."""
    output = _output(config)
    common = {"storage": config.storage.model_dump(), "ray": config.ray.model_dump()}
    shards = config.shards or output.child(_SHARDS).uri
    preparation = None
    if config.source:
        values = {**config.prepare, "source": config.source, "output": shards, **common}
        preparation = PrepareConfig.part(values, "prepare")
    stages: dict[str, TrainConfig] = {}
    last = output.child(_PUBLISHED).uri
    for name, keys in config.stages.items():
        folder = output.child(name).uri
        set_by_recipe = {"shards": shards, "output": folder, "workers": config.workers.model_dump(), **common}
        values = {**keys, **set_by_recipe}
        if stages:
            values["model"] = {"init_from": last, **(values.get("model") or {})}
        stages[name] = TrainConfig.part(values, f"stages.{name}")
        last = f"{folder}/last"
    row = output.uri.rstrip("/").rsplit("/", 1)[-1]
    set_by_recipe = {"shards": shards, "output": output.child(_EVALUATION).uri, **common}
    evaluation = EvaluateConfig.part({"checkpoint": {row: last}, **config.evaluate, **set_by_recipe}, "evaluate")
    _check_models([config.published] if config.published else [stage.model for stage in stages.values()])
    return RecipeSteps(preparation, stages, evaluation)


def _check_models(models: Sequence[ModelOptions]) -> None:
    """Check each distinct model once; raises UserError."""
    from colorize_core.models import check_model

    checked: list[tuple[str, Any]] = []
    for model in models:
        if (model.name, model.options) not in checked:
            check_model(model.name, **model.options)
            checked.append((model.name, model.options))


def _is_prepared(config: PrepareConfig, shards: Storage) -> bool:
    """Return True if the dataset exists; raises UserError if it was prepared with another configuration."""
    from colorize_core.data.shards import DATASET_FILE, read_dataset_info

    if not shards.exists(DATASET_FILE):
        return False
    before = flatten(read_dataset_info(shards.path(), shards.filesystem).config)
    after = flatten(config.model_dump(mode="json"))
    changeable = tuple(f"{key}." for key in changeable_keys(PrepareConfig))
    changed = [key for key in after if before.get(key) != after[key] and not f"{key}.".startswith(changeable)]
    if changed:
        raise UserError(
            f"{shards.uri}: the dataset there was prepared with other values ({', '.join(changed)}); use another output"
        )
    return True


def _write_published(model: ModelOptions, checkpoint: Storage) -> None:
    """Write the checkpoint of a model with published weights, which no training run writes."""
    from colorize_core.checkpoint.weights import checkpoint_files
    from colorize_core.models import build_model

    network = build_model(model.name, **model.options)
    origin = {"published": model.model_dump(mode="json")}
    for name, data in checkpoint_files(network, network.working_size, origin).items():
        checkpoint.write(name, data)


if __name__ == "__main__":
    sys.exit(run_verb("recipe"))
