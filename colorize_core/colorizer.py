"""Colorization of encoded photographs by one or several checkpoints: batches of files in, one result per file out."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import torch
from pyarrow import fs
from torch import Tensor, nn

from colorize_core import metrics
from colorize_core.checkpoint.config import CheckpointConfig
from colorize_core.checkpoint.weights import load_checkpoint
from colorize_core.color.gray import GRAY_CHROMA
from colorize_core.color.lab import chroma
from colorize_core.color.pixels import pixels_to_lab
from colorize_core.color.tone import find_tone
from colorize_core.formatting import format_bytes
from colorize_core.inference.chroma_predictor import ChromaPredictor, Prediction
from colorize_core.inference.compositing import compose_rgb
from colorize_core.inference.engines import Engine
from colorize_core.inference.memory_budget import estimate_memory, split_within_budget
from colorize_core.inference.options import EnsembleOptions
from colorize_core.inference.prediction import content_shape, shrink, working_shape
from colorize_core.inference.settings import NetworkChoice, PhotoSettings, adjust_chroma
from colorize_core.inference.upsampling import ChromaRows, Upsampling
from colorize_core.models.base import ColorModel
from colorize_core.photo.decode import Photo, PhotoError, PhotoFile, decode_file, open_photo
from colorize_core.photo.encode import encode, output_depth
from colorize_core.photo.options import MAX_PIXELS, EncodingOptions
from colorize_core.photo.samples import to_depth
from colorize_core.provenance.record import Provenance, software
from colorize_core.runtime.oom import is_out_of_memory
from colorize_core.runtime.precision import Precision
from colorize_core.runtime.stage_timer import DECODE, ENCODE, INFER, PAINT, SCORE, SHRINK, StageTimer
from colorize_core.runtime.strips import row_slices
from colorize_core.starter import locate_checkpoint
from colorize_core.status import Status

OnColor = Literal["colorize", "skip", "copy"]
OnTruncated = Literal["fail", "colorize"]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_DEFAULT = EncodingOptions()
_NO_SETTINGS = PhotoSettings()


@dataclass
class ColorizedPhoto:
    """Result for one input."""

    status: Status
    image: bytes | None = None
    """Encoded color image, or the copied input; None if there is no output."""
    error: str = ""
    """Reason of a failure, in one line."""
    note: str = ""
    """Simplifications and losses, such as "first of 3 pages or frames"."""
    width: int | None = None
    height: int | None = None
    source_format: str | None = None
    bit_depth: int | None = None
    is_color: bool | None = None
    """True if the input has a mean chroma of at least `GRAY_CHROMA` and is not a toned gray photograph."""
    tone: str | None = None
    """Name of the tone of a toned gray photograph (`tone.Tone`)."""
    scores: dict[str, float] = field(default_factory=dict)
    """Scores at full size: mean_chroma, gamut_clipped (share of pixels whose chroma was reduced to fit sRGB) and
    max_lightness_error (of L, in 8-bit steps, after rounding and before lossy encoding). Inputs in color also have
    mae_ab, psnr and ssim against the input. An ensemble adds disagreement (`inference.ensemble.disagreement`)."""


@dataclass
class _OpenedPhoto:
    """An input whose header has been read."""

    index: int
    file: PhotoFile | None
    """None after decoding, which frees the pixels that Pillow holds."""
    memory: int
    """Estimated bytes for coloring it."""
    settings: PhotoSettings


@dataclass
class _DecodedPhoto:
    """An input between decoding and encoding."""

    index: int
    photo: Photo
    L: dict[int, Tensor]
    """(1, 1, h, w) lightness at its content shape, by working size."""
    is_color: bool
    tone: str | None
    settings: PhotoSettings

    @property
    def size(self) -> tuple[int, int]:
        """Full height and width."""
        return self.photo.height, self.photo.width

    def result(self, status: Status, image: bytes | None = None, error: str = "") -> ColorizedPhoto:
        """Build the result, with the properties of the photograph."""
        return ColorizedPhoto(
            status,
            image,
            error,
            note="; ".join(self.photo.notes),
            width=self.photo.width,
            height=self.photo.height,
            source_format=self.photo.format,
            bit_depth=self.photo.bit_depth,
            is_color=self.is_color,
            tone=self.tone,
        )

    def out_of_memory(self, step: str) -> ColorizedPhoto:
        """Build the result for a photograph for which a step runs out of memory even alone."""
        size = f"{self.photo.width}x{self.photo.height}"
        error = f"out of memory: {step} does not fit in memory for one photograph of {size} pixels"
        return self.result(Status.MODEL_ERROR, error=error)


class Colorizer:
    """One or several models that color photographs at full size and keep their lightness."""

    def __init__(
        self,
        model: nn.Module | Mapping[str, tuple[nn.Module, int]],
        working_size: int | None = None,
        device: str | torch.device | None = None,
        *,
        ensemble: EnsembleOptions | None = None,
        upsampling: Upsampling = "guided",
        provenance: Provenance | None = None,
        precision: Precision = "auto",
        engine: Engine = "torch",
        threads: int = 1,
    ) -> None:
        """Prepare models for inference.

        Args:
            model: a network as of `models.build_model`; or several by name, each with its working size.
            working_size: approximate side in pixels at which a single network runs.
            device: device of the networks; None selects CUDA if available, otherwise the CPU.
            ensemble: how the predictions of several networks are mixed; their mean if None.
            upsampling: method that enlarges chroma from the working size to full size.
            provenance: recorded in the metadata of color images; None records nothing.
            precision: precision of the networks (`precision.autocast`).
            engine: what runs the networks (`openvino_network.open_network`).
            threads: number of threads that decode and encode.

        Raises:
            UserError: the options of the ensemble do not fit the networks, or the engine not the machine.
        """
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if not isinstance(model, Mapping):
            assert working_size is not None
            model = {"": (model, working_size)}
        self._predictor = ChromaPredictor(model, self.device, precision, ensemble, engine, threads)
        self.working_size = self._predictor.working_sizes[0]
        """Working size; the largest one of several networks."""
        self.upsampling, self.provenance, self.threads = upsampling, provenance, threads
        self.stages = StageTimer()
        """Seconds spent so far, by stage."""

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
        engine: Engine = "torch",
        threads: int = 1,
    ) -> "Colorizer":
        """Load a checkpoint directory, or `starter`; `working_size` overrides that of the checkpoint.

        Raises:
            UserError: the checkpoint cannot be used (`checkpoint.load_checkpoint`).
        """
        model, config = _load(path_or_uri, filesystem)
        provenance = Provenance(software(), config.architecture["name"], config.weights_sha256)
        size = working_size or config.working_size
        return cls(
            model,
            size,
            device,
            upsampling=upsampling,
            provenance=provenance,
            precision=precision,
            engine=engine,
            threads=threads,
        )

    @classmethod
    def load_ensemble(
        cls,
        checkpoints: Mapping[str, tuple[str, fs.FileSystem | None]],
        ensemble: EnsembleOptions,
        device: str | torch.device | None = None,
        *,
        working_size: int | None = None,
        upsampling: Upsampling = "guided",
        precision: Precision = "auto",
        engine: Engine = "torch",
        threads: int = 1,
    ) -> "Colorizer":
        """Load several checkpoints whose predictions are mixed.

        Args:
            checkpoints: location and file system of each (as of `load`), by name.
            ensemble: how the predictions are mixed.
            device: device of the networks.
            working_size: working size of all networks; those of the checkpoints if None.
            upsampling: as of the constructor.
            precision: as of the constructor.
            engine: as of the constructor.
            threads: as of the constructor.

        Raises:
            UserError: a checkpoint cannot be used, or the options of the ensemble do not fit the checkpoints.
        """
        ensemble.require_members(checkpoints)
        loaded = {name: _load(*checkpoint) for name, checkpoint in checkpoints.items()}
        configs = [config for _, config in loaded.values()]
        provenance = Provenance(
            software(),
            " + ".join(config.architecture["name"] for config in configs),
            " + ".join(config.weights_sha256 for config in configs),
        )
        models = {name: (model, working_size or config.working_size) for name, (model, config) in loaded.items()}
        return cls(
            models,
            device=device,
            ensemble=ensemble,
            upsampling=upsampling,
            provenance=provenance,
            precision=precision,
            engine=engine,
            threads=threads,
        )

    def colorize(
        self,
        photos: Sequence[bytes],
        formats: str | Sequence[str] = "png",
        *,
        on_color: OnColor = "colorize",
        on_truncated: OnTruncated = "fail",
        encoding: EncodingOptions = _DEFAULT,
        max_pixels: int = MAX_PIXELS,
        max_memory: int | None = None,
        sidecars: Sequence[bytes | None] | None = None,
        settings: PhotoSettings | Sequence[PhotoSettings] = _NO_SETTINGS,
    ) -> list[ColorizedPhoto]:
        """Color encoded photographs.

        Args:
            photos: contents of files, in any format that `photo.decode` reads.
            formats: output format, one for all or one for each (`formats.WRITE_FORMATS`).
            on_color: treatment of inputs in color: colorize them from their lightness, skip them, or copy the bytes.
            on_truncated: treatment of JPEG files that end early: a failure, or what can be decoded, with a note.
            encoding: quality, compression, subsampling and bit depth of the outputs.
            max_pixels: maximum width x height; larger inputs get the status TOO_LARGE before they are decoded.
            max_memory: maximum bytes for the pixels of photographs processed at the same time, as estimated from the
                headers. A photograph that needs more even alone gets the status TOO_LARGE. None: no limit.
            sidecars: XMP packet from a file beside each photograph, or None for those that have none.
            settings: settings of the colors, for all photographs or for each.

        Returns:
            One result per input, in order. Invalid data gives a result with a failure status, never an exception.

        Raises:
            UserError: settings that the networks do not have (`ChromaPredictor.choose`).
        """
        each_format = [formats] * len(photos) if isinstance(formats, str) else list(formats)
        results: dict[int, ColorizedPhoto] = {}
        each_setting = [settings] * len(photos) if isinstance(settings, PhotoSettings) else list(settings)
        for choice in set(map(NetworkChoice.of, each_setting)):
            self._predictor.choose(choice)
        opened = self._open(photos, sidecars or [None] * len(photos), each_setting, max_pixels, max_memory, results)
        for group in split_within_budget(opened, lambda item: item.memory, max_memory):
            work = []
            decode = self._map(lambda item: self._decode(item, on_truncated), group)
            for item, decoded in zip(group, decode, strict=True):
                if isinstance(decoded, ColorizedPhoto):
                    results[item.index] = decoded
                elif decoded.is_color and on_color != "colorize":
                    copy = photos[item.index] if on_color == "copy" else None
                    results[item.index] = decoded.result(Status.SKIPPED_COLOR, copy)
                else:
                    work.append(decoded)
            finished = self._paint(work, [each_format[item.index] for item in work], encoding)
            results |= {item.index: result for item, result in zip(work, finished, strict=True)}
        return [results[index] for index in range(len(photos))]

    def _paint(
        self, work: Sequence[_DecodedPhoto], formats: Sequence[str], encoding: EncodingOptions
    ) -> list[ColorizedPhoto]:
        """Predict the chroma of decoded photographs, and compose and encode the color images."""

        def paint_one(pair: tuple[_DecodedPhoto, str]) -> ColorizedPhoto:
            item, format = pair
            [prediction] = self._predict([item], 1)
            return self._finish(item, prediction, format, encoding)

        if self._predictor.concurrent:
            return self._map(paint_one, zip(work, formats, strict=True))
        predictions = self._predict(work, torch.get_num_threads() if self.device.type == "cpu" else 1)
        return self._map(lambda triple: self._finish(*triple, encoding), zip(work, predictions, formats, strict=True))

    def _predict(self, items: Sequence[_DecodedPhoto], threads: int) -> list[Prediction | None]:
        """Predict the chroma of photographs; those that need the same networks share batches."""
        by_choice: dict[NetworkChoice, list[int]] = defaultdict(list)
        for index, item in enumerate(items):
            by_choice[NetworkChoice.of(item.settings)].append(index)
        predictions: list[Prediction | None] = [None] * len(items)
        with self.stages.time(INFER, threads):
            for choice, indices in by_choice.items():
                own = [items[index] for index in indices]
                predictor = self._predictor.choose(choice)
                predicted = predictor.predict([item.L for item in own], [item.size for item in own])
                for index, prediction in zip(indices, predicted, strict=True):
                    predictions[index] = prediction
            self._synchronize()
        return predictions

    def _map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Apply a function to items, in `threads` threads: codecs and tensor operations release Python's lock."""
        if self.threads == 1:
            return [function(item) for item in items]
        # One core for the tensor operations of each thread; the model, in this thread, keeps all cores.
        with ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, items))

    def _open(
        self,
        photos: Sequence[bytes],
        sidecars: Sequence[bytes | None],
        settings: Sequence[PhotoSettings],
        max_pixels: int,
        max_memory: int | None,
        results: dict[int, ColorizedPhoto],
    ) -> Iterator[_OpenedPhoto]:
        """Read headers, one photograph at a time; failures are stored in `results`."""
        for index, (data, sidecar, own) in enumerate(zip(photos, sidecars, settings, strict=True)):
            if own.skip:
                results[index] = ColorizedPhoto(Status.SKIPPED)
                continue
            with self.stages.time(DECODE):
                try:
                    file = open_photo(data, max_pixels, sidecar)
                except PhotoError as error:
                    results[index] = ColorizedPhoto(error.status, error=str(error))
                    continue
            memory = estimate_memory(file.header)
            if max_memory is None or memory <= max_memory:
                yield _OpenedPhoto(index, file, memory, own)
                continue
            width, height = file.header.width, file.header.height
            reason = f"{width}x{height} pixels need about {format_bytes(memory)}, more than max_memory "
            reason += f"{format_bytes(max_memory)}; raise it to color them"
            results[index] = ColorizedPhoto(
                Status.TOO_LARGE, error=reason, width=width, height=height, source_format=file.header.format
            )

    def _decode(self, item: _OpenedPhoto, on_truncated: OnTruncated) -> _DecodedPhoto | ColorizedPhoto:
        file, item.file = item.file, None
        assert file is not None
        try:
            with self.stages.time(DECODE):
                photo = decode_file(file, allow_incomplete=on_truncated == "colorize")
        except PhotoError as error:
            return ColorizedPhoto(error.status, error=str(error))
        except MemoryError:
            return ColorizedPhoto(Status.MODEL_ERROR, error="out of memory while decoding one photograph")
        with self.stages.time(SHRINK):
            L, is_color = self._shrink(photo, self._predictor.choose(NetworkChoice.of(item.settings)).working_sizes)
            self._synchronize()
            tone = find_tone(photo.rgb()) if is_color else None
        is_color = is_color and (tone is None or item.settings.on_tone == "keep")
        return _DecodedPhoto(item.index, photo, L, is_color, tone.name if tone else None, item.settings)

    def _shrink(self, photo: Photo, working_sizes: Sequence[int]) -> tuple[dict[int, Tensor], bool]:
        """Return lightness (1, 1, h, w) at each content shape, and True if the photograph is in color.

        Strips are shrunk horizontally first; the result is shrunk vertically at the end.
        """
        size = height, width = photo.height, photo.width
        shapes = {
            working_size: content_shape(*size, working_shape(*size, working_size)) for working_size in working_sizes
        }
        narrow = {key: torch.empty((1, 1, height, shape[1]), device=self.device) for key, shape in shapes.items()}
        chroma_sum = 0.0
        for rows in row_slices(height, width):
            lab = pixels_to_lab(photo.pixels[rows], self.device)
            for key, shape in shapes.items():
                narrow[key][:, :, rows] = shrink(lab[:, :1], (lab.shape[2], shape[1]))
            if lab.shape[1] == 3:
                chroma_sum += float(chroma(lab[:, 1:]).sum())
        lightness = {key: shrink(narrow[key], shape) for key, shape in shapes.items()}
        return lightness, chroma_sum / (height * width) >= GRAY_CHROMA

    def _synchronize(self) -> None:
        """Wait for the GPU, so that its work counts for the stage that queued it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _finish(
        self, item: _DecodedPhoto, prediction: Prediction | None, format: str, encoding: EncodingOptions
    ) -> ColorizedPhoto:
        """Compose the color image at full size from the predicted chroma, and encode it."""
        if prediction is None:
            return item.out_of_memory("the model")
        ab = prediction.ab
        if not ab.sum().isfinite():
            return item.result(Status.MODEL_ERROR, error="the model predicted colors that are not finite numbers")
        try:
            with self.stages.time(PAINT):
                ab = adjust_chroma(ab, item.settings)
                rgb, scores = self._compose(item, ab, output_depth(encoding, format, item.photo))
            if prediction.disagreement is not None:
                scores["disagreement"] = prediction.disagreement
            if item.is_color:
                with self.stages.time(SCORE):
                    scores |= _reference_scores(to_depth(rgb, 8), item.photo.rgb(), self.device)
            with self.stages.time(ENCODE):
                image, losses = encode(rgb, format, item.photo, encoding, self.provenance)
        except PhotoError as error:
            return item.result(error.status, error=str(error))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return item.out_of_memory("coloring at full size")
        result = item.result(Status.OK, image)
        result.note = "; ".join([*item.photo.notes, *losses])
        result.scores = scores
        return result

    def _compose(self, item: _DecodedPhoto, ab: Tensor, depth: int) -> tuple[np.ndarray, dict[str, float]]:
        """Return the color image (H, W, 3), uint8 or uint16, and the scores that are sums, computed strip by strip."""
        photo = item.photo
        chroma_rows = ChromaRows(ab, item.L[max(item.L)], item.size, self.upsampling)
        rgb = np.empty((*item.size, 3), np.uint16 if depth == 16 else np.uint8)
        chroma_sum = error_sum = clipped_sum = L_error = 0.0
        for rows in row_slices(photo.height, photo.width):
            lab = pixels_to_lab(photo.pixels[rows], self.device)
            composed = compose_rgb(lab[:, :1], chroma_rows(rows, lab[:, :1]), depth)
            rgb[rows] = composed.pixels
            L_error = max(L_error, composed.lightness_error)
            chroma_sum += composed.chroma
            clipped_sum += composed.clipped
            if item.is_color:
                error_sum += float(metrics.mae_ab(composed.ab, lab[:, 1:])) * lab[0, 0].numel()
        count = photo.height * photo.width
        scores = {
            "mean_chroma": chroma_sum / count,
            "gamut_clipped": clipped_sum / count,
            "max_lightness_error": L_error * 2.55,
        }
        if item.is_color:
            scores["mae_ab"] = error_sum / count
        return rgb, scores


def _load(path_or_uri: str, filesystem: fs.FileSystem | None) -> tuple[ColorModel, CheckpointConfig]:
    """Load a checkpoint directory, or `starter` where no file system is given."""
    return load_checkpoint(path_or_uri if filesystem else locate_checkpoint(path_or_uri), filesystem)


def _reference_scores(rgb: np.ndarray, reference: np.ndarray, device: torch.device) -> dict[str, float]:
    """Compute PSNR and SSIM of two images (H, W, 3) uint8."""
    # Arrays from Pillow are read-only, which torch warns about; "W" copies them if necessary.
    image, truth = (
        torch.from_numpy(np.require(pixels, requirements="W")).permute(2, 0, 1)[None].to(device)
        for pixels in (rgb, reference)
    )
    return {"psnr": float(metrics.psnr(image, truth)), "ssim": float(metrics.ssim(image, truth))}
