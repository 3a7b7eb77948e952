"""Advice derived from the figures of the archive benchmark."""

from collections.abc import Mapping
from typing import Any

from colorize_core.runtime.stage_timer import DECODE, ENCODE, INFER, PAINT, SCORE, STAGES

_MAJOR_SHARE, _NOTABLE_SHARE = 0.5, 0.2  # of the time
_NEAR_LIMIT = 0.8  # fraction of the machine's limit
_BUSY_LOAD = 0.25  # per core
_LIGHT_MODEL = "lite"
_STAGE_ADVICE = {
    DECODE: "Decoding takes {:.0%} of the time: the photographs are large, or stored in color.",
    PAINT: "Upsampling chroma takes {:.0%} of the time: upsampling=bilinear is faster.",
    SCORE: "PSNR and SSIM of color inputs take {:.0%} of the time: on_color=skip or on_color=copy avoids them.",
    ENCODE: "Encoding takes {:.0%} of the time: format=jpeg is the fastest format to write.",
}


def archive_advice(figures: Mapping[str, Any]) -> list[str]:
    """Return sentences, the most important first, for the figures of benchmark.json."""
    machine, stages = figures["machine"], dict(figures["core_ms_per_image"])
    total = stages.pop("total")
    shares = {stage: value / total for stage, value in stages.items()}
    lines = []
    if machine["load"] > _BUSY_LOAD * machine["cores"]:
        lines.append(f"The machine was busy (load {machine['load']:.1f} before the start): repeat on an idle machine.")
    if shares[INFER] > _MAJOR_SHARE:
        model = "" if figures["config"]["model"] == _LIGHT_MODEL else f", model {_LIGHT_MODEL}"
        lines.append(
            f"The model takes {shares[INFER]:.0%} of the time: a GPU{model} or a smaller working_size is faster."
        )
        if not machine["bf16"]:
            lines.append("This CPU has no bf16 arithmetic; with it the model runs two to three times as fast.")
    for stage, text in _STAGE_ADVICE.items():
        if shares.get(stage, 0.0) > _NOTABLE_SHARE:
            lines.append(text.format(shares[stage]))
    overhead = sum(share for stage, share in shares.items() if stage not in STAGES)
    if overhead > _NOTABLE_SHARE:
        lines.append(
            f"Ray, reading and writing take {overhead:.0%} of the time: "
            "Ray's fixed overhead is significant at low throughput."
        )
    if figures["fraction_of_limit"] >= _NEAR_LIMIT:
        lines.append(
            f"The job reaches {figures['fraction_of_limit']:.0%} of this machine's limit: only faster hardware helps."
        )
    return lines
