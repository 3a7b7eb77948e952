"""`colorize demo`: prepare, train, archive and evaluate once, on the sample photographs of scikit-image."""

import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cluster.session import ray_session
from cluster.storage.stores import LocalStorage
from colorize_core.benchmark.sample_photos import NAMES, sample_photographs
from colorize_core.errors import UserError
from colorize_core.formatting import format_duration
from colorize_core.photo.formats import encode_image
from jobs.archive import job as archive
from jobs.command.config import JobConfig
from jobs.command.console import say, summary
from jobs.command.runner import run_verb
from jobs.evaluate import job as evaluate
from jobs.prepare import job as prepare
from jobs.train import job as train

_SMOKE = Path(__file__).parent.parent / "configs" / "local_smoke.yaml"
_TRAINING_PHOTOS = 512
_SIDE = 128
_QUALITY = 92

_log = logging.getLogger(__name__)


class DemoConfig(JobConfig):
    """Prepare shards, train for two epochs on two workers, colorize a small archive with the starter model, and
    evaluate both models, on sample photographs.
    """

    output: str = "demo"
    """Local folder for all results; must be new or empty."""


CONFIG = DemoConfig


def plan(config: DemoConfig) -> str:
    """Describe what would run."""
    return f"demo would run prepare, train, archive and evaluate in {Path(config.output).absolute()}"


def run(config: DemoConfig, verbose: bool = False) -> int:
    """Write the inputs, run the verbs in one Ray session, and print where the results are."""
    output = Path(config.output).absolute()
    if output.exists() and any(output.iterdir()):
        raise UserError(f"{output}: the folder is not empty; use another one (output=DIR) or delete it")
    start = time.monotonic()
    photos, gray = output / "photos", output / "gray-archive"
    _log.info("writing sample photographs to %s and %s", photos, gray)
    _write(photos, _training_photos())
    _write(gray, _archive_photos())
    with ray_session(config.ray, verbose=verbose):
        _announce(1, "photographs to shards")
        dataset = [f"source={photos}", f"output={output / 'shards'}", "size=64"]
        prepare.run(prepare.PrepareConfig.load(None, [*dataset, "val_fraction=0.1", "test_fraction=0.1"]), verbose)
        _announce(2, "shards to a model: two epochs on two workers")
        shards, run_folder = f"shards={output / 'shards'}", output / "run"
        train.run(train.TrainConfig.load(str(_SMOKE), [shards, f"output={run_folder}"]), verbose)
        _announce(3, "an archive of gray photographs to color images")
        images = ["max_failed_fraction=0.2", f"source={gray}", f"output={output / 'colorized'}"]
        code = archive.run(archive.ArchiveConfig.load(None, images), verbose)
        _announce(4, "evaluation of both models on crops of the same photographs")
        models = f"checkpoint={{two_epochs: {run_folder / 'best'}, starter: starter}}"
        test = [shards, models, f"output={output / 'evaluation'}", "lpips.backbone=none"]
        evaluate.run(evaluate.EvaluateConfig.load(None, test), verbose)
    pages = (output / name / "report" / "index.html" for name in ("colorized", "evaluation"))
    facts = [
        ("color images", output / "colorized" / "images"),
        ("rows", output / "colorized" / "metrics"),
        ("table", output / "evaluation" / "table.md"),
        ("sample grid", output / "evaluation" / "grid.png"),
        ("pages", ", ".join(map(str, pages))),
        ("trained model", run_folder / "best"),
    ]
    duration = format_duration(time.monotonic() - start)
    summary(f"demo finished in {duration}; the archive was colorized with the starter model", facts)
    return code


def _announce(number: int, step: str) -> None:
    say(f"\n--- {number} of 4: {step}")


def _write(folder: Path, files: Iterator[tuple[str, bytes]]) -> None:
    storage = LocalStorage(str(folder))
    for name, data in files:
        storage.write(name, data)


def _training_photos() -> Iterator[tuple[str, bytes]]:
    """Yield color photographs, and two inputs that `prepare` must reject: a duplicate and a gray photograph."""
    from skimage import data

    for number, photo in enumerate(sample_photographs(_TRAINING_PHOTOS, gray=False, width=_SIDE, height=_SIDE)):
        yield f"{number:03d}.jpg", photo
    yield "duplicate.jpg", photo
    yield "camera.jpg", encode_image(data.camera(), "JPEG")


def _archive_photos() -> Iterator[tuple[str, bytes]]:
    """Yield whole photographs in gray, one in color, and one truncated file."""
    from skimage import color, data

    for name in NAMES:
        gray = (color.rgb2gray(getattr(data, name)()) * 255).round().astype("uint8")
        yield f"{name}.jpg", encode_image(gray, "JPEG", quality=_QUALITY)
    for name in ("camera", "moon", "brick"):
        yield f"gray-only/{name}.jpg", encode_image(getattr(data, name)(), "JPEG", quality=_QUALITY)
    yield "in-color/coffee.jpg", encode_image(data.coffee(), "JPEG", quality=_QUALITY)
    yield "broken.jpg", encode_image(data.camera(), "JPEG", quality=_QUALITY)[:5000]


if __name__ == "__main__":
    sys.exit(run_verb("demo"))
