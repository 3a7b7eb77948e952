"""`colorize evaluate`: scores of checkpoints on photographs in color."""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.config.command_line import DONE
from cluster.session import ray_session
from cluster.storage.stores import Storage, open_storage, reach
from colorize_core.errors import UserError
from colorize_core.evaluation.protocols import PROTOCOLS
from colorize_core.evaluation.rows import BASELINES, ENSEMBLE, ceiling_name, ceiling_sizes
from colorize_core.evaluation.summary import summarize_scores
from colorize_core.evaluation.table import render_markdown
from colorize_core.inference.engines import require_engine
from colorize_core.metrics.registry import METRICS
from jobs.command.console import say, summary
from jobs.doctor.preflight import check_start
from jobs.evaluate.config import EvaluateConfig, name_checkpoints
from jobs.evaluate.dataset import SplitOfDataset
from jobs.evaluate.models import TRUTH, color_images, load_models
from jobs.evaluate.report import PER_IMAGE, RESULT, write_evaluation_report
from jobs.run.actors import count_actors
from jobs.run.checkpoints import checkpoint_reads, open_checkpoint
from jobs.run.parquet import parquet_bytes
from jobs.run.record import now, versions
from jobs.run.report_files import report_at_end
from jobs.run.requirements import PretrainedWeights, Requirements

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

_log = logging.getLogger(__name__)

CONFIG = EvaluateConfig
_READ_CPUS = 1.0
_MIN_CELL = 160


@dataclass(frozen=True)
class EvaluationInputs:
    """Checked inputs of an evaluation."""

    dataset: SplitOfDataset
    """The photographs that are scored."""
    reference: SplitOfDataset | None
    """The photographs with which FID and KID compare, if they are others."""
    output: Storage
    checkpoints: dict[str, str]
    """SHA-256 of the weights, by name in the table; that of an ensemble is of its members and options."""
    names: list[str]
    """Rows of the table, in order."""


def plan(config: EvaluateConfig) -> str:
    """Describe what `run` would do."""
    inputs = check_inputs(config)
    protocol = f"\n{PROTOCOLS[config.protocol].describe()}" if config.protocol else ""
    return (
        f"evaluate would score {', '.join(inputs.checkpoints)} on {inputs.dataset.describe()}, "
        f"into {inputs.output.uri}{protocol}"
    )


