"""One pass over an archive's rows: counts, distributions, and the few rows that a page shows."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from colorize_core.report.archive.measures import MEASURES, Distribution

DONE, COPIED = "ok", "skipped_color"
FAIR = "fair"
_TRUTH, _NO_TRUTH = "mae_ab", "max_lightness_error"
_TITLES = {
    "mean_chroma": ("Least colorful", "Most colorful"),
    "gamut_clipped": ("", "Most clipped"),
    _NO_TRUTH: ("Best by lightness", "Worst by lightness"),
    _TRUTH: ("Best against their originals", "Worst against their originals"),
}
_NOTES = {
    "mean_chroma": ("lowest mean chroma, of pictures that were colored", "highest mean chroma"),
    "gamut_clipped": ("", "largest share of pixels whose color did not fit into sRGB"),
    _NO_TRUTH: (
        "smallest lightness error; without a truth, no row can call colors right",
        "largest lightness error; without a truth, no row can call colors wrong",
    ),
    _TRUTH: (
        "inputs that were in color, with the smallest color error (mae_ab)",
        "inputs that were in color, with the largest color error (mae_ab)",
    ),
}


@dataclass
class Pick:
    """The rows with the lowest value of something, so far."""

    title: str
    note: str
    size: int
    rows: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """(value, row), lowest first."""

    def offer(self, table: pa.Table, values: np.ndarray) -> None:
        """Take from more rows (N,) those that are lower than what was kept; NaN is never taken."""
        there = np.flatnonzero(~np.isnan(values))
        order = there[np.argsort(values[there], kind="stable")[: self.size]]
        fresh = zip(values[order].tolist(), table.take(pa.array(order, pa.int64())).to_pylist(), strict=True)
        self.rows = sorted([*self.rows, *fresh], key=lambda each: each[0])[: self.size]


class Survey:
    """What a page says of an archive: fed with tables of rows, it holds a few hundred of them whatever their number."""

    def __init__(self, pictures: int, extremes: int = 24, failures: int = 50, seed: int = 0) -> None:
        """Begin.

        Args:
            pictures: size of the fair sample.
            extremes: rows at each end of a measure.
            failures: rows of each status without a picture.
            seed: of the fair sample; the same rows give the same sample.
        """
        self.counts: Counter[str] = Counter()
        self.distributions = {each.name: Distribution(each.low, each.high) for each in MEASURES}
        self.pictures = 0
        self.fair = Pick("Fair sample", "", pictures)
        self.failures: dict[str, Pick] = {}
        self._extremes, self._failures = extremes, failures
        self._ends: dict[tuple[str, bool], Pick] = {}
        self._random = np.random.default_rng(seed)

    @property
    def total(self) -> int:
        """Rows so far."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Rows without a picture."""
        return sum(count for status, count in self.counts.items() if status not in (DONE, COPIED))

    def add(self, table: pa.Table) -> None:
        """Take in more rows, as the archive writes them."""
        statuses = table.column("status")
        chance = self._random.random(len(table))
        for entry in pc.value_counts(statuses).to_pylist():
            self.counts[entry["values"]] += entry["counts"]
            if entry["values"] not in (DONE, COPIED):
                pick = self.failures.setdefault(entry["values"], Pick("", "", self._failures))
                pick.offer(table, _only(chance, _equal(statuses, entry["values"])))
        seen = _mask(table.column("output_key").is_valid())
        self.pictures += int(seen.sum())
        self.fair.offer(table, _only(chance, seen))
        colored = seen & _equal(statuses, DONE)
        for measure in MEASURES:
            if measure.name not in table.column_names:
                continue
            values = _only(_floats(table.column(measure.name)), colored)
            self.distributions[measure.name].add(values)
            if measure.name in _TITLES:
                self._offer_ends(measure.name, table, values)

    def _offer_ends(self, name: str, table: pa.Table, values: np.ndarray) -> None:
        for at_top in (False, True):
            title, note = _TITLES[name][at_top], _NOTES[name][at_top]
            if title:
                pick = self._ends.setdefault((name, at_top), Pick(title, note, self._extremes))
                pick.offer(table, -values if at_top else values)

    def picks(self) -> dict[str, Pick]:
        """The groups of a gallery by id, those with rows, the fair sample first.

        Best and worst are by the error against the original where at least half of the inputs were in color, else by
        the lightness error.
        """
        by_truth = 2 * self.distributions[_TRUTH].count >= max(self.counts[DONE], 1)
        all_shown = self.pictures <= self.fair.size
        self.fair.title = "All pictures" if all_shown else "Fair sample"
        self.fair.note = (
            f"all {self.pictures:,} pictures" if all_shown else f"drawn evenly from {self.pictures:,} pictures"
        )
        order = [(_TRUTH if by_truth else _NO_TRUTH, False), (_TRUTH if by_truth else _NO_TRUTH, True)]
        order += [("mean_chroma", True), ("mean_chroma", False), ("gamut_clipped", True)]
        groups = {FAIR: self.fair} | {f"{name}-{'high' if top else 'low'}": self._end(name, top) for name, top in order}
        groups["failed"] = self._all_failures()
        return {name: pick for name, pick in groups.items() if pick.rows}

    def _end(self, name: str, at_top: bool) -> Pick:
        pick = self._ends.get((name, at_top), Pick("", "", 0))
        if name == "gamut_clipped":  # nothing was clipped where the share is 0
            pick.rows = [each for each in pick.rows if each[0] < 0]
        return pick

    def _all_failures(self) -> Pick:
        kept = [row for _, pick in sorted(self.failures.items()) for row in pick.rows]
        which = "all of them" if len(kept) == self.failed else f"up to {self._failures} of each status, drawn evenly"
        return Pick("Failures", f"{self.failed:,} inputs without a picture, {which}", len(kept), kept)


def _mask(values: pa.ChunkedArray) -> np.ndarray:
    return values.combine_chunks().to_numpy(zero_copy_only=False).astype(bool)


def _equal(statuses: pa.ChunkedArray, status: str) -> np.ndarray:
    return _mask(pc.equal(statuses, status))


def _floats(values: pa.ChunkedArray) -> np.ndarray:
    return values.combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)


def _only(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask, values, np.nan)
