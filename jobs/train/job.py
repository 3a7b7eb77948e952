"""`colorize train`: Lab shards to a checkpoint, with Ray Train."""

import json
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.config.command_line import DONE
from cluster.session import ray_session
from cluster.storage.stores import Storage, open_storage, reach
from colorize_core.data.options import HintOptions
from colorize_core.errors import UserError
from colorize_core.formatting import counted, format_duration
from colorize_core.metrics.registry import METRICS
from colorize_core.runtime.memory import SINGLE_ARENA_ENV
from jobs.command.console import summary
from jobs.doctor.preflight import check_start, require_resources
from jobs.run.checkpoints import checkpoint_reads, open_checkpoint
from jobs.run.prometheus import active
from jobs.run.record import begin_run, now, write_record
from jobs.run.requirements import PretrainedWeights, Requirements, ResourceRequest
from jobs.train.checkpoints import is_complete
from jobs.train.config import TrainConfig
from jobs.train.outputs.curves import run_curves
from jobs.train.outputs.metrics_file import METRICS_FILE, read_metrics
from jobs.train.outputs.mlflow import require_mlflow

if TYPE_CHECKING:
    from colorize_core.data.shards import DatasetInfo

_log = logging.getLogger(__name__)

CONFIG = TrainConfig
CURVES = "curves.png"


@dataclass(frozen=True)
class TrainInputs:
    """Checked inputs of a training run."""

    shards: Storage
    output: Storage
    dataset: "DatasetInfo"
    fingerprints: dict[str, str]
    """Fingerprints of dataset and initial checkpoint, for run.json."""


def plan(config: TrainConfig) -> str:
    """Describe what `run` would do."""
    inputs = check_inputs(config)
    return f"train would run {_describe_work(config, inputs)} and write to {inputs.output.uri}"


def _describe_work(config: TrainConfig, inputs: TrainInputs) -> str:
    rows = inputs.dataset.splits["train"]["rows"]
    batches = rows // config.workers.count // config.optim.batch_size
    steps = math.ceil(batches / config.optim.accumulate)
    return (
        f"{counted(config.optim.epochs, 'epoch')} of {counted(steps, 'step')} "
        f"on {counted(config.workers.count, 'worker')} "
        f"({counted(rows, 'photograph')} of {inputs.dataset.size} px)"
    )


def run(config: TrainConfig, verbose: bool = False) -> int:
    """Start or continue the run, train, and print a summary."""
    inputs = check_inputs(config)
    record = begin_run(inputs.output, "train", config, inputs.fingerprints)
    if is_complete(inputs.output, config.optim.epochs):
        _log.info(
            "%s has all its %d epochs; a higher optim.epochs continues it", inputs.output.uri, config.optim.epochs
        )
    else:
        _log.info("%s", _describe_work(config, inputs))
        with ray_session(config.ray, verbose=verbose, environment=SINGLE_ARENA_ENV), active(inputs.output.uri):
            needed = requirements(config)
            require_resources(needed.processes, config.ray)
            check_start(needed)
            from jobs.train.trainer import fit

            _log.info("starting %s", counted(config.workers.count, "worker"))
            fit(config, inputs.dataset, inputs.shards, inputs.output, verbose=verbose)
    rows = read_metrics(inputs.output)
    inputs.output.write(CURVES, run_curves(rows, inputs.output.uri), "image/png")
    best = json.loads(inputs.output.read("best/config.json"))["training"]
    write_record(inputs.output, record | {"status": "done", "finished": now(), "best": best})
    _summarize(inputs.output, rows[-1], best, config.optim.best_metric)
    return DONE


