"""Report of an evaluation: images of some photographs by every model, the page, and the page for blind rating."""

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cluster.errors import ClusterError
from cluster.storage.stores import Storage, StorageOptions, open_storage
from colorize_core.errors import UserError
from colorize_core.evaluation.table import below_gray
from colorize_core.formatting import counted
from colorize_core.inference.options import EnsembleOptions
from colorize_core.starter import locate_checkpoint
from jobs.evaluate.config import name_checkpoints
from jobs.evaluate.dataset import SplitOfDataset
from jobs.evaluate.models import TRUTH, color_images, load_models
from jobs.run.parquet import read_parquet
from jobs.run.report_files import FOLDER, INDEX, PICTURES, delete_stale_images, write_page
from jobs.train.outputs.metrics_file import read_metrics

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from colorize_core.report.evaluation.page import Variant
    from colorize_core.report.evaluation.study import Preferences, Study

RESULT, PER_IMAGE = "metrics.json", "per_image.parquet"
_PREFERENCES = f"{FOLDER}/preferences.json"
_RATING = "rating.html"
_SAMPLE = 24
_MAX_PAIRS = 150
_BATCH = 8
_THREADS = 8


@dataclass(frozen=True)
class _Evaluation:
    """Output and results of an evaluation."""

    output: Storage
    options: StorageOptions
    result: Mapping[str, Any]
    rows: "pa.Table"

    @property
    def models(self) -> list[str]:
        return list(self.result["checkpoints"])

    @property
    def config(self) -> Mapping[str, Any]:
        return self.result["config"]


def write_evaluation_report(
    output: Storage,
    options: StorageOptions,
    pictures: int | None = None,
    preferences: "Preferences | None" = None,
) -> str:
    """Write OUTPUT/report from an evaluation, its shards and its checkpoints; return the location of the page.

    Args:
        output: output of the evaluation.
        options: access to shards and checkpoints; if they cannot be read, the page has no images and says why.
        pictures: number of photographs in the random sample.
        preferences: preferences of raters; None keeps those of an earlier report.

    Raises:
        UserError: the preferences are for other models or photographs.
    """
    from colorize_core.report.evaluation.page import EvaluationExtras, choose_photographs, evaluation_page
    from colorize_core.report.evaluation.rating_page import rating_page

    result = json.loads(output.read(RESULT))
    rows = read_parquet(output, PER_IMAGE)
    evaluation = _Evaluation(output, options, result, rows)
    groups = choose_photographs(rows, evaluation.models, pictures or _SAMPLE)
    study = _make_study(evaluation, groups[0].keys)
    preferences = _keep_preferences(output, study, preferences)
    keys = list(dict.fromkeys(key for group in groups for key in group.keys))
    missing, variants = "", {}
    try:
        variants = dict(_write_images(evaluation, keys, study))
    except (UserError, ClusterError, OSError) as error:
        missing = f"There are no images: {' '.join(str(error).split())}."
    extras = EvaluationExtras(
        variants,
        missing,
        dict(_training_curves(evaluation)),
        _RATING if variants else "",
        _describe(study),
        preferences,
    )
    if variants:
        write_page(output, _RATING, rating_page(study))
    page = evaluation_page(result, rows, groups, below_gray(result), output.uri, extras)
    location = write_page(output, INDEX, page)
    shown = [name for each in variants.values() for one in each for name in (one.image, one.map) if name]
    delete_stale_images(output, map(posixpath.basename, shown))
    return location


def _describe(study: "Study") -> str:
    """Return the pairs of a study as text: 150 pairs of first, second and truth."""
    contestants = " and ".join(filter(None, (", ".join(study.contestants[:-1]), TRUTH)))
    return f"{counted(len(study.pairs), 'pair')} of {contestants}"


def _make_study(evaluation: _Evaluation, keys: Sequence[str]) -> "Study":
    """Pair every model and the truth with each other, on the photographs `keys`."""
    from colorize_core.report.evaluation.study import make_study

    result = evaluation.result
    truth = f"{result['shards']} {result['split']} {result['size']}"
    return make_study(keys, {**result["checkpoints"], TRUTH: truth}, _MAX_PAIRS)


