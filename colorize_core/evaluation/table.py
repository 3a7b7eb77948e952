"""The tables of an evaluation: values with intervals, baselines first, what is worse than gray marked."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from colorize_core.evaluation.columns import Column

_DISTANCES = {"fid": ("FID", 2), "kid": ("KID x 1000", 2)}


def columns_of(definitions: Sequence[str]) -> "dict[str, Column]":
    """Every column that may be computed, by name."""
    from colorize_core.evaluation.columns import DEFINITIONS, MORE, STANDARD

    chosen = [*STANDARD, *MORE, *(column for name in definitions for column in DEFINITIONS[name])]
    return {column.name: column for column in reversed(chosen)}


def summarize_scores(
    rows: "pa.Table", names: Sequence[str], columns: "dict[str, Column]", resamples: int
) -> dict[str, dict[str, Any]]:
    """Value and 95% bootstrap interval of every column, by model in the order of `names`."""
    import pyarrow.compute as pc

    from colorize_core.metrics import bootstrap_interval

    result: dict[str, dict[str, Any]] = {}
    for name in names:
        own = rows.filter(pc.equal(rows.column("model"), name))
        scores = {each: own.column(each).to_numpy() for each in own.column_names if each not in ("key", "model")}
        result[name] = {}
        for column in columns.values():
            if not set(column.needs) <= scores.keys():
                continue
            low, high = bootstrap_interval(partial(column.value, scores), len(own), resamples=resamples)
            result[name][column.name] = {"value": column.value(scores), "low": low, "high": high}
    return result


def render(result: dict[str, Any], definitions: Sequence[str]) -> str:
    """The results as Markdown: the standard table, one of further metrics, and one for each paper's definitions."""
    from colorize_core.evaluation.columns import DEFINITIONS, MORE, STANDARD

    parts = [_table(result, STANDARD, distances=True), _notes(result)]
    parts += ["### Further metrics", _table(result, MORE)]
    for name in definitions:
        parts += [f"### As {name} computes", _table(result, DEFINITIONS[name])]
    return "\n\n".join(parts) + "\n"


def _table(result: dict[str, Any], columns: "Sequence[Column]", *, distances: bool = False) -> str:
    models = result["models"]
    there = next(iter(models.values()))
    shown = [column for column in columns if column.name in there]
    header = ["model", *(f"{column.title} {'↑' if column.higher_is_better else '↓'}" for column in shown)]
    sets = [name for name in _DISTANCES if distances and name in there]
    header += [f"{_DISTANCES[name][0]} ↓" for name in sets]
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    worse = below_gray(result)
    for model, scores in models.items():
        cells = [_cell(scores[column.name], column.digits) for column in shown]
        factor = {"fid": 1, "kid": 1000}
        cells += [f"{factor[name] * scores[name]['value']:.{_DISTANCES[name][1]}f}" for name in sets]
        lines.append(f"| {model}{' ⚠' if model in worse else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(score: dict[str, float], digits: int) -> str:
    return f"{score['value']:.{digits}f} [{score['low']:.{digits}f}, {score['high']:.{digits}f}]"


def below_gray(result: dict[str, Any]) -> list[str]:
    """Models whose MAE is worse than leaving the photographs gray."""
    gray = result["models"]["gray"]["mae_ab"]["value"]
    return [name for name in result["checkpoints"] if result["models"][name]["mae_ab"]["value"] > gray]


def _notes(result: dict[str, Any]) -> str:
    models, count = result["models"], result["photographs"]
    there = next(iter(models.values()))
    note = (
        f"{count} photographs of the {result['split']} split at {result['size']} px, with 95% bootstrap intervals over "
        "images; PSNR, SSIM and what follows are of uint8 RGB. Oracle color is the best single color for each "
        "photograph, the ceiling its true chroma passed through the working size."
    )
    if "lpips" in there:
        note += f" LPIPS with {result['lpips']}."
    elif result["config"]["lpips"]["backbone"] != "none":
        note += " LPIPS was not computed: its backbone's weights were not at hand."
    if "fid" in there:
        from colorize_core.metrics.distribution import FULL_RANK

        note += f" FID and KID against the same {count} photographs."
        if count < FULL_RANK:
            note += f" With fewer than {FULL_RANK} FID is far too large: compare it in this table only, or read KID."
    if worse := below_gray(result):
        note += f"\n\n⚠ worse than leaving the photographs gray, by MAE: {', '.join(worse)}."
    return note
