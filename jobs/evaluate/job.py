"""`colorize evaluate`: checkpoints against photographs whose colors are known."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.config.command_line import DONE
from cluster.session import ray_session
from cluster.storage.stores import Storage, open_storage, reach
from colorize_core.errors import UserError
from colorize_core.evaluation.table import render_markdown, summarize_scores
from jobs.command.console import say, summary
from jobs.doctor.preflight import check_start
from jobs.evaluate.config import EvaluateConfig, name_checkpoints
from jobs.evaluate.report import PER_IMAGE, RESULT, TRUTH, write_evaluation_report
from jobs.run.actors import count_actors
from jobs.run.checkpoints import checkpoint_reads, read_checkpoint
from jobs.run.parquet import parquet_bytes
from jobs.run.record import now, versions
from jobs.run.report_files import report_at_end
from jobs.run.requirements import PretrainedWeights, Published, Requirements

if TYPE_CHECKING:
    import pyarrow as pa

    from colorize_core.data.shards import DatasetInfo

CONFIG = EvaluateConfig
_READ_CPUS = 1.0


@dataclass(frozen=True)
class _Inputs:
    """What was checked before Ray is started."""

    shards: Storage
    output: Storage
    dataset: "DatasetInfo"
    checkpoints: dict[str, tuple[str, str]]
    """Location and SHA-256 of the weights, by name in the table."""
    names: list[str]
    """Rows of the table, in order."""


def plan(config: EvaluateConfig) -> str:
    """What would run."""
    inputs = check_inputs(config)
    rows = inputs.dataset.splits[config.split]["rows"]
    return (
        f"evaluate would score {', '.join(inputs.checkpoints)} on {rows} photographs of {inputs.shards.uri}, "
        f"into {inputs.output.uri}"
    )


def run(config: EvaluateConfig, verbose: bool = False) -> int:
    """Score every photograph in Ray, then make the tables and the grid."""
    inputs = check_inputs(config)
    without = _without_lpips(config)
    if without:
        say(f"evaluate: without LPIPS: {without}")
    with ray_session(config.ray, verbose=verbose):
        check_start(requirements(config))
        rows = _score(config, inputs, with_lpips=without is None)
    rows, distances = _set_metrics(rows, inputs.names)
    result: dict[str, Any] = {
        "split": config.split,
        "photographs": inputs.dataset.splits[config.split]["rows"],
        "size": inputs.dataset.size,
        "shards": inputs.dataset.fingerprint,
        "checkpoints": {name: weights for name, (_, weights) in inputs.checkpoints.items()},
        "models": summarize_scores(rows, inputs.names, config.definitions, config.resamples),
        "lpips": without or config.lpips.backbone,
        "config": config.model_dump(mode="json"),
        "versions": versions(),
        "finished": now(),
    }
    for name, values in distances.items():
        result["models"][name] |= values
    table = render_markdown(result)
    output = inputs.output
    output.write(PER_IMAGE, parquet_bytes(rows))
    output.write("grid.png", _grid(config, inputs), "image/png")
    output.write("table.md", table.encode(), "text/markdown")
    output.write(RESULT, json.dumps(result, indent=2).encode(), "application/json")
    say(f"\n{table}")
    facts = [("table", f"{output.uri}/table.md, {RESULT}"), ("per image", f"{output.uri}/{PER_IMAGE}")]
    facts.append(("sample grid", f"{output.uri}/grid.png"))
    if config.report:
        page = report_at_end("evaluate", output, lambda: write_evaluation_report(output, config.storage))
        facts += [("report", page)] if page else []
    summary("evaluated", facts)
    return DONE


def check_inputs(config: EvaluateConfig) -> _Inputs:
    """Find every mistake that can be found before Ray is started."""
    from colorize_core.data.shards import read_dataset_info
    from colorize_core.evaluation.scoring import BASELINES, ceiling_name

    shards, output = reach(config.storage, config.shards, config.output)
    dataset = read_dataset_info(shards.path(), shards.filesystem)
    dataset.files(config.split, shards.uri)
    if not output.exists(RESULT) and next(iter(output.list()), None) is not None:
        raise UserError(f"{output.uri}: the output is not empty and holds no evaluation; use another output")
    checkpoints, sizes = {}, set()
    for name, location in name_checkpoints(config.checkpoint).items():
        _, loaded = read_checkpoint(location, config.storage)
        checkpoints[name] = (location, loaded.weights_sha256)
        sizes.add(loaded.working_size)
    references = [*BASELINES, *map(ceiling_name, sorted(sizes))]
    for name in checkpoints:
        if name in (*references, TRUTH):
            raise UserError(
                f"checkpoint.{name}: the name of a row or picture that every evaluation has; use another name"
            )
    if source := config.fid.source():
        from colorize_core.metrics import InceptionFeatures

        InceptionFeatures(source.location)
    return _Inputs(shards, output, dataset, checkpoints, [*references, *checkpoints])


def requirements(config: EvaluateConfig) -> Requirements:
    """What an evaluation needs of the machines it runs on."""
    shards, output = (open_storage(location, config.storage) for location in (config.shards, config.output))
    checkpoints = {f"checkpoint {name}": location for name, location in name_checkpoints(config.checkpoint).items()}
    weights = config.fid.requirements()
    if config.lpips.backbone != "none":
        published: Published = "vgg16" if config.lpips.backbone == "vgg" else "alexnet"
        weights["lpips.weights"] = PretrainedWeights(config.lpips.weights, published)
    return Requirements(
        config.actors.processes(reserved=_READ_CPUS),
        reads={"shards": (shards, "dataset.json"), **checkpoint_reads(checkpoints, config.storage)},
        writes={"output": output},
        weights=weights,
    )


def _without_lpips(config: EvaluateConfig) -> str | None:
    """Why LPIPS is not computed; None where it is. Weights that were named must be usable."""
    from colorize_core.metrics import LPIPS

    if config.lpips.backbone == "none":
        return "left out by lpips.backbone=none"
    try:
        LPIPS(config.lpips.backbone, config.lpips.weights)
    except UserError as error:
        if config.lpips.weights:
            raise
        return str(error)
    return None


def _score(config: EvaluateConfig, inputs: _Inputs, with_lpips: bool) -> "pa.Table":
    """One row per photograph and model, by key and in the order of the table; pixels stay in the workers.

    Sorted, so that sums over it give the same digits however many actors worked.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import ray

    from jobs.evaluate.actor import ScoreActor
    from jobs.run.progress import ClusterCounter

    progress = ClusterCounter()
    shards, dataset = inputs.shards, inputs.dataset
    photographs = dataset.splits[config.split]["rows"]
    batches = math.ceil(photographs / config.batch_size)
    actors = count_actors(config.actors, config.ray, reserved=_READ_CPUS, batches=batches)
    files = [shards.path(name) for name in dataset.files(config.split, shards.uri)]
    scored = (
        ray.data.read_parquet(files, filesystem=shards.filesystem)
        .select_columns(["key", "rgb"])
        .repartition(target_num_rows_per_block=config.batch_size)
        .map_batches(
            ScoreActor,
            batch_size=config.batch_size,
            batch_format="pyarrow",
            fn_constructor_kwargs={
                "config": config,
                "dataset": dataset,
                "with_lpips": with_lpips,
                "progress": progress,
            },
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=config.actors.cpus,
            num_gpus=config.actors.gpus,
        )
    )
    with progress.follow(scored, "scored", photographs, config.stall_seconds, "the same command starts again"):
        table = pa.concat_tables(list(scored.iter_batches(batch_size=None, batch_format="pyarrow")))
    order = pa.array([*inputs.names, TRUTH])
    table = table.append_column("order", pc.index_in(table.column("model"), value_set=order))
    return table.sort_by([("order", "ascending"), ("key", "ascending")]).drop_columns("order").combine_chunks()