def _keep_preferences(output: Storage, study: "Study", given: "Preferences | None") -> "Preferences | None":
    """Store the given preferences for later reports, or return those that an earlier report stored for this study."""
    from colorize_core.report.evaluation.study import preferences_from_json, preferences_to_json

    if given is not None:
        if given.study != study.name:
            raise UserError(f"{output.uri}: the ratings are for other models or photographs than this evaluation")
        output.write(_PREFERENCES, preferences_to_json(given), "application/json")
        return given
    if not output.exists(_PREFERENCES):
        return None
    kept = preferences_from_json(output.read(_PREFERENCES))
    return kept if kept.study == study.name else None


def _write_images(
    evaluation: _Evaluation, keys: Sequence[str], study: "Study"
) -> "Iterator[tuple[str, list[Variant]]]":
    """Colorize photographs again with every model, and write images and difference maps; yields them by key.

    Raises:
        UserError: shards or checkpoints are missing, or are not those that were evaluated.
    """
    import torch

    from colorize_core.data.shards import read_photographs

    result = evaluation.result
    shards = open_storage(evaluation.config["shards"], evaluation.options)
    shards.check()
    dataset = SplitOfDataset.open(shards, result["split"])
    if dataset.info.fingerprint != result["shards"]:
        raise UserError(f"{shards.uri}: no longer the photographs that were evaluated")
    models = load_models(evaluation.config["checkpoint"], evaluation.options)
    for name, (_, loaded) in models.items():
        if loaded.weights_sha256 != result["checkpoints"][name]:
            raise UserError(f"checkpoint.{name}: no longer the weights that were evaluated")
    mixture = evaluation.config.get("ensemble")
    ensemble = EnsembleOptions.model_validate(mixture) if mixture is not None else None
    photographs = read_photographs(dataset.files, keys, shards.filesystem)
    writer = _ImageWriter(evaluation.output, study)
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        rgb = torch.stack([torch.from_numpy(photographs[key]) for key in batch])
        by_model = color_images(models, rgb, dataset.info.ab_median, ensemble)
        with ThreadPoolExecutor(_THREADS) as pool:
            for place, key in enumerate(batch):
                images = {name: each[place] for name, each in by_model.items()}
                yield key, list(pool.map(partial(writer.write, key, images), images))


class _ImageWriter:
    """Writes images under names that do not reveal the model."""

    def __init__(self, output: Storage, study: "Study") -> None:
        self._folder, self._study = output.child(f"{FOLDER}/{PICTURES}"), study

    def write(self, key: str, images: Mapping[str, "Tensor"], name: str) -> "Variant":
        """Write the image of one model for a photograph, and its difference from the truth."""
        from colorize_core.report.evaluation.difference_map import difference_map
        from colorize_core.report.evaluation.page import MAP_LIMIT, Variant
        from colorize_core.report.evaluation.study import anonymous_name
        from colorize_core.report.thumbnails import encode_png

        blind = anonymous_name(self._study.name, key, name)
        self._folder.write(f"{blind}.png", encode_png(images[name].numpy()), "image/png")
        if name == TRUTH:
            return Variant(name, f"{PICTURES}/{blind}.png")
        difference = difference_map(images[name], images[TRUTH], MAP_LIMIT)
        self._folder.write(f"{blind}-map.png", encode_png(difference), "image/png")
        return Variant(name, f"{PICTURES}/{blind}.png", f"{PICTURES}/{blind}-map.png")


def _training_curves(evaluation: _Evaluation) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """Yield the rows of metrics.csv by model, for checkpoints in the folder of a training run."""
    for name, location in name_checkpoints(evaluation.config["checkpoint"]).items():
        run = open_storage(posixpath.dirname(locate_checkpoint(location).rstrip("/")), evaluation.options)
        try:
            epochs = read_metrics(run)
        except (OSError, ValueError, ClusterError):
            continue
        if epochs and all("epoch" in row for row in epochs):
            yield name, epochs
