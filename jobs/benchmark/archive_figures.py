"""Figures of the archive benchmark: values derived from the measured ones, tables, chart and summary."""

from collections.abc import Mapping, Sequence
from typing import Any

from colorize_core.runtime.stage_timer import INFER, STAGES

OVERHEAD = "Ray, fetch, put"
"""Stage name of the CPU time that the job uses beyond the Colorizer."""
_TITLES = {"peer": "loop with scikit-image", "peer_opencv": "loop with OpenCV", "limit": "limit of the kernels"}


def derive_figures(record: Mapping[str, Any]) -> dict[str, Any]:
    """Replace measured medians by the figures of benchmark.json: sums over kernels, overhead of the job, rates."""
    from colorize_core.benchmark.baselines.timing import by_stage

    figures = dict(record)
    stages, total = figures.pop("colorizer_core_ms"), figures.pop("core_ms")
    figures["core_ms_per_image"] = stages | {OVERHEAD: total - sum(stages.values()), "total": total}
    figures["core_ms_outside_model"] = total - stages[INFER]
    for name in _TITLES:
        if figures[name] is None:
            continue
        kernels, seconds = figures[name]["kernels"], figures[name].get("seconds")
        core_ms = sum(kernels.values())
        rate = 1 / seconds if seconds else 1000 * record["machine"]["cores"] / core_ms
        figures[name] = {
            "images_per_second": rate,
            "core_ms_per_image": by_stage(kernels) | {"total": core_ms},
            "kernels": kernels,
            "core_ratio": core_ms / total,
        }
    return figures


def _contenders(figures: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the figures of the job and of what it is compared with, by title."""
    return {"colorize archive": figures} | {title: figures[name] for name, title in _TITLES.items() if figures[name]}


def _stages(contenders: Mapping[str, Mapping[str, Any]]) -> list[str]:
    measured = set().union(*(each["core_ms_per_image"] for each in contenders.values()))
    return [stage for stage in (*STAGES, OVERHEAD) if stage in measured]


def archive_tables(figures: Mapping[str, Any]) -> str:
    """Return Markdown tables: everything by stage, and all except the job by kernel."""
    from colorize_core.benchmark.tables import figure_table

    contenders = _contenders(figures)
    rows: list[Sequence[object]] = [("images/s", *(each["images_per_second"] for each in contenders.values()))]
    rows += [
        (f"{stage}, core ms", *(each["core_ms_per_image"].get(stage) for each in contenders.values()))
        for stage in (*_stages(contenders), "total")
    ]
    others = dict(list(contenders.items())[1:])
    kernels = [(name, *(each["kernels"][name] for each in others.values())) for name in figures["limit"]["kernels"]]
    return f"{figure_table(('per image', *contenders), rows)}\n\n{figure_table(('kernel, core ms', *others), kernels)}"


def archive_chart(figures: Mapping[str, Any]) -> bytes:
    """Draw everything by stage as a PNG."""
    from colorize_core.benchmark.tables import stacked_bars

    contenders = _contenders(figures)
    bars = {
        title: {stage: max(value, 0.0) for stage, value in each["core_ms_per_image"].items()}
        for title, each in contenders.items()
    }
    return stacked_bars(bars, _stages(contenders), "core ms per image")


def archive_facts(figures: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return the lines of the printed summary."""
    opencv = figures["ratio_to_peer_opencv"]
    return [
        ("outside the model", f"{figures['core_ms_outside_model']:.1f} core ms per image"),
        ("relative to scikit-image", f"{figures['ratio_to_peer']:.1f} times as fast"),
        ("relative to OpenCV", f"{opencv:.1f} times as fast" if opencv else "not measured: OpenCV is not installed"),
        ("relative to the limit", f"{figures['fraction_of_limit']:.0%}"),
    ]
