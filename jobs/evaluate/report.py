"""The report of an evaluation: pictures of some photographs by every model, the page, and the page for blind rating."""

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
from colorize_core.starter import locate_checkpoint
from jobs.evaluate.config import name_checkpoints
from jobs.run.checkpoints import read_checkpoint
from jobs.run.report_files import FOLDER, INDEX, PICTURES, forget_pictures, write_page
from jobs.train.metrics_file import read_metrics

if TYPE_CHECKING:
    import pyarrow as pa

    from colorize_core.report.evaluation.page import Variant
    from colorize_core.report.evaluation.study import Preferences, Study

RESULT, PER_IMAGE = "metrics.json", "per_image.parquet"
_PREFERENCES = f"{FOLDER}/preferences.json"
_RATING = "rating.html"
_SAMPLE = 24
_MOST_PAIRS = 150
_BATCH = 8
_THREADS = 8
TRUTH = "truth"
"""Name of the photographs themselves among the pictures."""


@dataclass(frozen=True)
class _Evaluation:
    """What was evaluated, and where it lies."""

    output: Storage
    options: StorageOptions
    result: Mapping[str, Any]
    rows: "pa.Table"

    @property
    def models(self) -> list[str]:
        return list(self.result["checkpoints"])


def write_evaluation_report(
    output: Storage,
    options: StorageOptions,
    pictures: int | None = None,
    preferences: "Preferences | None" = None,
) -> str:
    """Write OUTPUT/report from an evaluation, its shards and its checkpoints; returns the location of the page.

    Args:
        output: of the evaluation.
        options: to reach shards and checkpoints; without these the page has no pictures, and says why.
        pictures: size of the fair sample.
        preferences: of raters; those given to an earlier report when None.

    Raises:
        UserError: the preferences are of other models or photographs.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from colorize_core.report.evaluation.page import EvaluationExtras, choose, evaluation_page
    from colorize_core.report.evaluation.rating_page import rating_page

    result = json.loads(output.read(RESULT))
    rows = pq.read_table(pa.BufferReader(output.read(PER_IMAGE)))
    evaluation = _Evaluation(output, options, result, rows)
    choices = choose(rows, evaluation.models, pictures or _SAMPLE)
    study = _study(evaluation, choices[0].keys)
    preferences = _preferences(output, study, preferences)
    keys = list(dict.fromkeys(key for choice in choices for key in choice.keys))
    missing, variants = "", {}
    try:
        variants = dict(_pictures(evaluation, keys, study))
    except (UserError, ClusterError, OSError) as error:
        missing = f"There are no pictures: {' '.join(str(error).split())}."
    extras = EvaluationExtras(
        variants,
        missing,
        dict(_curves(evaluation)),
        _RATING if variants else "",
        f"{len(study.pairs)} pairs of {' and '.join(filter(None, (', '.join(study.contestants[:-1]), TRUTH)))}",
        preferences,
    )
    if variants:
        write_page(output, _RATING, rating_page(study))
    page = evaluation_page(result, rows, choices, below_gray(result), output.uri, extras)
    where = write_page(output, INDEX, page)
    shown = [name for each in variants.values() for one in each for name in (one.picture, one.map) if name]
    forget_pictures(output, map(posixpath.basename, shown))
    return where


def _study(evaluation: _Evaluation, keys: Sequence[str]) -> "Study":
    """Every model and the truth against each other, on the fair sample."""
    from colorize_core.report.evaluation.study import make_study

    result = evaluation.result
    truth = f"{result['shards']} {result['split']} {result['size']}"
    return make_study(keys, {**result["checkpoints"], TRUTH: truth}, _MOST_PAIRS)


def _preferences(output: Storage, study: "Study", given: "Preferences | None") -> "Preferences | None":
    """Those given, which are kept for later reports, or those kept."""
    from colorize_core.report.evaluation.study import preferences_from_json, preferences_to_json

    if given is not None:
        if given.study != study.name:
            raise UserError(f"{output.uri}: the ratings are of other models or photographs than this evaluation's")
        output.write(_PREFERENCES, preferences_to_json(given), "application/json")
        return given
    if not output.exists(_PREFERENCES):
        return None
    kept = preferences_from_json(output.read(_PREFERENCES))
    return kept if kept.study == study.name else None


def _pictures(evaluation: _Evaluation, keys: Sequence[str], study: "Study") -> "Iterator[tuple[str, list[Variant]]]":
    """Color the photographs again with every model, and write pictures and difference maps; names by key.

    Raises:
        UserError: shards or checkpoints are not there, or not those that were evaluated.
    """
    import torch

    from colorize_core.data.shards import read_dataset_info, read_photographs
    from colorize_core.evaluation import scoring

    result, config = evaluation.result, evaluation.result["config"]
    shards = open_storage(config["shards"], evaluation.options)
    shards.check()
    dataset = read_dataset_info(shards.path(), shards.filesystem)
    if dataset.fingerprint != result["shards"]:
        raise UserError(f"{shards.uri}: no longer the photographs that were evaluated")
    models = _load(evaluation)
    files = [shards.path(name) for name in dataset.files(result["split"], shards.uri)]
    photographs = read_photographs(files, keys, shards.filesystem)
    writer = _Writer(evaluation.output, study)
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        rgb = torch.stack([torch.from_numpy(photographs[key]) for key in batch])
        predicted = scoring.predictions(models, rgb, dataset.ab_median)
        L, _ = scoring.split_rgb(rgb)
        made = {name: scoring.assemble(L, predicted[name]) for name in (scoring.GRAY, *models)} | {TRUTH: rgb}
        with ThreadPoolExecutor(_THREADS) as pool:
            for place, key in enumerate(batch):
                pictures = {name: images[place] for name, images in made.items()}
                yield key, list(pool.map(partial(writer.write, key, pictures), pictures))


def _load(evaluation: _Evaluation) -> dict[str, tuple[Any, int]]:
    models = {}
    for name, location in name_checkpoints(evaluation.result["config"]["checkpoint"]).items():
        model, loaded = read_checkpoint(location, evaluation.options)
        if loaded.weights_sha256 != evaluation.result["checkpoints"][name]:
            raise UserError(f"{location}: no longer the weights that were evaluated")
        models[name] = (model, loaded.working_size)
    return models


class _Writer:
    """Writes the pictures of photographs under names that do not say who made them."""

    def __init__(self, output: Storage, study: "Study") -> None:
        self._store, self._study = output.child(f"{FOLDER}/{PICTURES}"), study

    def write(self, key: str, pictures: Mapping[str, Any], name: str) -> "Variant":
        """One picture of a photograph, and its difference from the truth."""
        from colorize_core.report.evaluation.difference_map import difference_map
        from colorize_core.report.evaluation.page import MAP_LIMIT, Variant
        from colorize_core.report.evaluation.study import picture_name
        from colorize_core.report.thumbnails import picture

        blind = picture_name(self._study.name, key, name)
        self._store.write(f"{blind}.png", picture(pictures[name].numpy()), "image/png")
        if name == TRUTH:
            return Variant(name, f"{PICTURES}/{blind}.png")
        difference = difference_map(pictures[name], pictures[TRUTH], MAP_LIMIT)
        self._store.write(f"{blind}-map.png", picture(difference), "image/png")
        return Variant(name, f"{PICTURES}/{blind}.png", f"{PICTURES}/{blind}-map.png")


def _curves(evaluation: _Evaluation) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """Rows of metrics.csv of each checkpoint's run, where the checkpoint lies in one."""
    for name, location in name_checkpoints(evaluation.result["config"]["checkpoint"]).items():
        run = open_storage(posixpath.dirname(locate_checkpoint(location).rstrip("/")), evaluation.options)
        try:
            epochs = read_metrics(run)
        except (OSError, ValueError, ClusterError):
            continue
        if epochs and all("epoch" in row for row in epochs):
            yield name, epochs
