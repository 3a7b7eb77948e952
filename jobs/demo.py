"""`colorize demo`: prepare, train, archive and evaluate once, on the sample photographs of scikit-image."""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from cluster.session import ray_session
from cluster.storage.stores import LocalStorage
from colorize_core.benchmark.sample_photos import sample_photographs, whole_photographs
from colorize_core.errors import UserError
from colorize_core.evaluation.sample_grid import sample_grid
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
_CELL = 400

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
    photos, gray, whole = output / "photos", output / "gray-archive", output / "whole-photos"
    _log.info("writing sample photographs to %s, %s and %s", photos, gray, whole)
    originals = {f"{name}.jpg": photo for name, photo in whole_photographs().items()}
    _write(photos, _training_photos())
    _write(gray, _archive_photos(originals))
    _write(whole / "test", ((key, encode_image(photo, "JPEG", quality=_QUALITY)) for key, photo in originals.items()))
    with ray_session(config.ray, verbose=verbose):
        _announce(1, "photographs to shards")
        dataset = [f"source={photos}", f"output={output / 'shards'}", "size=64", "val_fraction=0.2"]
        prepare.run(prepare.PrepareConfig.load(None, dataset), verbose)
        _announce(2, "shards to a model: two epochs on two workers")
        shards, run_folder = f"shards={output / 'shards'}", output / "run"
        train.run(train.TrainConfig.load(str(_SMOKE), [shards, f"output={run_folder}"]), verbose)
        _announce(3, "an archive of gray photographs to color images")
        images = ["max_failed_fraction=0.2", f"source={gray}", f"output={output / 'colorized'}"]
        code = archive.run(archive.ArchiveConfig.load(None, images), verbose)
        _announce(4, "evaluation of both models on whole photographs")
        test_shards = f"{output / 'test-shards'}"
        test_set = [f"source={whole}", f"output={test_shards}", "size=256", "split=folders"]
        prepare.run(prepare.PrepareConfig.load(None, test_set), verbose)
        models = f"checkpoint={{two_epochs: {run_folder / 'best'}, starter: starter}}"
        test = [f"shards={test_shards}", models, f"output={output / 'evaluation'}", "lpips.backbone=none"]
        evaluate.run(evaluate.EvaluateConfig.load(None, test), verbose)
    before_after = output / "before-after.png"
    before_after.write_bytes(_before_after(gray, output / "colorized" / "images", originals))
    pages = (output / name / "report" / "index.html" for name in ("colorized", "evaluation"))
    facts = [
        ("color images", output / "colorized" / "images"),
        ("rows", output / "colorized" / "metrics"),
        ("table", output / "evaluation" / "table.md"),
        ("pages", ", ".join(map(str, pages))),
        ("trained model", run_folder / "best"),
        ("open first", f"{before_after} (before, after, original)"),
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


def _archive_photos(originals: Mapping[str, np.ndarray]) -> Iterator[tuple[str, bytes]]:
    """Yield whole photographs in gray, one in color, and one truncated file."""
    from skimage import color, data

    for key, photo in originals.items():
        gray = (color.rgb2gray(photo) * 255).round().astype("uint8")
        yield key, encode_image(gray, "JPEG", quality=_QUALITY)
    for name in ("camera", "moon", "brick"):
        yield f"gray-only/{name}.jpg", encode_image(getattr(data, name)(), "JPEG", quality=_QUALITY)
    yield "in-color/coffee.jpg", encode_image(originals["coffee.jpg"], "JPEG", quality=_QUALITY)
    yield "broken.jpg", encode_image(data.camera(), "JPEG", quality=_QUALITY)[:5000]


def _before_after(gray: Path, colorized: Path, originals: Mapping[str, np.ndarray]) -> bytes:
    """Draw whole photographs as they went into the archive run, as they came out, and in their true colors."""
    columns = {
        "before": [_pixels(gray / key) for key in originals],
        "after (starter weights)": [_pixels(colorized / key) for key in originals],
        "original": [photo.transpose(2, 0, 1) for photo in originals.values()],
    }
    return sample_grid(columns, cell=_CELL)


def _pixels(path: Path) -> np.ndarray:
    """Return a file's sRGB pixels, (3, H, W)."""
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)


if __name__ == "__main__":
    sys.exit(run_verb("demo"))
