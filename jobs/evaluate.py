"""`colorize evaluate`: checkpoints against photographs whose colours are known."""

import json
import sys
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from cluster.session import ray_session
from cluster.storage import Storage, open_storage, reach
from colorize_core.errors import UserError
from jobs.cli import DONE, run_job
from jobs.config import Section, StorageJobConfig
from jobs.console import ProgressLine, say, summary
from jobs.run_record import now, versions
from jobs.tables import parquet_bytes

if TYPE_CHECKING:
    import pandas as pd

    from colorize_core.shards import DatasetInfo

RESULT = "metrics.json"
_TITLES = {"mae_ab": "MAE (ab/110)", "psnr": "PSNR (dB)", "ssim": "SSIM", "lpips": "LPIPS"}
_DIGITS = {"mae_ab": 4, "psnr": 2, "ssim": 4, "lpips": 4}


class LpipsSection(Section):
    """Perceptual similarity; its backbone's weights are not part of the package."""

    backbone: Literal["vgg", "alex", "none"] = "vgg"
    """Network: vgg (seed 000), alex (the usual one in papers), or none to leave the column out."""
    weights: str | None = None
    """Path or URI of torchvision's state dict of vgg16 or alexnet; downloaded when empty."""


class EvaluateConfig(StorageJobConfig):
    """Score checkpoints on the exact pixels of a dataset's test split, beside the gray and constant-colour baselines.

    OUTPUT holds table.md, metrics.json (means and 95% bootstrap intervals), per_image.parquet and grid.png.
    """

    shards: str
    """Dataset of `prepare`."""
    checkpoint: str | list[str] | dict[str, str]
    """One directory, a list of them, or directories by the name each has in the table."""
    output: str
    """Where the results go."""
    split: Literal["test", "val"] = "test"
    """Which photographs."""
    lpips: LpipsSection = Field(default_factory=LpipsSection)
    """Perceptual similarity."""
    batch_size: int = Field(16, ge=1)
    """Photographs at once."""
    actors: int = Field(1, ge=1)
    """Processes that hold the models."""
    gpus: float = Field(0, ge=0)
    """GPUs for each of them."""
    resamples: int = Field(1000, ge=100)
    """Bootstrap resamples behind the intervals."""
    grid_rows: int = Field(8, ge=1)
    """Photographs in the sample grid."""


def plan(config: EvaluateConfig) -> str:
    """What would run."""
    shards, output, dataset, checkpoints = _check_inputs(config)
    rows = dataset.splits[config.split]["rows"]
    return f"evaluate would score {', '.join(checkpoints)} on {rows} photographs of {shards.uri}, into {output.uri}"


def run(config: EvaluateConfig, verbose: bool) -> int:
    """Score every photograph in Ray, then make the table and the grid."""
    import pyarrow as pa

    shards, output, dataset, checkpoints = _check_inputs(config)
    lpips = _lpips_or_reason(config)
    if isinstance(lpips, str):
        say(f"evaluate: without LPIPS: {lpips}")
    with ray_session(config.ray, verbose=verbose):
        rows = _score(config, shards, dataset, with_lpips=lpips is None)
    names = ["gray", "constant color", *checkpoints]
    result = {
        "split": config.split,
        "photographs": rows.key.nunique(),
        "size": dataset.size,
        "shards": dataset.fingerprint,
        "checkpoints": {name: weights for name, (_, weights) in checkpoints.items()},
        "models": summarize_scores(rows, names, config.resamples),
        "lpips": lpips or config.lpips.backbone,
        "config": config.model_dump(mode="json"),
        "versions": versions(),
        "finished": now(),
    }
    table = render_table(result)
    output.write("per_image.parquet", parquet_bytes(pa.Table.from_pandas(rows, preserve_index=False)))
    output.write("grid.png", _grid(config, shards, dataset, checkpoints), "image/png")
    output.write("table.md", table.encode(), "text/markdown")
    output.write(RESULT, json.dumps(result, indent=2).encode(), "application/json")
    say(f"\n{table}")
    facts = [("table", f"{output.uri}/table.md, {RESULT}"), ("per image", f"{output.uri}/per_image.parquet")]
    summary("evaluated", [*facts, ("sample grid", f"{output.uri}/grid.png")])
    return DONE


Checkpoints = dict[str, tuple[str, str]]
"""Location and SHA-256 of the weights, by name in the table."""


def _check_inputs(config: EvaluateConfig) -> tuple[Storage, Storage, "DatasetInfo", Checkpoints]:
    from colorize_core.checkpoint import load_checkpoint
    from colorize_core.evaluation import BASELINES
    from colorize_core.shards import read_dataset_info

    shards, output = reach(config.storage, config.shards, config.output)
    dataset = read_dataset_info(shards.path(), shards.filesystem)
    dataset.files(config.split, shards.uri)
    if not output.exists(RESULT) and next(iter(output.list()), None) is not None:
        raise UserError(f"{output.uri}: the output is not empty and holds no evaluation; use another output")
    checkpoints = {}
    for name, location in name_checkpoints(config.checkpoint).items():
        if name in BASELINES:
            raise UserError(f"checkpoint.{name}: the name of a baseline; use another name")
        store = open_storage(location, config.storage)
        _, loaded = load_checkpoint(store.path(), store.filesystem)
        checkpoints[name] = (location, loaded.weights_sha256)
    return shards, output, dataset, checkpoints


