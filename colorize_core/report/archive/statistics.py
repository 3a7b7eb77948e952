"""One pass over the rows of an archive: counts, distributions, and the rows that the page shows."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from colorize_core.formatting import counted
from colorize_core.report.archive.measures import MEASURES, Distribution
from colorize_core.status import Status

_SUCCESSES = [status for status in Status if not status.is_failure]
_COLOR_ERROR, _LIGHTNESS_ERROR = "mae_ab", "max_lightness_error"
_TITLES = {
    "mean_chroma": ("Least colorful", "Most colorful"),
    "gamut_clipped": ("", "Most gamut clipping"),
    "disagreement": ("", "Largest disagreement"),
    _LIGHTNESS_ERROR: ("Smallest lightness error", "Largest lightness error"),
    _COLOR_ERROR: ("Smallest color error", "Largest color error"),
}
"""Titles of the groups with the lowest and with the highest values of a measure; empty for no group."""
_NO_REFERENCE = "this says nothing about the colors, for which there is no reference"
_NOTES = {
    "mean_chroma": ("color images with the lowest mean chroma", "color images with the highest mean chroma"),
    "gamut_clipped": ("", "color images with the largest share of pixels whose predicted color is outside sRGB"),
    "disagreement": (
        "",
        "color images about whose colors the members of the ensemble disagree most; look at these first",
    ),
    _LIGHTNESS_ERROR: (
        f"color images whose lightness differs least from the photograph; {_NO_REFERENCE}",
        f"color images whose lightness differs most from the photograph; {_NO_REFERENCE}",
    ),
    _COLOR_ERROR: (
        "inputs in color whose colors were predicted best (mae_ab)",
        "inputs in color whose colors were predicted worst (mae_ab)",
    ),
}


@dataclass
class RowGroup:
    """The rows with the lowest values of a criterion."""

    title: str
    note: str
    size: int
    rows: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """(value, row), in ascending order."""

    def add(self, table: pa.Table, values: np.ndarray) -> None:
        """Add rows with their values (N,), keeping the `size` lowest; rows with NaN are ignored."""
        valid = np.flatnonzero(~np.isnan(values))
        order = valid[np.argsort(values[valid], kind="stable")[: self.size]]
        added = zip(values[order].tolist(), table.take(pa.array(order, pa.int64())).to_pylist(), strict=True)
        self.rows = sorted([*self.rows, *added], key=lambda each: each[0])[: self.size]


class RowStatistics:
    """Counts, distributions and selected rows of an archive, accumulated table by table.

    A few hundred rows are kept, independent of the number of rows added.
    """

    def __init__(self, sample: int, extremes: int = 24, failures: int = 50, seed: int = 0) -> None:
        """Start without rows.

        Args:
            sample: size of the random sample.
            extremes: number of rows kept at each end of a measure.
            failures: number of rows kept per failure status.
            seed: seed of the random sample; the same rows give the same sample.
        """
        self.counts: Counter[str] = Counter()
        self.distributions = {each.name: Distribution(each.low, each.high) for each in MEASURES}
        self.images = 0
        self.output_bytes = 0
        self._sample = RowGroup("", "", sample)
        self._failures: dict[str, RowGroup] = {}
        self._extremes, self._failure_size = extremes, failures
        self._ends: dict[tuple[str, bool], RowGroup] = {}
        self._random = np.random.default_rng(seed)

    @property
    def total(self) -> int:
        """Number of rows."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Number of failed inputs."""
        return sum(count for status, count in self.counts.items() if status not in _SUCCESSES)

    def add(self, table: pa.Table) -> None:
        """Add a table of rows."""
        statuses = table.column("status")
        priority = self._random.random(len(table))
        for entry in pc.value_counts(statuses).to_pylist():
            status = entry["values"]
            self.counts[status] += entry["counts"]
            if status not in _SUCCESSES:
                group = self._failures.setdefault(status, RowGroup("", "", self._failure_size))
                group.add(table, _where(_equal(statuses, status), priority))
        has_image = _mask(table.column("output_key").is_valid())
        self.images += int(has_image.sum())
        self.output_bytes += pc.sum(table.column("output_bytes")).as_py() or 0
        self._sample.add(table, _where(has_image, priority))
        colorized = has_image & _equal(statuses, Status.OK)
        for measure in MEASURES:
            if measure.name not in table.column_names:
                continue
            values = _where(colorized, _floats(table.column(measure.name)))
            self.distributions[measure.name].add(values)
            for at_top, title in enumerate(_TITLES.get(measure.name, ())):
                if title:
                    new = RowGroup(title, _NOTES[measure.name][at_top], self._extremes)
                    group = self._ends.setdefault((measure.name, bool(at_top)), new)
                    group.add(table, -values if at_top else values)

    def groups(self) -> dict[str, RowGroup]:
        """Return the groups of the gallery that have rows, by id, the random sample first.

        The next groups are that of the disagreement, after a run with an ensemble, and those of the color error if at
        least half of the inputs were in color, otherwise those of the lightness error if one is above a step of 8 bits:
        below that, all of them are rounding.
        """
        complete, images = self.images <= self._sample.size, counted(self.images, "image")
        self._sample.title = "All images" if complete else "Random sample"
        self._sample.note = f"all {images}" if complete else f"drawn uniformly from {images}"
        has_reference = 2 * self.distributions[_COLOR_ERROR].count >= max(self.counts[Status.OK], 1)
        error = _COLOR_ERROR if has_reference else _LIGHTNESS_ERROR
        differs = has_reference or self.distributions[error].quantile(1) > 1
        order = [("disagreement", True)] + ([(error, False), (error, True)] if differs else [])
        order += [("mean_chroma", True), ("mean_chroma", False), ("gamut_clipped", True)]
        groups = {"sample": self._sample}
        groups |= {f"{name}-{'high' if top else 'low'}": self._end(name, top) for name, top in order}
        groups["failed"] = self._all_failures()
        return {name: group for name, group in groups.items() if group.rows}

    def _end(self, name: str, at_top: bool) -> RowGroup:
        group = self._ends.get((name, at_top), RowGroup("", "", 0))
        if name == "gamut_clipped":  # a share of 0 is no clipping
            group.rows = [each for each in group.rows if each[0] < 0]
        return group

    def _all_failures(self) -> RowGroup:
        kept = [row for _, group in sorted(self._failures.items()) for row in group.rows]
        shown = "all shown" if len(kept) == self.failed else f"up to {self._failure_size} per status, drawn at random"
        return RowGroup("Failures", f"{self.failed:,} failed inputs, {shown}", len(kept), kept)


def _mask(values: pa.ChunkedArray) -> np.ndarray:
    return values.combine_chunks().to_numpy(zero_copy_only=False).astype(bool)


def _equal(statuses: pa.ChunkedArray, status: str) -> np.ndarray:
    return _mask(pc.equal(statuses, str(status)))


def _floats(values: pa.ChunkedArray) -> np.ndarray:
    return values.combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)


def _where(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the values, with NaN where the mask is false."""
    return np.where(mask, values, np.nan)
