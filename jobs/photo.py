"""`colorize photo IN OUT --checkpoint DIR`: one picture, without starting Ray."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from colorize_core.errors import UserError
from jobs.cli import DONE, USAGE, complain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="colorize photo", description="Colour one photograph at its full size, keeping its lightness."
    )
    parser.add_argument("input", metavar="IN", help="the photograph: jpg, png, tiff, webp, gif, ...")
    parser.add_argument("output", metavar="OUT", help="the colour picture; its ending (.jpg .png .webp .tiff) decides")
    parser.add_argument("--checkpoint", required=True, help="directory or s3:// URI of the model, such as RUN/best")
    parser.add_argument("--quality", type=int, default=95, help="of JPEG and WebP, 1 to 100 (default 95)")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    try:
        return _colorize(options)
    except UserError as error:
        return complain(str(error))


def _colorize(options: argparse.Namespace) -> int:
    from colorize_core.photo import output_format, output_key

    source, target = Path(options.input), Path(options.output)
    if output_key(target.name, "same") != target.name:
        raise UserError(f"{target}: the name must end in .jpg, .jpeg, .png, .webp, .tif or .tiff")
    if not 1 <= options.quality <= 100:
        raise UserError(f"--quality {options.quality}: must be from 1 to 100")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"{target}: would overwrite the input; give another name")
    if not target.parent.is_dir():
        raise UserError(f"{target}: the folder {target.parent} does not exist")
    try:
        data = source.read_bytes()
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from error

    from cluster.storage import LocalStorage
    from colorize_core.colorizer import Colorizer

    colorizer = Colorizer.load(options.checkpoint)
    result = colorizer.colorize([data], output_format(target.name, "same"), quality=options.quality)[0]
    if result.image is None:
        raise UserError(f"{source}: {result.status.replace('_', ' ')}: {result.error}")
    LocalStorage(str(target.parent)).write(target.name, result.image)
    note = f" ({result.note})" if result.note else ""
    print(f"{target}: {result.width}x{result.height} in colour{note}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
