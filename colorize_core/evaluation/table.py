"""Tables of an evaluation: values with intervals, baselines first, models that are worse than gray marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from colorize_core.evaluation.rows import CONSTANT, GRAY, has_ceiling
from colorize_core.formatting import counted, markdown_table
from colorize_core.metrics.registry import FURTHER, MAIN, METRICS, Metric, metrics_of

RANKED_BY = METRICS["mae_ab"]
"""Metric by which a model is compared with the gray baseline."""
FEW_PHOTOGRAPHS = 100
"""Number of photographs below which an evaluation warns that its order may be chance."""
DIFFERENCES = "Differences from the best model"
"""Title of the table of differences."""


@dataclass(frozen=True)
class Cell:
    """A value in a table, as text."""

    value: str
    low: str = ""
    """Bounds of the 95% interval; empty for metrics without one."""
    high: str = ""
    best: bool = False
    """True for the best of several checkpoints, and for those that cannot be distinguished from it."""

    @property
    def interval(self) -> str:
        """The interval as text: 0.0712 to 0.0744."""
        return f"{self.low} to {self.high}" if self.low else ""


@dataclass(frozen=True)
class Row:
    """The metrics of a baseline or of a checkpoint."""

    name: str
    kind: Literal["model", "baseline"]
    worse: bool
    """True for a checkpoint that is worse than the gray baseline."""
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    """Metrics by model."""

    title: str
    """Empty for the main table."""
    columns: list[str]
    """Headings of the metrics."""
    rows: list[Row]


def score_tables(result: Mapping[str, Any]) -> list[Table]:
    """Arrange the content of metrics.json as tables: the main one, further metrics, and one for each paper."""
    papers = result["config"]["definitions"]
    titles = {MAIN: "", FURTHER: "Further metrics"} | {name: f"As {name} computes" for name in papers}
    main, *others = (_table(result, title, metrics_of(name)) for name, title in titles.items())
    return [main, *_differences(result), *others]


def _differences(result: Mapping[str, Any]) -> list[Table]:
    """Return the table of differences from the best model by each metric; none for results of earlier versions."""
    models = result["models"]
    compared = [name for name in models if name in (GRAY, CONSTANT, *result["checkpoints"])]
    shown = [
        metric
        for metric in metrics_of(MAIN)
        if any("difference" in models[each].get(metric.name, {}) for each in compared)
    ]
    rows = []
    for name in compared:
        kind: Literal["model", "baseline"] = "model" if name in result["checkpoints"] else "baseline"
        rows.append(Row(name, kind, False, [_difference(models[name][metric.name], metric) for metric in shown]))
    return [Table(DIFFERENCES, [metric.heading for metric in shown], rows)] if shown else []


def _difference(score: Mapping[str, Any], metric: Metric) -> Cell:
    difference = score.get("difference")
    if difference is None:
        return Cell("best", best=True)
    value, low, high = (metric.format(difference[each], sign=True) for each in ("value", "low", "high"))
    return Cell(f"{value}, not distinguishable" if is_tied(score) else value, low, high)


def is_tied(score: Mapping[str, Any]) -> bool:
    """Return True if a value cannot be distinguished from the best: the interval of their difference contains 0."""
    difference = score.get("difference")
    return difference is not None and difference["low"] <= 0 <= difference["high"]


def _table(result: Mapping[str, Any], title: str, metrics: Sequence[Metric]) -> Table:
    models, worse = result["models"], below_gray(result)
    shown = [metric for metric in metrics if metric.name in next(iter(models.values()))]
    rows = []
    for name in models:
        kind: Literal["model", "baseline"] = "model" if name in result["checkpoints"] else "baseline"
        rows.append(Row(name, kind, name in worse, [_cell(result, name, metric) for metric in shown]))
    return Table(title, [metric.heading for metric in shown], rows)


def _cell(result: Mapping[str, Any], name: str, metric: Metric) -> Cell:
    score, checkpoints = result["models"][name][metric.name], result["checkpoints"]
    values = [result["models"][each][metric.name]["value"] for each in checkpoints]
    best = name in checkpoints and len(values) > 1 and (is_tied(score) or score["value"] == metric.best(values))
    low, high = (metric.format(score[bound]) if bound in score else "" for bound in ("low", "high"))
    return Cell(metric.format(score["value"]), low, high, best)


def render_markdown(result: Mapping[str, Any]) -> str:
    """Render the tables of an evaluation, with its notes, as Markdown."""
    parts = []
    for table in score_tables(result):
        if table.title:
            parts.append(f"### {table.title}")
        rows = [[f"{row.name}{' ⚠' if row.worse else ''}", *map(_markdown_cell, row.cells)] for row in table.rows]
        parts.append(markdown_table(["model", *table.columns], rows))
        if not table.title:
            parts.append(_notes(result))
    return "\n\n".join(parts) + "\n"


def _markdown_cell(cell: Cell) -> str:
    return f"{cell.value} [{cell.low}, {cell.high}]" if cell.low else cell.value


def below_gray(result: Mapping[str, Any]) -> list[str]:
    """Return the checkpoints whose MAE is worse than that of the gray baseline."""
    scores = {name: result["models"][name][RANKED_BY.name]["value"] for name in ("gray", *result["checkpoints"])}
    return [name for name in result["checkpoints"] if RANKED_BY.is_better(scores["gray"], scores[name])]


def warn_of_few_photographs(result: Mapping[str, Any]) -> str:
    """Return a warning if the photographs are too few to rank models; empty otherwise."""
    if result["photographs"] >= FEW_PHOTOGRAPHS:
        return ""
    return (
        f"Only {counted(result['photographs'], 'photograph')}: the order of the models may be chance. "
        f"Give {FEW_PHOTOGRAPHS} or more; val_fraction and test_fraction of prepare set their share."
    )


def _notes(result: Mapping[str, Any]) -> str:
    models, count = result["models"], result["photographs"]
    first = next(iter(models.values()))
    note = (
        f"{counted(count, 'photograph')} of the {result['split']} split at {result['size']} px, with 95% bootstrap "
        "intervals over images. PSNR, SSIM, LPIPS and CIEDE2000 are computed on uint8 RGB. The oracle color is the "
        "best single color for each photograph. Differences are of a paired bootstrap; where their interval contains "
        "0, the models are not distinguishable."
    )
    if has_ceiling(models):
        note += " The ceiling is the true chroma at the working size of a model."
    if "lpips" in first:
        note += f" LPIPS with the backbone {result['lpips']}."
    elif result["config"]["lpips"]["backbone"] != "none":
        note += " LPIPS was not computed: the weights of its backbone were not available."
    if "fid" in first:
        from colorize_core.metrics.distribution import FULL_RANK

        against = result.get("reference") or f"the same {count} photographs"
        note += f" FID and KID are against {against}."
        if count < FULL_RANK:
            note += f" With fewer than {FULL_RANK} FID is far too large: compare it in this table only, or read KID."
    if protocol := result.get("protocol"):
        note += f"\n\n{protocol}"
    if few := warn_of_few_photographs(result):
        note += f"\n\n⚠ {few}"
    if worse := below_gray(result):
        note += f"\n\n⚠ worse than leaving the photographs gray, by MAE: {', '.join(worse)}."
    return note
