"""What was measured of archive runs, as figures and for people."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from colorize_core.runtime.stage_timer import INFER, STAGES
from jobs.benchmark.processes import JobRound, summarize_job

if TYPE_CHECKING:
    from colorize_core.benchmark.baselines.inference import Pace

REST = "Ray, fetch, put"
"""What a job takes beyond the Colorizer."""


@dataclass(frozen=True)
class Round(JobRound):
    """What one round measured; start-up is from the command to the first picture."""

    driver_memory_bytes: int
    alone: Mapping[str, float]
    """Core ms of the Colorizer by itself, by stage."""
    limit: Mapping[str, float]
    """Core ms of the cheapest kernels, by kernel."""
    peers: Mapping[str, "tuple[Pace, Pace]"]
    """Of other loops by name: with one thread, and with as many as there are cores."""


def summarize(rounds: Sequence[Round], cores: int) -> dict[str, Any]:
    """Medians over rounds, and ratios within them, under the keys of benchmark.json."""
    from colorize_core.benchmark.baselines.clock import medians

    stages = medians([each.alone for each in rounds])
    total = statistics.median(each.core_ms for each in rounds)
    cheapest = medians([each.limit for each in rounds])
    names = rounds[0].peers
    return {
        **summarize_job(rounds),
        "core_ms_per_image": stages | {REST: total - sum(stages.values()), "total": total},
        "core_ms_outside_model": total - stages[INFER],
        "ratio_to_peer": _ratio(rounds, "peer"),
        "ratio_to_peer_opencv": _ratio(rounds, "peer_opencv") if "peer_opencv" in names else None,
        "fraction_of_limit": statistics.median(
            each.images_per_second * sum(each.limit.values()) / 1000 / cores for each in rounds
        ),
        "driver_memory_bytes": max(each.driver_memory_bytes for each in rounds),
        "limit": {"images_per_second": 1000 * cores / sum(cheapest.values()), **_by(cheapest)},
        "peer": _peer([each.peers["peer"] for each in rounds], total),
        "peer_opencv": _peer([each.peers["peer_opencv"] for each in rounds], total) if "peer_opencv" in names else None,
        "threads": {"job": f"{cores} actors, 1 thread each", "peers": f"1 and {cores}, the faster counts", "limit": 1},
    }


def _ratio(rounds: Sequence[Round], peer: str) -> float:
    return statistics.median(each.images_per_second * min(pace.seconds for pace in each.peers[peer]) for each in rounds)


def _by(kernels: dict[str, float]) -> dict[str, Any]:
    from colorize_core.benchmark.baselines.clock import by_stage

    return {"core_ms_per_image": by_stage(kernels) | {"total": sum(kernels.values())}, "kernels": kernels}


def _peer(paces: "Sequence[tuple[Pace, Pace]]", total: float) -> dict[str, Any]:
    """Images/s of the faster form; core ms of the one with one thread, which wastes none."""
    from colorize_core.benchmark.baselines.clock import medians

    seconds = statistics.median(min(pace.seconds for pace in each) for each in paces)
    kernels = medians([single.kernels for single, _ in paces])
    return {"images_per_second": 1 / seconds, "core_ratio": sum(kernels.values()) / total, **_by(kernels)}


_NAMES = {"peer": "loop with scikit-image", "peer_opencv": "loop with OpenCV", "limit": "limit of the kernels"}


def _contenders(figures: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Figures by title: of the job, then of what it is compared with."""
    return {"colorize archive": figures} | {title: figures[name] for name, title in _NAMES.items() if figures[name]}


def _stages(contenders: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Those that any of them spends time on, in order."""
    spent = set().union(*(each["core_ms_per_image"] for each in contenders.values()))
    return [stage for stage in (*STAGES, REST) if stage in spent]


def archive_tables(figures: Mapping[str, Any]) -> str:
    """Markdown: the contenders by stage, then all but the job by kernel."""
    from colorize_core.benchmark.baselines.clock import KERNELS
    from colorize_core.benchmark.tables import markdown_table

    contenders = _contenders(figures)
    rows: list[Sequence[object]] = [("images/s", *(each["images_per_second"] for each in contenders.values()))]
    rows += [
        (f"{stage}, core ms", *(each["core_ms_per_image"].get(stage) for each in contenders.values()))
        for stage in _stages(contenders)
    ]
    rows.append(("all, core ms", *(each["core_ms_per_image"]["total"] for each in contenders.values())))
    _, *others = contenders.items()
    kernels = [(kernel, *(each["kernels"][kernel] for _, each in others)) for kernel in KERNELS]
    stages = markdown_table(("for a picture", *contenders), rows)
    return f"{stages}\n\n{markdown_table(('kernel, core ms', *(title for title, _ in others)), kernels)}"


def archive_picture(figures: Mapping[str, Any]) -> bytes:
    """The contenders as bars of stages, a PNG."""
    from colorize_core.benchmark.tables import stacked_bars

    contenders = _contenders(figures)
    bars = {
        title: {stage: max(value, 0.0) for stage, value in each["core_ms_per_image"].items()}
        for title, each in contenders.items()
    }
    return stacked_bars(bars, _stages(contenders), "core ms for a picture")


def archive_facts(figures: Mapping[str, Any]) -> list[tuple[str, object]]:
    """For the terminal, in two columns."""
    opencv = figures["ratio_to_peer_opencv"]
    return [
        (
            "pace",
            f"{figures['images_per_second']:.1f} images/s, first picture after {figures['start_up_seconds']:.1f} s",
        ),
        ("outside the model", f"{figures['core_ms_outside_model']:.1f} core ms for a picture"),
        ("beside scikit-image", f"{figures['ratio_to_peer']:.1f} times as fast"),
        ("beside OpenCV", f"{opencv:.1f} times as fast" if opencv else "not measured: OpenCV is not installed"),
        ("of the limit", f"{figures['fraction_of_limit']:.0%}"),
        ("memory at most", f"{figures['peak_memory_bytes'] / 1e9:.1f} GB, all processes together"),
    ]
