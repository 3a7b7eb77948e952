"""`colorize train`: Lab shards to a checkpoint, with Ray Train."""

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.config.command_line import DONE
from cluster.session import ray_session
from cluster.storage.stores import Storage, open_storage, reach
from colorize_core.errors import UserError
from jobs.command.console import duration, say, summary
from jobs.doctor.preflight import check_start, require_room
from jobs.run.checkpoints import checkpoint_reads, open_checkpoint
from jobs.run.record import begin_run, now, write_record
from jobs.run.requirements import PretrainedWeights, Requirements, ResourceRequest
from jobs.train.checkpoints import is_complete
from jobs.train.config import ModelOptions, TrainConfig
from jobs.train.metrics_file import read_metrics
from jobs.train.outputs.curves import run_curves
from jobs.train.outputs.mlflow import require_mlflow

if TYPE_CHECKING:
    from colorize_core.data.shards import DatasetInfo
    from colorize_core.models.base import ColorModel

CONFIG = TrainConfig
CURVES = "curves.png"


@dataclass(frozen=True)
class _Inputs:
    """What was checked before Ray is started."""

    shards: Storage
    output: Storage
    dataset: "DatasetInfo"
    fingerprints: dict[str, str]


def plan(config: TrainConfig) -> str:
    """What would run."""
    inputs = check_inputs(config)
    return f"train would run {_work(config, inputs)} and write to {inputs.output.uri}"


def _work(config: TrainConfig, inputs: _Inputs) -> str:
    rows = inputs.dataset.splits["train"]["rows"]
    batches = rows // config.workers.count // config.optim.batch_size
    steps = math.ceil(batches / config.optim.accumulate)
    return (
        f"{config.optim.epochs} epochs of {steps} steps on {config.workers.count} workers "
        f"({rows} photographs of {inputs.dataset.size} px)"
    )


def run(config: TrainConfig, verbose: bool = False) -> int:
    """Check, begin or continue the run, train, summarize."""
    inputs = check_inputs(config)
    record = begin_run(inputs.output, "train", config, inputs.fingerprints)
    if is_complete(inputs.output, config.optim.epochs):
        say(f"train: {inputs.output.uri} has all its {config.optim.epochs} epochs; raise optim.epochs to go on")
    else:
        with ray_session(config.ray, verbose=verbose):
            needed = requirements(config)
            require_room(needed.processes, config.ray)
            check_start(needed)
            from jobs.train.trainer import fit

            say(f"train: {_work(config, inputs)}")
            fit(config, inputs.dataset, inputs.shards, inputs.output, verbose=verbose)
    rows = read_metrics(inputs.output)
    inputs.output.write(CURVES, run_curves(rows), "image/png")
    best = json.loads(inputs.output.read("best/config.json"))["training"]
    write_record(inputs.output, record | {"status": "done", "finished": now(), "best": best})
    _summarize(inputs.output, rows[-1], best, config.optim.best_metric)
    return DONE


def check_inputs(config: TrainConfig) -> _Inputs:
    """Find every mistake that can be found before processes are started."""
    from colorize_core.checkpoint.config import read_checkpoint_config
    from colorize_core.data.shards import TRAIN, VAL, read_dataset_info

    shards, output = reach(config.storage, config.shards, config.output)
    dataset = read_dataset_info(shards.path(), shards.filesystem)
    for split in (TRAIN, VAL):
        dataset.files(split, shards.uri)
    rows = dataset.splits[TRAIN]["rows"]
    if rows // config.workers.count < config.optim.batch_size:
        raise UserError(
            f"{shards.uri}: {rows} training photographs do not fill one batch of {config.optim.batch_size} "
            f"on each of {config.workers.count} workers; lower optim.batch_size"
        )
    try:
        config.augment.rule().require_fit(dataset.size)
    except UserError as error:
        raise UserError(f"augment.{error} ({shards.uri})") from None
    model = build_untrained(config.model)
    if config.loss.cross_entropy and not model.has_bins:
        raise UserError(f"loss.cross_entropy: {config.model.name} predicts no bins; zhang_eccv16 does")
    config.loss.build(dataset.color_prior)
    if config.tracking.mlflow:
        require_mlflow()
    if source := config.fid.source():
        from colorize_core.metrics import InceptionFeatures

        InceptionFeatures(source.location)
    architecture = model.architecture
    fingerprints = {"shards": dataset.fingerprint}
    if config.model.init_from:
        store = open_checkpoint(config.model.init_from, config.storage)
        start = read_checkpoint_config(store.path(), store.filesystem)
        if start.architecture != architecture:
            raise UserError(
                f"{config.model.init_from}: a checkpoint of {_architecture(start.architecture)}, "
                f"but model asks for {_architecture(architecture)}"
            )
        fingerprints["model.init_from"] = start.weights_sha256
    return _Inputs(shards, output, dataset, fingerprints)


def requirements(config: TrainConfig) -> Requirements:
    """What a run needs of the machines it runs on."""
    shards, output = (open_storage(location, config.storage) for location in (config.shards, config.output))
    starts = {"model.init_from": config.model.init_from} if config.model.init_from else {}
    reads = {"shards": (shards, "dataset.json"), **checkpoint_reads(starts, config.storage)}
    weights = config.fid.requirements()
    if config.loss.perceptual:
        weights["loss.vgg_weights"] = PretrainedWeights(config.loss.vgg_weights, "vgg16")
    if backbone := config.model.options.get("backbone_weights"):
        weights["model.options.backbone_weights"] = PretrainedWeights(
            None if backbone == "imagenet" else backbone, "resnet18"
        )
    workers = config.workers
    processes = ResourceRequest("workers", workers.min or workers.count, workers.cpus, float(workers.gpu))
    return Requirements(processes, reads, {"output": output}, weights)


def build_untrained(model: ModelOptions) -> "ColorModel":
    """The network with its first weights; raises UserError for an unknown name or option, or weights not to be had."""
    from colorize_core.models import build_model

    return build_model(model.name, **model.options)


def _architecture(architecture: dict[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in architecture["options"].items())
    return f"{architecture['name']}({options})"


def _summarize(output: Storage, last: dict[str, float], best: dict[str, Any], metric: str) -> None:
    gray = last["gray_mae_ab"]
    scores = best["metrics"]
    verdict = "better" if scores["mae_ab"] < gray else "WORSE"
    facts: list[tuple[str, object]] = [
        ("epochs", f"{last['epoch']:.0f}, {duration(last['seconds'])} for the last"),
        ("best epoch", f"{best['epoch']}, by {metric}"),
        ("validation MAE", f"{scores['mae_ab']:.4f}, {verdict} than gray at {gray:.4f}"),
        ("PSNR, SSIM", f"{scores['psnr']:.2f} dB, {scores['ssim']:.4f}"),
        ("checkpoint", f"{output.uri}/best"),
        ("samples", f"{output.uri}/samples"),
        ("curves", f"{output.uri}/{CURVES}, metrics.csv, tensorboard/"),
    ]
    summary("trained", facts)
