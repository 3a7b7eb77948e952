"""`python -m colorize_core.benchmark`: the speed of models, without Ray, for a machine that only has a GPU."""

import argparse
import json
from dataclasses import asdict
from typing import get_args

import torch

from colorize_core.benchmark.machine import describe_machine, in_words
from colorize_core.benchmark.model_speed import Mode, measure_all, speed_table
from colorize_core.models import model_names


def main() -> None:
    """Measure what the arguments name; print a table, or JSON."""
    description = "Measure models by themselves."
    parser = argparse.ArgumentParser(prog="python -m colorize_core.benchmark", description=description)
    parser.add_argument("--models", nargs="+", default=model_names(), choices=model_names())
    parser.add_argument("--sizes", nargs="+", type=int, default=[256], help="multiples of 32 from 64 on")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--modes", nargs="+", default=["eager"], choices=get_args(Mode), help="graph needs a GPU")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON at the end instead of a table")
    options = parser.parse_args()
    if "graph" in options.modes and not torch.cuda.is_available():
        parser.error("--modes graph: CUDA graphs need a GPU, and there is none")
    machine = describe_machine()
    print(in_words(machine))
    rows, peaks = measure_all(
        options.models, options.sizes, options.batches, options.precisions, options.modes, repeats=options.repeats
    )
    if options.json:
        print(json.dumps({"machine": machine, "peak_flops": peaks, "speeds": [asdict(row) for row in rows]}, indent=2))
    else:
        print(", ".join(f"{name}: {peak / 1e12:.3g} TFLOP/s" for name, peak in peaks.items()))
        print(speed_table(rows))


if __name__ == "__main__":
    main()
