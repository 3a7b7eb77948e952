"""Photographs in, photographs in colour out: one checkpoint, batches of bytes, one result per input."""

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from pyarrow import fs
from torch import Tensor, nn

from colorize_core import metrics
from colorize_core.checkpoint import load_checkpoint
from colorize_core.color import GRAY_CHROMA, chroma, fit_gamut, lab_to_rgb, rgb_to_lab, to_uint8
from colorize_core.photo import MAX_PIXELS, Photo, PhotoError, decode, encode, left_out
from colorize_core.prediction import enlarge, predict_ab, shrink, working_shape
from colorize_core.strips import row_strips

OnColor = Literal["colorize", "skip", "copy"]


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
    """Whether the input had colour: mean chroma of at least `color.GRAY_CHROMA`."""
    scores: dict[str, float] = field(default_factory=dict)
    """mean_chroma and gamut_clipped (share of pixels that lost chroma to fit sRGB); against an input in colour also
    mae_ab, psnr and ssim, at full size."""


@dataclass
class _Work:
    """An input on its way through a batch: encoded-size pixels and working-size tensors, nothing larger."""

    photo: Photo
    L: Tensor
    """(1, 1, h, w) lightness at the working shape."""
    is_color: bool
    ab: Tensor | None = None
    """(1, 2, h, w), as predicted."""


class Colorizer:
    """A model ready to colour photographs at their full size, keeping their lightness."""

    def __init__(self, model: nn.Module, working_size: int, device: str | torch.device | None = None) -> None:
        """Put a model to work.

        Args:
            model: of `models.build_model`.
            working_size: side in pixels, about, at which it sees photographs.
            device: CUDA where there is one when None.
        """
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device).eval()
        self.working_size = working_size

    @classmethod
    def load(
        cls, path_or_uri: str, device: str | torch.device | None = None, filesystem: fs.FileSystem | None = None
    ) -> "Colorizer":
        """Load a checkpoint directory; raises UserError when it cannot be used (`checkpoint.load_checkpoint`)."""
        model, config = load_checkpoint(path_or_uri, filesystem)
        return cls(model, config.working_size, device)

    def colorize(
        self,
        photos: Sequence[bytes],
        formats: str | Sequence[str] = "png",
        *,
        on_color: OnColor = "colorize",
        quality: int = 95,
        max_pixels: int = MAX_PIXELS,
    ) -> list[ColorizedPhoto]:
        """Colour encoded photographs.

        Args:
            photos: file contents, of any format `photo.decode` knows.
            formats: output format, one for all or one each (`photo.WRITE_FORMATS`).
            on_color: what to do with inputs in colour: colorize them from their lightness, skip, or copy the bytes.
            quality: of JPEG and WebP.
            max_pixels: larger inputs get the status too_large before they are decoded.

        Returns:
            One result per input, in order. Faults of the data are results; nothing is raised for them.
        """
        each_format = [formats] * len(photos) if isinstance(formats, str) else list(formats)
        results: list[ColorizedPhoto | None] = [None] * len(photos)
        work: dict[int, _Work] = {}
        for index, data in enumerate(photos):
            try:
                item = self._open(data, max_pixels)
            except PhotoError as fault:
                results[index] = ColorizedPhoto(fault.status, error=str(fault))
                continue
            if item.is_color and on_color != "colorize":
                results[index] = _describe(item, "skipped_color", data if on_color == "copy" else None)
            else:
                work[index] = item
        self._predict(list(work.values()))
        for index, item in work.items():
            results[index] = self._finish(item, each_format[index], quality)
        return [result for result in results if result is not None]

    def _open(self, data: bytes, max_pixels: int) -> _Work:
        photo = decode(data, max_pixels)
        L = torch.empty((1, 1, photo.height, photo.width), device=self.device)
        chroma_sum = 0.0
        for rows in row_strips(photo.height, photo.width):
            lab = _lab(photo.pixels[rows], self.device)
            L[:, :, rows] = lab[:, :1]
            if lab.shape[1] == 3:
                chroma_sum += float(chroma(lab[:, 1:]).sum())
        small = shrink(L, working_shape(photo.height, photo.width, self.working_size))
        return _Work(photo, small, chroma_sum / (photo.height * photo.width) >= GRAY_CHROMA)

    def _predict(self, work: list[_Work]) -> None:
        """Fill in `ab`, running photographs of equal working shape together."""
        groups: dict[tuple[int, ...], list[_Work]] = defaultdict(list)
        for item in work:
            groups[tuple(item.L.shape)].append(item)
        for members in groups.values():
            ab = predict_ab(self.model, torch.cat([item.L for item in members]))
            for item, own in zip(members, ab.split(1), strict=True):
                item.ab = own

    def _finish(self, item: _Work, format: str, quality: int) -> ColorizedPhoto:
        """Give the photograph its chroma at full size, strip by strip, and score it."""
        assert item.ab is not None
        if not item.ab.isfinite().all():
            return _describe(item, "model_error", error="the model's colours are not numbers")
        photo = item.photo
        ab = enlarge(item.ab, (photo.height, photo.width))
        rgb = torch.empty((1, 3, photo.height, photo.width), dtype=torch.uint8, device=self.device)
        chroma_sum = error_sum = clipped_sum = 0.0
        for rows in row_strips(photo.height, photo.width):
            lab = _lab(photo.pixels[rows], self.device)
            fitted, clipped = fit_gamut(torch.cat((lab[:, :1], ab[:, :, rows]), dim=1))
            rgb[:, :, rows] = to_uint8(lab_to_rgb(fitted))
            chroma_sum += float(chroma(fitted[:, 1:]).sum())
            clipped_sum += float(clipped.sum())
            if item.is_color:
                error_sum += float(metrics.mae_ab(fitted[:, 1:], lab[:, 1:])) * clipped.numel()
        pixels = photo.height * photo.width
        try:
            result = _describe(item, "ok", encode(_channels_last(rgb), format, photo, quality))
        except PhotoError as fault:
            return _describe(item, fault.status, error=str(fault))
        result.note = "; ".join([*photo.notes, *left_out(format, photo)])
        result.scores = {"mean_chroma": chroma_sum / pixels, "gamut_clipped": clipped_sum / pixels}
        if item.is_color:
            truth = torch.from_numpy(photo.rgb().transpose(2, 0, 1)[None].copy()).to(self.device)
            result.scores["mae_ab"] = error_sum / pixels
            result.scores["psnr"] = float(metrics.psnr(rgb, truth))
            result.scores["ssim"] = float(metrics.ssim(rgb, truth))
        return result


def _channels_last(rgb: Tensor) -> np.ndarray:
    return rgb[0].permute(1, 2, 0).contiguous().cpu().numpy()


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


def _lab(pixels: np.ndarray, device: torch.device) -> Tensor:
    """CIELAB (1, 3, H, W) of pixels in colour, lightness (1, 1, H, W) alone of gray ones of 8 or 16 bits."""
    if pixels.ndim == 3:
        channels = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())
        return rgb_to_lab(channels.to(device).float() / 255)
    table = _lightness_table(2 ** (8 * pixels.dtype.itemsize))
    return table[torch.from_numpy(pixels.astype(np.int32))][None, None].to(device)


@functools.cache
def _lightness_table(levels: int) -> Tensor:
    """L of every gray level, (levels,) float32."""
    ramp = torch.linspace(0, 1, levels).view(1, 1, 1, levels).expand(1, 3, 1, levels)
    return rgb_to_lab(ramp)[0, 0, 0]
