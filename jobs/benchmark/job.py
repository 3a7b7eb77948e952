"""`colorize benchmark archive|train|prepare|model`: how fast this machine is, where the time goes, what to change."""

import importlib
import sys
from collections.abc import Sequence

from cluster.config.command_line import DONE, USAGE, complain
from jobs.benchmark import config as benchmark_config
from jobs.command.runner import run_job

KINDS = {
    "archive": "the real job, beside the loops of known projects and the limit of the kernels",
    "train": "the real job, beside the tutorials' loop and the bare step",
    "prepare": "the real job, beside a loop with scikit-image",
    "model": "forward passes and training steps by size, batch and precision",
}
_CONFIGS = {
    "archive": benchmark_config.ArchiveBenchmark,
    "train": benchmark_config.TrainBenchmark,
    "prepare": benchmark_config.PrepareBenchmark,
    "model": benchmark_config.ModelBenchmark,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return DONE if arguments else USAGE
    kind, rest = arguments[0], arguments[1:]
    if kind not in KINDS:
        return complain(f"benchmark {kind!r}: unknown; benchmarks are {', '.join(KINDS)}")
    job = importlib.import_module(f"jobs.benchmark.{kind}")
    return run_job(f"benchmark {kind}", _CONFIGS[kind], job.run, job.plan, rest)


def _overview() -> str:
    width = max(map(len, KINDS))
    kinds = "\n".join(f"  {kind:{width}}  {what}" for kind, what in KINDS.items())
    return (
        "usage: colorize benchmark KIND [--config FILE.yaml] [key=value ...] [--dry-run] [--verbose]\n\n"
        f"{kinds}\n\n`colorize benchmark KIND --help` lists every key. Nothing else should run meanwhile."
    )
