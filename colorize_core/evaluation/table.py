"""Tables of an evaluation: values with intervals, baselines first, models that are worse than gray marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from colorize_core.formatting import counted, markdown_table
from colorize_core.metrics.registry import FURTHER, MAIN, METRICS, Metric, columns_of, metrics_of

if TYPE_CHECKING:
    import pyarrow as pa

RANKED_BY = METRICS["mae_ab"]
"""Metric by which a model is compared with the gray baseline."""


@dataclass(frozen=True)
class Cell:
    """A value in a table, as text."""

    value: str
    low: str = ""
    """Bounds of the 95% interval; empty for metrics without one."""
    high: str = ""
    best: bool = False
    """True for the best of several checkpoints."""

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


def summarize_scores(
    rows: "pa.Table", names: Sequence[str], definitions: Sequence[str], resamples: int
) -> dict[str, dict[str, Any]]:
    """Compute every metric of a set with its 95% bootstrap interval.

    Args:
        rows: key, model and the metrics per image.
        names: models, in the order of the result.
        definitions: papers whose own metrics are computed too.
        resamples: number of bootstrap resamples.

    Returns:
        By model and metric: value, low and high.
    """
    import pyarrow.compute as pc

    from colorize_core.metrics import bootstrap_interval

    result: dict[str, dict[str, Any]] = {}
    for name in names:
        own = rows.filter(pc.equal(rows.column("model"), name))
        scores = {each: own.column(each).to_numpy() for each in own.column_names if each not in ("key", "model")}
        result[name] = {}
        for metric in columns_of(definitions):
            if metric.statistic is None or not set(metric.needs) <= scores.keys():
                continue
            low, high = bootstrap_interval(partial(metric.value, scores), len(own), resamples=resamples)
            result[name][metric.name] = {"value": metric.value(scores), "low": low, "high": high}
    return result


def score_tables(result: Mapping[str, Any]) -> list[Table]:
    """Arrange the content of metrics.json as tables: the main one, further metrics, and one for each paper."""
    papers = result["config"]["definitions"]
    titles = {MAIN: "", FURTHER: "Further metrics"} | {name: f"As {name} computes" for name in papers}
    return [_table(result, title, metrics_of(name)) for name, title in titles.items()]


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
    best = name in checkpoints and len(values) > 1 and score["value"] == metric.best(values)
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


def _notes(result: Mapping[str, Any]) -> str:
    models, count = result["models"], result["photographs"]
    first = next(iter(models.values()))
    note = (
        f"{counted(count, 'photograph')} of the {result['split']} split at {result['size']} px, with 95% bootstrap "
        "intervals over images. PSNR, SSIM, LPIPS and CIEDE2000 are computed on uint8 RGB. The oracle color is the "
        "best single color for each photograph; the ceiling is its true chroma at the working size of a model."
    )
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
    if worse := below_gray(result):
        note += f"\n\n⚠ worse than leaving the photographs gray, by MAE: {', '.join(worse)}."
    return note
