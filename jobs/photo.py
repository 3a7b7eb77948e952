"""`colorize photo IN OUT`: color one photograph, without starting Ray."""

import atexit
import gc
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from cluster.config.command_line import DONE
from cluster.storage.advice import StorageError
from colorize_core.errors import UserError
from colorize_core.inference.engines import require_engine
from colorize_core.inference.options import EnsembleOptions
from colorize_core.inference.settings import ColorSettings, PhotoSettings
from colorize_core.photo.options import EncodingOptions
from colorize_core.runtime.locations import REMOTE, normalize_location
from colorize_core.starter import STARTER
from colorize_core.status import Status
from jobs.command.config import VerbConfig
from jobs.command.runner import run_verb
from jobs.inputs.sidecars import SidecarInput, fetch_sidecars
from jobs.run.checkpoints import Checkpoints, check_ensemble, describe_checkpoints
from jobs.run.credentials import SignedOutput, open_content_credentials


class PhotoConfig(VerbConfig, ColorSettings, EncodingOptions, SidecarInput, SignedOutput):
    """Color one photograph at full size and keep its lightness. Runs in this process, without Ray."""

    POSITIONAL = ("input", "output")

    input: str
    """Path of the photograph: JPEG, PNG, TIFF, WebP, AVIF, GIF, BMP, JPEG 2000 or PNM."""
    output: str
    """Path of the color image; the suffix selects the format: .jpg, .jpeg, .png, .webp, .tif or .tiff."""
    checkpoint: Checkpoints = STARTER
    """Directory or s3:// URI of the model; starter is the model that ships with the project. Several by name, such as
    {calm: starter, bold: RUN/best}, are an ensemble, whose predictions are mixed."""
    ensemble: EnsembleOptions = Field(default_factory=EnsembleOptions)
    """Mixture of the predictions of several checkpoints; their mean when empty."""
    engine: Literal["torch", "openvino"] = "torch"
    """What runs the model. OpenVINO pays for large models: it converts a model once, in 2 to 14 s."""
    upsampling: Literal["guided", "bilinear"] = "guided"
    """Method that enlarges chroma to full size: guided by the lightness, which keeps it within edges, or bilinear."""

    @model_validator(mode="after")
    def _check(self) -> "PhotoConfig":
        check_ensemble(self.checkpoint, self.ensemble)
        return self


CONFIG = PhotoConfig


def plan(config: PhotoConfig) -> str:
    """Describe what `run(config)` would do; raises UserError as `run` would."""
    _read_input(config)
    return f"photo would color {config.input} into {config.output} with {describe_checkpoints(config.checkpoint)}"


def run(config: PhotoConfig, verbose: bool = False) -> int:
    """Color the photograph; return the exit code.

    Raises:
        UserError: the input, the output or the checkpoint cannot be used.
    """
    data = _read_input(config)

    from cluster.storage.stores import LocalStorage, StorageOptions
    from colorize_core.colorizer import Colorizer
    from colorize_core.photo.formats import output_format
    from colorize_core.provenance.content_credentials import SigningError

    credentials = open_content_credentials(config.content_credentials, StorageOptions())
    atexit.register(gc.freeze)  # otherwise garbage collection at exit traverses all of torch, for half a second
    require_engine(config.engine, gpu=False)
    settings: dict[str, Any] = {"upsampling": config.upsampling}
    settings |= {"engine": config.engine, "device": "cpu" if config.engine == "openvino" else None}
    if isinstance(config.checkpoint, str):
        colorizer = Colorizer.load(config.checkpoint, **settings)
    else:
        members = {name: (location, None) for name, location in config.checkpoint.items()}
        colorizer = Colorizer.load_ensemble(members, config.ensemble, **settings)
    target = Path(config.output)
    format = output_format(target.name, "same")
    place = Path(config.input)
    sidecars = [_read_sidecar(place)] if config.xmp_sidecars else None
    result = colorizer.colorize([data], format, encoding=config, sidecars=sidecars, settings=PhotoSettings.of(config))[
        0
    ]
    if result.image is None:
        raise UserError(f"{config.input}: {result.status.replace('_', ' ')}: {result.error}")
    image = result.image
    if credentials:
        try:
            image = credentials.sign(image, format, data, result.source_format, place.name, colorizer.provenance)
        except SigningError as error:
            raise UserError(f"{config.input}: {error}") from error
    try:
        LocalStorage(str(target.parent)).write(target.name, image)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror or error})") from error
    note = f" ({result.note})" if result.note else ""
    print(f"{target}: color image, {result.width}x{result.height}{note}")
    return DONE


def _read_sidecar(photograph: Path) -> bytes | None:
    from cluster.storage.stores import LocalStorage

    [sidecar] = fetch_sidecars(LocalStorage(str(photograph.parent)), [photograph.name])
    if sidecar.status == Status.READ_ERROR:
        raise UserError(f"{photograph}: {sidecar.error}")
    return None if sidecar.status else sidecar.data


def _read_input(config: PhotoConfig) -> bytes:
    """Check both paths and read the photograph; raises UserError."""
    from colorize_core.photo.formats import output_key

    for location in (config.input, config.output):
        if normalize_location(location).startswith(REMOTE):
            raise UserError(f"{location}: photo works on files of this machine; archive works on object storage")
    source, target = Path(config.input), Path(config.output)
    if output_key(target.name, "same") != target.name:
        raise UserError(f"{target}: the name must end in .jpg, .jpeg, .png, .webp, .tif or .tiff")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"{target}: would overwrite the input; give another name")
    if not target.parent.is_dir():
        raise UserError(f"{target}: the folder {target.parent} does not exist")
    if target.is_dir():
        raise UserError(f"{target}: is a folder; give the name of a file")
    try:
        return source.read_bytes()
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from error


if __name__ == "__main__":
    sys.exit(run_verb("photo"))
