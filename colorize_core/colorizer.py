"""Photographs in, photographs in color out: one checkpoint, batches of bytes, one result per input."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import torch
from pyarrow import fs
from torch import Tensor, nn

from colorize_core import metrics
from colorize_core.checkpoint.weights import load_checkpoint
from colorize_core.color.lab import chroma
from colorize_core.color.pixels import pixels_to_lab
from colorize_core.inference.compositing import paint
from colorize_core.inference.memory_budget import needed_memory, split_within_budget
from colorize_core.inference.prediction import LargestFeatures, content_shape, pad, predict_ab, shrink, working_shape
from colorize_core.inference.upsampling import ChromaRows, Upsampling
from colorize_core.photo.decode import GRAY_CHROMA, MAX_PIXELS, Photo, PhotoError, decode, open_image
from colorize_core.photo.depth import to_depth
from colorize_core.photo.encode import Encoding, encode, unsupported_features
from colorize_core.photo.high_bit_depth import has_16_bit_channels
from colorize_core.photo.provenance import Provenance, software
from colorize_core.runtime.memory import MAX_RETAINED_BYTES, show
from colorize_core.runtime.oom import is_out_of_memory, run_with_oom_split
from colorize_core.runtime.precision import Precision, autocast
from colorize_core.runtime.stage_timer import DECODE, ENCODE, INFER, PAINT, SCORE, SHRINK, StageTimer
from colorize_core.runtime.strips import row_strips

OnColor = Literal["colorize", "skip", "copy"]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_DEFAULT = Encoding()


@dataclass
class ColorizedPhoto:
    """What became of one input."""

    status: str
    """ok, skipped_color, or why there is no picture: empty, not_an_image, truncated, too_large, unsupported,
    model_error."""
    image: bytes | None = None
    """The encoded picture; None where there is none."""
    error: str = ""
    """One line for people where the status is a fault."""
    note: str = ""
    """What was simplified on the way (first of several pages, ...)."""
    width: int | None = None
    height: int | None = None
    source_format: str | None = None
    bit_depth: int | None = None
    is_color: bool | None = None
    """Whether the input had color: mean chroma of at least `photo.GRAY_CHROMA`."""
    scores: dict[str, float] = field(default_factory=dict)
    """mean_chroma, gamut_clipped (share of pixels that lost chroma to fit sRGB) and max_lightness_error (of L, in
    levels of 255, after rounding, before a lossy encoder); against an input in color also mae_ab, psnr and ssim, at
    full size."""


@dataclass
class _Work:
    """An input on its way through a batch: its pixels, and tensors at the working size."""

    index: int
    data: bytes
    photo: Photo
    L: Tensor
    """(1, 1, h, w) lightness at its content shape."""
    is_color: bool
    ab: Tensor | None = None
    """(1, 2, h, w), as predicted; None where the model ran out of memory."""


class Colorizer:
    """A model ready to color photographs at their full size, keeping their lightness."""

    def __init__(
        self,
        model: nn.Module,
        working_size: int,
        device: str | torch.device | None = None,
        *,
        upsampling: Upsampling = "guided",
        provenance: Provenance | None = None,
        precision: Precision = "auto",
        threads: int = 1,
    ) -> None:
        """Put a model to work.

        Args:
            model: of `models.build_model`.
            working_size: side in pixels, about, at which it sees photographs.
            device: CUDA where there is one when None.
            upsampling: how chroma gets from there to full size.
            provenance: what to say in the metadata of pictures; nothing when None.
            precision: of the model (`precision.autocast`).
            threads: that decode and encode at a time.
        """
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        # channels_last is what convolutions in bfloat16 are fast in, and costs nothing in float32.
        self.model = model.to(self.device).to(memory_format=torch.channels_last).eval()
        self.working_size, self.upsampling, self.provenance, self.threads = (
            working_size,
            upsampling,
            provenance,
            threads,
        )
        self._autocast = autocast(precision, self.device)
        self._at_once: dict[tuple[int, int], int] = {}
        self.stages = StageTimer()
        """What the work so far took, by stage."""

    @classmethod
    def load(
        cls,
        path_or_uri: str,
        device: str | torch.device | None = None,
        filesystem: fs.FileSystem | None = None,
        *,
        working_size: int | None = None,
        upsampling: Upsampling = "guided",
        precision: Precision = "auto",
        threads: int = 1,
    ) -> "Colorizer":
        """Load a checkpoint directory, which names the working size unless that is given.

        Raises:
            UserError: it cannot be used (`checkpoint.load_checkpoint`).
        """
        model, config = load_checkpoint(path_or_uri, filesystem)
        provenance = Provenance(software(), config.architecture["name"], config.weights_sha256)
        size = working_size or config.working_size
        return cls(
            model, size, device, upsampling=upsampling, provenance=provenance, precision=precision, threads=threads
        )

    def colorize(
        self,
        photos: Sequence[bytes],
        formats: str | Sequence[str] = "png",
        *,
        on_color: OnColor = "colorize",
        encoding: Encoding = _DEFAULT,
        max_pixels: int = MAX_PIXELS,
        max_memory: int | None = None,
    ) -> list[ColorizedPhoto]:
        """Color encoded photographs.

        Args:
            photos: file contents, of any format `photo.decode` knows.
            formats: output format, one for all or one each (`formats.WRITE_FORMATS`).
            on_color: what to do with inputs in color: colorize them from their lightness, skip, or copy the bytes.
            encoding: quality and the like.
            max_pixels: larger inputs get the status too_large before they are decoded.
            max_memory: bytes for the pixels of photographs at work at a time, as estimated before they are decoded;
                one that needs more by itself gets the status too_large. No limit when None.

        Returns:
            One result per input, in order. Faults of the data are results; nothing is raised for them.
        """
        each_format = [formats] * len(photos) if isinstance(formats, str) else list(formats)
        results: list[ColorizedPhoto | None] = [None] * len(photos)
        needs: dict[int, int] = {}
        for index, data in enumerate(photos):
            with self.stages.time(DECODE):
                need = _need(data, max_pixels, max_memory)
            if isinstance(need, ColorizedPhoto):
                results[index] = need
            else:
                needs[index] = need
        for group in split_within_budget(needs, max_memory):
            work = []
            for index, item in zip(
                group, self._map(lambda i: self._open(i, photos[i], max_pixels), group), strict=True
            ):
                if isinstance(item, ColorizedPhoto):
                    results[index] = item
                elif item.is_color and on_color != "colorize":
                    results[index] = _describe(item, "skipped_color", item.data if on_color == "copy" else None)
                else:
                    work.append(item)
            with self.stages.time(INFER, torch.get_num_threads() if self.device.type == "cpu" else 1):
                self._predict(work)
                self._wait()
            finished = self._map(lambda item: self._finish(item, each_format[item.index], encoding), work)
            for item, result in zip(work, finished, strict=True):
                results[item.index] = result
        return [result for result in results if result is not None]

    def _map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Results in order, by threads where there are some: codecs and tensors release Python's lock."""
        if self.threads == 1:
            return [function(item) for item in items]
        # One core for each thread's tensors; those of the model keep theirs.
        with ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, items))

    def _open(self, index: int, data: bytes, max_pixels: int) -> "_Work | ColorizedPhoto":
        try:
            with self.stages.time(DECODE):
                photo = decode(data, max_pixels)
        except PhotoError as fault:
            return ColorizedPhoto(fault.status, error=str(fault))
        except MemoryError:
            return ColorizedPhoto("model_error", error="out of memory while decoding one photograph")
        with self.stages.time(SHRINK):
            L, is_color = self._shrink(photo)
            self._wait()
        return _Work(index, data, photo, L, is_color)

    def _shrink(self, photo: Photo) -> tuple[Tensor, bool]:
        """Lightness (1, 1, h, w) at its content shape, and whether there is color.

        Strip by strip: first across, then, at the end, down.
        """
        height, width = photo.height, photo.width
        content = content_shape(height, width, working_shape(height, width, self.working_size))
        narrow = torch.empty((1, 1, height, content[1]), device=self.device)
        chroma_sum = 0.0
        for rows in row_strips(height, width):
            lab = pixels_to_lab(photo.pixels[rows], self.device)
            narrow[:, :, rows] = shrink(lab[:, :1], (lab.shape[2], content[1]))
            if lab.shape[1] == 3:
                chroma_sum += float(chroma(lab[:, 1:]).sum())
        return shrink(narrow, content), chroma_sum / (height * width) >= GRAY_CHROMA

    def _wait(self) -> None:
        """Until the GPU has done what it was given: else a stage's time would count as that of a later one."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _predict(self, work: list[_Work]) -> None:
        """Fill in `ab`, running photographs of equal working shape together."""
        groups: dict[tuple[int, int], list[_Work]] = defaultdict(list)
        for item in work:
            groups[working_shape(item.photo.height, item.photo.width, self.working_size)].append(item)
        for shape, members in groups.items():
            results = self._predict_all(torch.cat([pad(item.L, shape) for item in members]))
            for item, ab in zip(members, results, strict=True):
                height, width = item.L.shape[-2:]
                item.ab = None if ab is None else ab[..., :height, :width]

    def _predict_all(self, L: Tensor) -> list[Tensor | None]:
        """Chroma of each of (B, 1, h, w): of all at once on a GPU.

        On a CPU, of so few at once that their features are of a size for which a process keeps the memory, but of one
        for each thread: with resnet_unet at 256 px, 32 at once take 1.6 times as long, and 4 GB instead of 1. The first
        of a working shape is the one that tells.
        """
        if self.device.type == "cuda" or len(L) == 1:
            return run_with_oom_split(self._run, L)
        shape = (L.shape[2], L.shape[3])
        if shape not in self._at_once:
            with LargestFeatures() as largest:
                first = run_with_oom_split(self._run, L[:1])
            self._at_once[shape] = max(MAX_RETAINED_BYTES // max(largest.bytes, 1), torch.get_num_threads())
            return first + self._predict_all(L[1:])
        return [ab for batch in L.split(self._at_once[shape]) for ab in run_with_oom_split(self._run, batch)]

    def _run(self, L: Tensor) -> Tensor:
        with self._autocast():
            return predict_ab(self.model, L)

    def _finish(self, item: _Work, format: str, encoding: Encoding) -> ColorizedPhoto:
        """Give the photograph its chroma at full size, and encode it."""
        if item.ab is None:
            return _describe(item, "model_error", error=_does_not_fit(item, "the model"))
        if not item.ab.sum().isfinite():
            return _describe(item, "model_error", error="the model's colors are not numbers")
        try:
            with self.stages.time(PAINT):
                rgb, scores = self._color(item, encoding.depth(format, item.photo))
            if item.is_color:
                with self.stages.time(SCORE):
                    scores |= _against(to_depth(rgb, 8), item.photo.rgb(), self.device)
            with self.stages.time(ENCODE):
                image = encode(rgb, format, item.photo, encoding, self.provenance)
        except PhotoError as fault:
            return _describe(item, fault.status, error=str(fault))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return _describe(item, "model_error", error=_does_not_fit(item, "coloring at full size"))
        result = _describe(item, "ok", image)
        result.note = "; ".join([*item.photo.notes, *unsupported_features(format, item.photo, self.provenance)])
        result.scores = scores
        return result

    def _color(self, item: _Work, depth: int) -> tuple[np.ndarray, dict[str, float]]:
        """The picture (H, W, 3), uint8 or uint16, and those of its scores that are sums; strip by strip."""
        assert item.ab is not None
        photo = item.photo
        chroma_rows = ChromaRows(item.ab, item.L, (photo.height, photo.width), self.upsampling)
        rgb = np.empty((photo.height, photo.width, 3), np.uint16 if depth == 16 else np.uint8)
        chroma_sum = error_sum = clipped_sum = L_error = 0.0
        for rows in row_strips(photo.height, photo.width):
            lab = pixels_to_lab(photo.pixels[rows], self.device)
            painted = paint(lab[:, :1], chroma_rows(rows, lab[:, :1]), depth)
            rgb[rows] = painted.levels
            L_error = max(L_error, painted.lightness_error)
            chroma_sum += painted.chroma
            clipped_sum += painted.clipped
            if item.is_color:
                error_sum += float(metrics.mae_ab(painted.ab, lab[:, 1:])) * lab[0, 0].numel()
        pixels = photo.height * photo.width
        scores = {
            "mean_chroma": chroma_sum / pixels,
            "gamut_clipped": clipped_sum / pixels,
            "max_lightness_error": L_error * 2.55,
        }
        if item.is_color:
            scores["mae_ab"] = error_sum / pixels
        return rgb, scores


def _need(data: bytes, max_pixels: int, max_memory: int | None) -> int | ColorizedPhoto:
    """Bytes that coloring a photograph takes, or why it cannot be, or must not."""
    try:
        image = open_image(data, max_pixels)
    except PhotoError as fault:
        return ColorizedPhoto(fault.status, error=str(fault))
    need = needed_memory(image, has_16_bit_channels(data, image))
    if max_memory is None or need <= max_memory:
        return need
    size = f"{image.width}x{image.height}"
    error = f"{size} pixels need about {show(need)}, more than max_memory {show(max_memory)}; raise it to color them"
    return ColorizedPhoto("too_large", error=error, width=image.width, height=image.height, source_format=image.format)


def _against(rgb: np.ndarray, truth: np.ndarray, device: torch.device) -> dict[str, float]:
    """PSNR and SSIM of (H, W, 3) uint8 pictures."""
    # Pixels of Pillow's are read-only, which torch warns of.
    one, other = (
        torch.from_numpy(np.require(pixels, requirements="W")).permute(2, 0, 1)[None].to(device)
        for pixels in (rgb, truth)
    )
    return {"psnr": float(metrics.psnr(one, other)), "ssim": float(metrics.ssim(one, other))}


def _does_not_fit(item: _Work, what: str) -> str:
    return f"out of memory: {what} does not fit with one photograph of {item.photo.width}x{item.photo.height} pixels"


def _describe(item: _Work, status: str, image: bytes | None = None, error: str = "") -> ColorizedPhoto:
    photo = item.photo
    return ColorizedPhoto(
        status,
        image,
        error,
        note="; ".join(photo.notes),
        width=photo.width,
        height=photo.height,
        source_format=photo.format,
        bit_depth=photo.bit_depth,
        is_color=item.is_color,
    )