def run(config: EvaluateConfig, verbose: bool = False) -> int:
    """Score every photograph in Ray, then write the tables, the grid and the report."""
    inputs = check_inputs(config)
    no_lpips = _reason_without_lpips(config)
    if no_lpips:
        _log.info("LPIPS is not computed: %s", no_lpips)
    with ray_session(config.ray, verbose=verbose):
        check_start(requirements(config))
        rows = _score(config, inputs, with_lpips=no_lpips is None)
        reference = _reference_features(config, inputs)
    rows, distances = split_features(rows, inputs.names, reference)
    result: dict[str, Any] = {
        "protocol": PROTOCOLS[config.protocol].describe() if config.protocol else None,
        "reference": inputs.reference.describe() if inputs.reference else None,
        "split": config.split,
        "photographs": inputs.dataset.count,
        "size": inputs.dataset.info.size,
        "shards": inputs.dataset.info.fingerprint,
        "checkpoints": inputs.checkpoints,
        "models": summarize_scores(rows, inputs.names, inputs.checkpoints, config.definitions, config.resamples),
        "lpips": no_lpips or config.lpips.backbone,
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


def check_inputs(config: EvaluateConfig) -> EvaluationInputs:
    """Validate the inputs before Ray is started; raises UserError. Models are not built."""
    from colorize_core.checkpoint.config import read_checkpoint_config, read_weights

    require_engine(config.engine, gpu=config.actors.gpus > 0)
    shards, output = reach(config.storage, config.shards, config.output)
    dataset = SplitOfDataset.open(shards, config.split)
    reference = None
    if config.reference:
        store, _ = reach(config.storage, config.reference, config.output)
        reference = SplitOfDataset.open(store, config.split)
    if config.protocol:
        protocol = PROTOCOLS[config.protocol]
        dataset.require(protocol.scored)
        if reference and protocol.reference:
            reference.require(protocol.reference)
    if not output.exists(RESULT) and next(iter(output.list()), None) is not None:
        raise UserError(f"{output.uri}: the output is not empty and contains no evaluation; use another output")
    checkpoints, sizes = {}, []
    for name, location in name_checkpoints(config.checkpoint).items():
        storage = open_checkpoint(location, config.storage)
        loaded = read_checkpoint_config(storage.path(), storage.filesystem)
        read_weights(storage.path(), loaded, storage.filesystem)
        checkpoints[name] = loaded.weights_sha256
        sizes.append(loaded.working_size)
    references = [*BASELINES, *map(ceiling_name, ceiling_sizes(sizes, dataset.info.size))]
    for name in checkpoints:
        if name in (*references, TRUTH, *([ENSEMBLE] if config.ensemble else [])):
            raise UserError(f"checkpoint.{name}: every evaluation has a row or image of this name; use another name")
    if config.ensemble:
        config.ensemble.require_members(checkpoints)
        members = json.dumps([checkpoints, config.ensemble.model_dump()])
        checkpoints[ENSEMBLE] = hashlib.sha256(members.encode()).hexdigest()
    if source := config.fid.source():
        from colorize_core.metrics.distribution import check_inception_weights

        check_inception_weights(source.location)
    return EvaluationInputs(dataset, reference, output, checkpoints, [*references, *checkpoints])


def requirements(config: EvaluateConfig) -> Requirements:
    """Return what an evaluation requires from the cluster and from storage."""
    output = open_storage(config.output, config.storage)
    locations = {"shards": config.shards, **({"reference": config.reference} if config.reference else {})}
    datasets: dict[str, tuple[Storage, str | None]] = {
        key: (open_storage(location, config.storage), "dataset.json") for key, location in locations.items()
    }
    checkpoints = {f"checkpoint {name}": location for name, location in name_checkpoints(config.checkpoint).items()}
    weights = config.fid.requirements()
    if config.lpips.backbone != "none":
        published = "vgg16" if config.lpips.backbone == "vgg" else "alexnet"
        weights["lpips.weights"] = PretrainedWeights(config.lpips.weights, published)
    return Requirements(
        config.actors.processes(reserved=_READ_CPUS),
        reads={**datasets, **checkpoint_reads(checkpoints, config.storage)},
        writes={"output": output},
        weights=weights,
    )


def _reason_without_lpips(config: EvaluateConfig) -> str | None:
    """Return why LPIPS is not computed, or None if it is; raises UserError if `lpips.weights` cannot be used."""
    from colorize_core.metrics.perceptual import check_lpips_weights

    if config.lpips.backbone == "none":
        return "lpips.backbone=none"
    try:
        check_lpips_weights(config.lpips.backbone, config.lpips.weights)
    except UserError as error:
        if config.lpips.weights:
            raise
        return str(error)
    return None


def _score(config: EvaluateConfig, inputs: EvaluationInputs, with_lpips: bool) -> "pa.Table":
    """Return one row per photograph and model; pixels stay in the workers.

    Rows are sorted by model (in the order of the table) and key, so that sums over them give the same digits for any
    number of actors.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import ray

    from jobs.evaluate.actor import ScoreActor
    from jobs.run.progress import ClusterCounter

    scored = ClusterCounter()
    dataset = inputs.dataset
    actors = _count_actors(config, dataset)
    pipeline = dataset.read(config.batch_size).map_batches(
        ScoreActor,
        batch_size=config.batch_size,
        batch_format="pyarrow",
        fn_constructor_kwargs={
            "config": config,
            "dataset": dataset.info,
            "with_lpips": with_lpips,
            "scored": scored,
        },
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=config.actors.cpus,
        num_gpus=config.actors.gpus,
    )
    with scored.follow(pipeline, "scored", dataset.count, config.stall_seconds, "the same command starts over"):
        table = pa.concat_tables(list(pipeline.iter_batches(batch_size=None, batch_format="pyarrow")))
    order = pa.array([*inputs.names, TRUTH])
    table = table.append_column("order", pc.index_in(table.column("model"), value_set=order))
    return table.sort_by([("order", "ascending"), ("key", "ascending")]).drop_columns("order").combine_chunks()


def _count_actors(config: EvaluateConfig, dataset: SplitOfDataset) -> int:
    batches = math.ceil(dataset.count / config.batch_size)
    return count_actors(config.actors, config.ray, reserved=_READ_CPUS, batches=batches)


def _reference_features(config: EvaluateConfig, inputs: EvaluationInputs) -> "torch.Tensor | None":
    """Return the features (N, 2048) of the reference photographs; None if FID compares with the scored ones.

    They are sorted by key, so that sums over them give the same digits for any number of actors.
    """
    source = config.fid.source()
    if inputs.reference is None or source is None:
        return None
    import pyarrow as pa
    import ray

    from jobs.evaluate.actor import FeatureActor
    from jobs.run.progress import ClusterCounter

    seen = ClusterCounter()
    pipeline = inputs.reference.read(config.batch_size).map_batches(
        FeatureActor,
        batch_size=config.batch_size,
        batch_format="pyarrow",
        fn_constructor_kwargs={"config": config, "weights": source.location, "seen": seen},
        compute=ray.data.ActorPoolStrategy(size=_count_actors(config, inputs.reference)),
        num_cpus=config.actors.cpus,
        num_gpus=config.actors.gpus,
    )
    count, again = inputs.reference.count, "the same command starts over"
    with seen.follow(pipeline, "reference photographs", count, config.stall_seconds, again):
        table = pa.concat_tables(list(pipeline.iter_batches(batch_size=None, batch_format="pyarrow")))
    return features_of(table.sort_by("key"))


def features_of(rows: "pa.Table") -> "torch.Tensor":
    """Return the column of features as a tensor (N, D)."""
    import torch

    from jobs.evaluate.actor import FEATURES

    column = rows.column(FEATURES).combine_chunks()
    return torch.tensor(column.flatten().to_numpy()).reshape(len(column), -1)


def split_features(
    rows: "pa.Table", names: Sequence[str], reference: "torch.Tensor | None" = None
) -> tuple["pa.Table", dict[str, dict[str, Any]]]:
    """Return the rows without features, and FID and KID by model if there are features.

    They compare with the features of `reference`, or of the photographs themselves if it is None.

    The driver gets the features of all images: KID needs each of them, and sums over sorted rows do not depend on the
    number of actors.
    """
    import pyarrow.compute as pc

    from jobs.evaluate.actor import FEATURES

    if FEATURES not in rows.column_names:
        return rows, {}
    features = {name: features_of(rows.filter(pc.equal(rows.column("model"), name))) for name in [*names, TRUTH]}
    own = features.pop(TRUTH)
    truth = own if reference is None else reference
    distances = {
        name: {
            metric.name: {"value": metric.distance(truth, predicted)} for metric in METRICS.values() if metric.distance
        }
        for name, predicted in features.items()
    }
    return rows.filter(pc.not_equal(rows.column("model"), TRUTH)).drop_columns(FEATURES), distances


def _grid(config: EvaluateConfig, inputs: EvaluationInputs) -> bytes:
    """Draw the first photographs of the split: gray, each model, truth."""
    import torch

    from colorize_core.data.shards import read_batches
    from colorize_core.evaluation.sample_grid import sample_grid

    dataset = inputs.dataset
    first = next(read_batches(dataset.files[:1], dataset.shards.filesystem, columns=["rgb"]))["rgb"]
    rgb = torch.from_numpy(first)[: config.grid_rows]
    models = load_models(config.checkpoint, config.storage)
    images = color_images(models, rgb, dataset.info.ab_median, config.ensemble)
    return sample_grid({name: each.numpy() for name, each in images.items()}, cell=max(rgb.shape[-1], _MIN_CELL))
