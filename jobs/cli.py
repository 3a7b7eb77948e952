"""The command line: `colorize VERB [--config FILE] [key=value ...]`, the same as `python -m jobs.VERB ...`.

Exit codes: 0 done; 1 the job failed; 2 bad usage or configuration; 3 done, but more inputs failed than allowed.
"""

import importlib
import sys
from collections.abc import Sequence

from cluster.config.command_line import DONE as DONE
from cluster.config.command_line import EXIT_CODES, complain
from cluster.config.command_line import FAILED as FAILED
from cluster.config.command_line import TOO_MANY_FAILED as TOO_MANY_FAILED
from cluster.config.command_line import USAGE as USAGE
from colorize_core import __version__

VERBS = {
    "prepare": "photographs to Lab shards for training",
    "train": "shards to a checkpoint, with Ray Train",
    "evaluate": "checkpoints against test shards: table, intervals, sample grid",
    "archive": "an archive of gray photographs to color, with Ray Data",
    "report": "a web page of an archive run or an evaluation; blind ratings to preference rates",
    "photo": "one picture, without starting Ray",
    "import": "weights published elsewhere to a checkpoint",
    "export": "a checkpoint to ONNX or torch.export",
    "recipe": "prepare, train in stages, evaluate: one row of a paper's table from one file",
    "sweep": "one training run for each combination of values: table and curves",
    "benchmark": "how fast this machine is, where the time goes, what to change",
    "doctor": "what a job needs of this machine or cluster, checked, and what to mend",
    "demo": "prepare, train, archive and evaluate on sample photographs, in a few minutes",
    "submit": "one of these as a job on a Ray cluster, from one file",
}

_MODULES = {"import": "jobs.import_weights", "submit": "cluster.submit.command"} | {
    verb: f"jobs.{verb}.job" for verb in ("archive", "prepare", "train", "evaluate", "sweep", "doctor", "benchmark")
}
"""Modules of verbs that are not `jobs.VERB`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the `colorize` console script; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return DONE if arguments else USAGE
    if arguments[0] in ("-V", "--version"):
        print(f"colorize {__version__}")
        return DONE
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        return complain(f"unknown verb {verb!r}; verbs are {', '.join(VERBS)}")
    return importlib.import_module(_MODULES.get(verb, f"jobs.{verb}")).main(rest)


def _overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {purpose}" for verb, purpose in VERBS.items())
    return (
        "usage: colorize VERB [--config FILE.yaml] [key=value ...] [--dry-run] [--verbose]\n\n"
        f"{verbs}\n\n`colorize VERB --help` lists every key. {EXIT_CODES}"
    )


if __name__ == "__main__":
    sys.exit(main())