def name_checkpoints(checkpoint: str | list[str] | dict[str, str]) -> dict[str, str]:
    """Location by the name in the table: the given one, or the run's folder, with the checkpoint's where both clash."""
    if isinstance(checkpoint, dict):
        return checkpoint
    locations = [checkpoint] if isinstance(checkpoint, str) else checkpoint
    if not locations:
        raise UserError("checkpoint: the list is empty")
    paths = [PurePosixPath(location.rstrip("/")) for location in locations]
    runs = [path.parent.name if path.name in ("best", "last") else path.name for path in paths]
    names = [run if runs.count(run) == 1 else f"{run}/{path.name}" for run, path in zip(runs, paths, strict=True)]
    if len(set(names)) < len(names):
        raise UserError("checkpoint: two checkpoints would have one name; give names (checkpoint: {NAME: DIRECTORY})")
    return dict(zip(names, locations, strict=True))


def _lpips_or_reason(config: EvaluateConfig) -> str | None:
    """None where LPIPS can be computed, else why not. Weights that were named must be usable."""
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


def _score(config: EvaluateConfig, shards: Storage, dataset: "DatasetInfo", with_lpips: bool) -> "pd.DataFrame":
    """One row per photograph and model; pixels stay in the workers."""
    import pandas as pd
    import ray

    from jobs.evaluate_stages import ScoreActor
    from jobs.progress import Progress

    progress = Progress()
    files = [shards.path(name) for name in dataset.files(config.split, shards.uri)]
    scored = (
        ray.data.read_parquet(files, filesystem=shards.filesystem)
        .select_columns(["key", "rgb"])
        .repartition(target_num_rows_per_block=config.batch_size * 4)
        .map_batches(
            ScoreActor,
            batch_size=config.batch_size,
            batch_format="numpy",
            fn_constructor_kwargs={
                "config": config,
                "constant": tuple(dataset.ab_median),
                "with_lpips": with_lpips,
                "progress": progress,
            },
            compute=ray.data.ActorPoolStrategy(size=config.actors),
            num_cpus=1,
            num_gpus=config.gpus,
        )
    )
    with ProgressLine("scored", dataset.splits[config.split]["rows"], progress.done):
        parts = list(scored.iter_batches(batch_size=None, batch_format="pandas"))
    return pd.concat(parts).sort_values(["key", "model"], ignore_index=True)


def summarize_scores(rows: "pd.DataFrame", names: Sequence[str], resamples: int) -> dict[str, dict[str, Any]]:
    """Mean and 95% bootstrap interval of every metric, by model in the order of `names`."""
    from colorize_core.metrics import HIGHER_IS_BETTER, bootstrap_interval

    metrics = [name for name in HIGHER_IS_BETTER if name in rows.columns]
    result: dict[str, dict[str, Any]] = {}
    for name in names:
        scores = rows[rows.model == name]
        result[name] = {}
        for metric in metrics:
            values = scores[metric].to_numpy()
            low, high = bootstrap_interval(values, resamples=resamples)
            result[name][metric] = {"mean": float(values.mean()), "low": low, "high": high}
    return result


def render_table(result: dict[str, Any]) -> str:
    """The results as a Markdown table, baselines first; a model that loses to gray is marked."""
    from colorize_core.evaluation import BASELINES
    from colorize_core.metrics import HIGHER_IS_BETTER

    models = result["models"]
    metrics = list(next(iter(models.values())))
    arrows = {name: "↑" if HIGHER_IS_BETTER[name] else "↓" for name in metrics}
    header = ["model", *(f"{_TITLES[name]} {arrows[name]}" for name in metrics)]
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    worse = []
    for model, scores in models.items():
        mark = ""
        if model not in BASELINES and scores["mae_ab"]["mean"] > models["gray"]["mae_ab"]["mean"]:
            mark = " ⚠"
            worse.append(model)
        cells = ["{mean:.{d}f} [{low:.{d}f}, {high:.{d}f}]".format(**scores[name], d=_DIGITS[name]) for name in metrics]
        lines.append(f"| {model}{mark} | {' | '.join(cells)} |")
    lines += ["", f"{result['photographs']} photographs of the {result['split']} split at {result['size']} px; "]
    lines[-1] += "means over images with 95% bootstrap intervals; PSNR and SSIM on uint8 RGB."
    if "lpips" in metrics:
        lines[-1] += f" LPIPS with {result['lpips']}."
    elif result["config"]["lpips"]["backbone"] != "none":
        lines[-1] += " LPIPS was not computed: its backbone's weights were not at hand."
    if worse:
        lines += ["", f"⚠ worse than leaving the photographs gray, by MAE: {', '.join(worse)}."]
    return "\n".join(lines) + "\n"


def _grid(config: EvaluateConfig, shards: Storage, dataset: "DatasetInfo", checkpoints: Checkpoints) -> bytes:
    """The first photographs of the split: gray, each model, truth."""
    import torch

    from colorize_core import evaluation
    from colorize_core.checkpoint import load_checkpoint
    from colorize_core.grid import sample_grid
    from colorize_core.shards import read_batches

    first = shards.path(dataset.files(config.split, shards.uri)[0])
    rgb = torch.from_numpy(next(read_batches([first], shards.filesystem, columns=["rgb"]))["rgb"])[: config.grid_rows]
    models = {}
    for name, (location, _) in checkpoints.items():
        store = open_storage(location, config.storage)
        model, loaded = load_checkpoint(store.path(), store.filesystem)
        models[name] = (model, loaded.working_size)
    predicted = evaluation.predictions(models, rgb, dataset.ab_median)
    L, _ = evaluation.split_rgb(rgb)
    columns = {name: evaluation.assemble(L, predicted[name]).numpy() for name in (evaluation.GRAY, *models)}
    return sample_grid({**columns, "truth": rgb.numpy()})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    return run_job("evaluate", EvaluateConfig, run, plan, arguments)


if __name__ == "__main__":
    sys.exit(main())
