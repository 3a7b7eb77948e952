"""`colorize demo`: every verb once, on photographs that scikit-image ships."""

import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.session import ray_session
from cluster.storage.stores import LocalStorage
from colorize_core.errors import UserError
from jobs.archive import job as archive
from jobs.command.config import JobConfig
from jobs.command.console import duration, say, summary
from jobs.command.runner import run_verb
from jobs.evaluate import job as evaluate
from jobs.prepare import job as prepare
from jobs.train import job as train

if TYPE_CHECKING:
    import numpy as np

_SMOKE = Path(__file__).parent.parent / "configs" / "local_smoke.yaml"
_PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
_CROPS_PER_PHOTO = 128
_CROP = 128


class DemoConfig(JobConfig):
    """Prepare shards, train two epochs with two workers, color a small archive with the weights that come with the
    project, and evaluate both, on sample photographs.
    """

    output: str = "demo"
    """Folder for everything; must be new or empty."""


CONFIG = DemoConfig


def plan(config: DemoConfig) -> str:
    """What would run."""
    return f"demo would run prepare, train, archive and evaluate below {Path(config.output).absolute()}"


def run(config: DemoConfig, verbose: bool = False) -> int:
    """Make the inputs, run the verbs in one Ray session, say where things are."""
    output = Path(config.output).absolute()
    if output.exists() and any(output.iterdir()):
        raise UserError(f"{output}: not empty; give another folder (output=DIR) or delete it")
    start = time.monotonic()
    photos, gray = output / "photos", output / "gray-archive"
    say(f"demo: sample photographs into {photos} and {gray}")
    _write(photos, _training_photos())
    _write(gray, _archive_photos())
    with ray_session(config.ray, verbose=verbose):
        _verb(1, "photographs to shards")
        dataset = [f"source={photos}", f"output={output / 'shards'}", "size=64"]
        prepare.run(prepare.PrepareConfig.load(None, [*dataset, "val_fraction=0.1", "test_fraction=0.1"]), verbose)
        _verb(2, "shards to a model, two epochs on two workers")
        shards, run_folder = f"shards={output / 'shards'}", output / "run"
        train.run(train.TrainConfig.load(str(_SMOKE), [shards, f"output={run_folder}"]), verbose)
        _verb(3, "an archive of gray photographs to color")
        images = ["max_failed_fraction=0.2", f"source={gray}", f"output={output / 'colorized'}"]
        code = archive.run(archive.ArchiveConfig.load(None, images), verbose)
        _verb(4, "both models against crops of the same pictures")
        models = f"checkpoint={{two_epochs: {run_folder / 'best'}, starter: starter}}"
        test = [shards, models, f"output={output / 'evaluation'}", "lpips.backbone=none"]
        evaluate.run(evaluate.EvaluateConfig.load(None, test), verbose)
    facts = [
        ("color images", output / "colorized" / "images"),
        ("metrics per image", output / "colorized" / "metrics"),
        ("table", output / "evaluation" / "table.md"),
        ("sample grid", output / "evaluation" / "grid.png"),
        (
            "pages",
            f"{output / 'colorized' / 'report' / 'index.html'}, {output / 'evaluation' / 'report' / 'index.html'}",
        ),
        ("model of two epochs", run_folder / "best"),
    ]
    summary(
        f"demo finished in {duration(time.monotonic() - start)}; colors by the weights that come with the project",
        facts,
    )
    return code


def _verb(number: int, what: str) -> None:
    say(f"\n--- {number} of 4: {what}")


def _write(folder: Path, files: Iterator[tuple[str, bytes]]) -> None:
    store = LocalStorage(str(folder))
    for name, data in files:
        store.write(name, data)


def _training_photos() -> Iterator[tuple[str, bytes]]:
    """Random crops of the color pictures, and what `prepare` must reject: a duplicate and a gray picture."""
    import numpy as np
    from skimage import data

    random = np.random.default_rng(0)
    for name in _PHOTOS:
        picture = getattr(data, name)()
        for number in range(_CROPS_PER_PHOTO):
            top, left = (int(random.integers(0, side - _CROP + 1)) for side in picture.shape[:2])
            crop = _jpeg(picture[top : top + _CROP, left : left + _CROP])
            yield f"{name}-{number:03d}.jpg", crop
        yield f"{name}-duplicate.jpg", crop
    yield "camera.jpg", _jpeg(data.camera())


def _archive_photos() -> Iterator[tuple[str, bytes]]:
    """Whole pictures in gray, one in color, and one broken file."""
    from skimage import color, data

    for name in _PHOTOS:
        yield f"{name}.jpg", _jpeg((color.rgb2gray(getattr(data, name)()) * 255).round().astype("uint8"))
    for name in ("camera", "moon", "brick"):
        yield f"gray-only/{name}.jpg", _jpeg(getattr(data, name)())
    yield "in-color/coffee.jpg", _jpeg(data.coffee())
    yield "broken.jpg", _jpeg(data.camera())[:5000]


def _jpeg(pixels: "np.ndarray") -> bytes:
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=92)
    return sink.getvalue()


if __name__ == "__main__":
    sys.exit(run_verb("demo"))