def check_inputs(config: TrainConfig) -> TrainInputs:
    """Validate the inputs before Ray is started; raises UserError. Networks are not loaded."""
    from colorize_core.checkpoint.config import read_checkpoint_config
    from colorize_core.data.shards import TRAIN, VAL, read_dataset_info
    from colorize_core.models import check_model

    shards, output = reach(config.storage, config.shards, config.output)
    dataset = read_dataset_info(shards.path(), shards.filesystem)
    for split in (TRAIN, VAL):
        dataset.files(split, shards.uri)
    rows = dataset.splits[TRAIN]["rows"]
    if rows // config.workers.count < config.optim.batch_size:
        raise UserError(
            f"{shards.uri}: {counted(rows, 'training photograph')} do not fill one batch of {config.optim.batch_size} "
            f"on each of {counted(config.workers.count, 'worker')}; lower optim.batch_size"
        )
    try:
        config.augment.require_fit(dataset.size)
    except UserError as error:
        raise UserError(f"augment.{error} ({shards.uri})") from None
    model = check_model(config.model.name, **config.model.options)
    if config.augment.hints != HintOptions() and not model.takes_hints:
        raise UserError(f"augment.hints: has no effect, because {config.model.name} takes no hints; siggraph17 does")
    for loss in config.loss.active():
        if loss.needs_bins and not model.has_bins:
            hint = "zhang_eccv16 does, and pretrained_unet with bins"
            raise UserError(f"loss.{loss.name}: {config.model.name} predicts no color bins; {hint}")
        if loss.check:
            loss.check(config.loss)
    if config.tracking.mlflow:
        require_mlflow()
    if source := config.fid.source():
        from colorize_core.metrics.distribution import check_inception_weights

        check_inception_weights(source.location)
    fingerprints = {"shards": dataset.fingerprint}
    if config.model.init_from:
        storage = open_checkpoint(config.model.init_from, config.storage)
        start = read_checkpoint_config(storage.path(), storage.filesystem)
        if start.architecture != model.architecture:
            raise UserError(
                f"{config.model.init_from}: a checkpoint of {_architecture(start.architecture)}, "
                f"but the section model describes {_architecture(model.architecture)}"
            )
        fingerprints["model.init_from"] = start.weights_sha256
    return TrainInputs(shards, output, dataset, fingerprints)


def requirements(config: TrainConfig) -> Requirements:
    """Return what the run requires from the cluster and from storage."""
    shards, output = (open_storage(location, config.storage) for location in (config.shards, config.output))
    starts = {"model.init_from": config.model.init_from} if config.model.init_from else {}
    reads = {"shards": (shards, "dataset.json"), **checkpoint_reads(starts, config.storage)}
    weights = config.fid.requirements()
    for loss in config.loss.active():
        if loss.pretrained:
            option, network = loss.pretrained
            weights[f"loss.{option}"] = PretrainedWeights(getattr(config.loss, option), network)
    options = dict(config.model.options)
    if source := options.pop("backbone_weights", None):
        from colorize_core.models import check_model

        backbone = check_model(config.model.name, **options).backbone
        location = None if source == "imagenet" else source
        weights["model.options.backbone_weights"] = PretrainedWeights(location, str(backbone))
    workers = config.workers
    processes = ResourceRequest("workers", workers.min or workers.count, workers.cpus, float(workers.gpu))
    return Requirements(processes, reads, {"output": output}, weights)


def _architecture(architecture: dict[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in architecture["options"].items())
    return f"{architecture['name']}({options})"


def _summarize(output: Storage, last: dict[str, float], best: dict[str, Any], best_metric: str) -> None:
    scores, gray = best["metrics"], last["gray_mae_ab"]
    mae, psnr, ssim = (METRICS[name] for name in ("mae_ab", "psnr", "ssim"))
    verdict = "better" if mae.is_better(scores["mae_ab"], gray) else "WORSE"
    facts: list[tuple[str, object]] = [
        ("epochs", f"{last['epoch']:.0f}, {format_duration(last['seconds'])} for the last"),
        ("best epoch", f"{best['epoch']}, by {best_metric}"),
        ("validation MAE", f"{mae.format(scores['mae_ab'])}, {verdict} than gray at {mae.format(gray)}"),
        ("PSNR, SSIM", f"{psnr.format(scores['psnr'], unit=True)}, {ssim.format(scores['ssim'])}"),
        ("checkpoint", f"{output.uri}/best"),
        ("samples", f"{output.uri}/samples"),
        ("curves", f"{output.uri}/{CURVES}, {METRICS_FILE}, tensorboard/"),
    ]
    summary("trained", facts)
