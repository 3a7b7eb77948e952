"""`colorize photo IN OUT`: one picture, without starting Ray."""

import argparse
import atexit
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.config.command_line import DONE, USAGE, complain
from colorize_core.errors import UserError
from colorize_core.starter import STARTER, locate_checkpoint


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="colorize photo", description="Color one photograph at its full size, keeping its lightness."
    )
    parser.add_argument("input", metavar="IN", help="the photograph: jpg, png, tiff, webp, gif, ...")
    parser.add_argument("output", metavar="OUT", help="the color picture; its ending (.jpg .png .webp .tiff) decides")
    parser.add_argument("--checkpoint", default=STARTER, help="directory or s3:// URI of the model (default starter)")
    parser.add_argument("--quality", type=int, default=95, help="of JPEG and WebP, 1 to 100 (default 95)")
    parser.add_argument(
        "--subsampling", choices=("4:4:4", "4:2:0"), default="4:2:0", help="of JPEG's chroma (default 4:2:0)"
    )
    parser.add_argument(
        "--bit-depth", choices=("8", "same"), default="8", help="same keeps 16 bits in PNG and TIFF (default 8)"
    )
    parser.add_argument(
        "--upsampling", choices=("guided", "bilinear"), default="guided", help="of the chroma (default guided)"
    )
    parser.add_argument(
        "--working-size", type=int, help="side in pixels at which the model sees the photograph (the checkpoint's)"
    )
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    try:
        return _colorize(options)
    except UserError as error:
        return complain(str(error))


def _colorize(options: argparse.Namespace) -> int:
    from colorize_core.photo.formats import output_format, output_key

    source, target = Path(options.input), Path(options.output)
    if output_key(target.name, "same") != target.name:
        raise UserError(f"{target}: the name must end in .jpg, .jpeg, .png, .webp, .tif or .tiff")
    if not 1 <= options.quality <= 100:
        raise UserError(f"--quality {options.quality}: must be from 1 to 100")
    if options.working_size is not None and options.working_size < 32:
        raise UserError(f"--working-size {options.working_size}: must be at least 32")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"{target}: would overwrite the input; give another name")
    if not target.parent.is_dir():
        raise UserError(f"{target}: the folder {target.parent} does not exist")
    try:
        data = source.read_bytes()
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from error

    from cluster.storage.stores import LocalStorage
    from colorize_core.colorizer import Colorizer
    from colorize_core.photo.encode import Encoding

    atexit.register(gc.freeze)  # or the last collections of the process walk through all of torch: half a second
    colorizer = Colorizer.load(
        locate_checkpoint(options.checkpoint), working_size=options.working_size, upsampling=options.upsampling
    )
    encoding = Encoding(
        quality=options.quality,
        subsampling=options.subsampling,
        bit_depth="same" if options.bit_depth == "same" else 8,
    )
    result = colorizer.colorize([data], output_format(target.name, "same"), encoding=encoding)[0]
    if result.image is None:
        raise UserError(f"{source}: {result.status.replace('_', ' ')}: {result.error}")
    LocalStorage(str(target.parent)).write(target.name, result.image)
    note = f" ({result.note})" if result.note else ""
    print(f"{target}: {result.width}x{result.height} in color{note}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
