"""Evaluation protocols of papers: how many photographs, how they were made square, and what FID compares.

A value can be compared with a published one only if all of this is equal. This module does not import torch: command
lines read it for `--help`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from colorize_core.errors import UserError
from colorize_core.formatting import counted
from colorize_core.metrics.registry import InceptionVariant

CROP, SQUASH = "crop", "squash"


@dataclass(frozen=True)
class PhotographSet:
    """Photographs that `prepare` makes square."""

    name: str
    """Which photographs they are. This is not checked."""
    count: int
    size: int
    """Side in pixels."""
    resize: str
    """How they are made square: CROP or SQUASH."""

    def describe(self) -> str:
        """Return one line."""
        how = "central square" if self.resize == CROP else "squashed"
        return f"{counted(self.count, 'photograph')} ({self.name}), {how} at {self.size} px"


@dataclass(frozen=True)
class Protocol:
    """How papers evaluate."""

    name: str
    used_by: str
    """Papers with such tables."""
    source: str
    """Address of its description."""
    scored: PhotographSet
    reference: PhotographSet | None = None
    """Photographs with which FID compares; None for the scored ones."""
    inception: InceptionVariant = "pytorch-fid"
    """Input of the Inception network of FID."""
    inception_side: int | None = None
    """Side in pixels to which images are reduced before FID, by the mean over areas; None keeps their size."""

    def describe(self) -> str:
        """Return what the protocol fixes, as text for tables and pages."""
        reference = self.reference.describe() if self.reference else "the same photographs"
        reduced = f", images reduced to {self.inception_side} px" if self.inception_side else ""
        return (
            f"Protocol {self.name}, as in {self.used_by} ({self.source}): {self.scored.describe()}; FID against "
            f"{reference}, Inception as {self.inception} has it{reduced}; colorfulness in both variants, because "
            "published tables do not say which they print."
        )


_DDCOLOR_9 = "https://github.com/piddnad/DDColor/issues/9"
PROTOCOLS: Mapping[str, Protocol] = {
    each.name: each
    for each in (
        Protocol(
            "imagenet-val5k",
            "CT2, BigColor and DDColor",
            _DDCOLOR_9,
            PhotographSet("ILSVRC2012_val_00000001 to 00005000", 5_000, 256, CROP),
        ),
        Protocol(
            "imagenet-val50k",
            "ColorFormer and DDColor",
            _DDCOLOR_9,
            PhotographSet("the validation set of ImageNet", 50_000, 256, SQUASH),
        ),
        Protocol(
            "coco-stuff-5k",
            "ColorFormer and DDColor",
            _DDCOLOR_9,
            PhotographSet("val2017 of COCO-Stuff", 5_000, 256, SQUASH),
        ),
        Protocol(
            "ade20k-2k",
            "ColorFormer and DDColor",
            _DDCOLOR_9,
            PhotographSet("the validation set of ADE20K", 2_000, 256, SQUASH),
        ),
        Protocol(
            "coltran-5k",
            "ColTran and UViM",
            "https://github.com/google-research/big_vision, evaluators/proj/uvim/coltran_fid.py",
            PhotographSet("the first 5,000 of ImageNet's validation set as TFDS reads it", 5_000, 512, CROP),
            PhotographSet("numbers 10,000 to 14,999 as TFDS reads it", 5_000, 256, CROP),
            inception="torch-fidelity",
            inception_side=256,
        ),
    )
}
"""All protocols by name. TF-GAN's network, which ColTran uses, resizes as torch-fidelity's does."""


def require_photographs(needed: PhotographSet, count: int, size: int, resize: str, where: str) -> None:
    """Compare photographs with those of a protocol.

    Args:
        needed: those of the protocol.
        count: number of photographs.
        size: their side in pixels.
        resize: how they were made square.
        where: what they are, for the message.

    Raises:
        UserError: they differ in any of these.
    """
    if (count, size, resize) == (needed.count, needed.size, needed.resize):
        return
    found = PhotographSet("found", count, size, resize).describe()
    hint = f"prepare size={needed.size} resize={needed.resize} screen=false"
    raise UserError(f"{where}: {found}; the protocol needs {needed.describe()} ({hint})")