def _set_metrics(rows: "pa.Table", names: Sequence[str]) -> tuple["pa.Table", dict[str, dict[str, Any]]]:
    """The rows without features, and FID and KID by model where there were features.

    Features travel as rows: KID needs every one of them, and sums over sorted rows do not depend on the workers.
    """
    import pyarrow.compute as pc
    import torch

    from colorize_core.metrics import fid, kid
    from jobs.evaluate.actor import FEATURES

    if FEATURES not in rows.column_names:
        return rows, {}
    by_model = {}
    for name in [*names, TRUTH]:
        chosen = rows.filter(pc.equal(rows.column("model"), name)).column(FEATURES).combine_chunks()
        by_model[name] = torch.tensor(chosen.flatten().to_numpy()).reshape(len(chosen), -1)
    truth = by_model.pop(TRUTH)
    distances: dict[str, dict[str, Any]] = {}
    metrics: Mapping[str, Callable[[Any, Any], float]] = {"fid": fid, "kid": kid}
    for name, made in by_model.items():
        distances[name] = {metric: {"value": compute(truth, made)} for metric, compute in metrics.items()}
    kept = rows.filter(pc.not_equal(rows.column("model"), TRUTH)).drop_columns(FEATURES)
    return kept, distances


def _grid(config: EvaluateConfig, inputs: _Inputs) -> bytes:
    """The first photographs of the split: gray, each model, truth."""
    import torch

    from colorize_core.data.shards import read_batches
    from colorize_core.evaluation import scoring as evaluation
    from colorize_core.evaluation.sample_grid import sample_grid

    shards, dataset = inputs.shards, inputs.dataset
    first = shards.path(dataset.files(config.split, shards.uri)[0])
    rgb = torch.from_numpy(next(read_batches([first], shards.filesystem, columns=["rgb"]))["rgb"])[: config.grid_rows]
    models = {}
    for name, (location, _) in inputs.checkpoints.items():
        model, loaded = read_checkpoint(location, config.storage)
        models[name] = (model, loaded.working_size)
    predicted = evaluation.predictions(models, rgb, dataset.ab_median)
    L, _ = evaluation.split_rgb(rgb)
    columns = {name: evaluation.assemble(L, predicted[name]).numpy() for name in (evaluation.GRAY, *models)}
    return sample_grid({**columns, "truth": rgb.numpy()})
