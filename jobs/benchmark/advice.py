"""What the figures of a benchmark suggest, in sentences."""

from collections.abc import Mapping
from typing import Any

from colorize_core.runtime.stage_timer import DECODE, ENCODE, INFER, PAINT, SCORE, STAGES

_MUCH, _SOME = 0.5, 0.2
_NEAR = 0.8
_LIGHT = "lite"


def archive_advice(figures: Mapping[str, Any]) -> list[str]:
    """Lines for people, the most important first.

    Args:
        figures: of benchmark.json.
    """
    machine, spent = figures["machine"], dict(figures["core_ms_per_image"])
    total = spent.pop("total")
    shares = {stage: value / total for stage, value in spent.items()}
    lines = []
    if machine["load"] > 0.25 * machine["cores"]:
        lines.append(
            f"The machine was at other work (load {machine['load']:.1f} before the start): measure when it is quiet."
        )
    if shares[INFER] > _MUCH:
        remedy = "a GPU would help" if figures["config"]["model"] == _LIGHT else f"a GPU or model {_LIGHT} would help"
        lines.append(f"The model takes {shares[INFER]:.0%} of the time: {remedy}, or a smaller working_size.")
        if not machine["bf16"]:
            lines.append(
                "This processor has no bf16 arithmetic; one that has it runs the model two to three times as fast."
            )
    if shares[DECODE] > _SOME:
        lines.append(f"Decoding takes {shares[DECODE]:.0%}: the photographs are large, or stored in color.")
    if shares[PAINT] > _SOME:
        lines.append(f"Chroma at full size takes {shares[PAINT]:.0%}; upsampling=bilinear is quicker.")
    if shares.get(SCORE, 0.0) > _SOME:
        lines.append(f"PSNR and SSIM of inputs in color take {shares[SCORE]:.0%}; on_color=skip or copy saves them.")
    if shares[ENCODE] > _SOME:
        lines.append(f"Encoding takes {shares[ENCODE]:.0%}: format=jpeg is the quickest to write.")
    rest = sum(share for stage, share in shares.items() if stage not in STAGES)
    if rest > _SOME:
        lines.append(
            f"Ray, reading and writing take {rest:.0%}: Ray's own processes weigh the more, the slower the pace."
        )
    if figures["fraction_of_limit"] >= _NEAR:
        lines.append(
            f"The job runs at {figures['fraction_of_limit']:.0%} of this machine's limit: only other hardware helps."
        )
    return lines
