"""The command line: `colorize VERB [--config FILE] [key=value ...]`, the same as `python -m jobs.VERB ...`.

Exit codes: 0 done; 1 the job failed; 2 bad usage or configuration; 3 done, but more inputs failed than allowed.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from cluster.config.command_line import DONE as DONE
from cluster.config.command_line import EXIT_CODES, JOB_FLAGS, complain, help_text, split_arguments
from cluster.config.command_line import FAILED as FAILED
from cluster.config.command_line import TOO_MANY_FAILED as TOO_MANY_FAILED
from cluster.config.command_line import USAGE as USAGE
from cluster.config.loading import to_yaml
from cluster.errors import ClusterError, ConfigError
from colorize_core.errors import UserError
from jobs.command.causes import root_cause
from jobs.command.config import AnyConfig

VERBS = {
    "prepare": "photographs to Lab shards for training",
    "train": "shards to a checkpoint, with Ray Train",
    "evaluate": "checkpoints against test shards: table, intervals, sample grid",
    "archive": "an archive of gray photographs to colour, with Ray Data",
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


def run_job(
    verb: str,
    config_class: type[AnyConfig],
    run: Callable[[AnyConfig, bool], int],
    plan: Callable[[AnyConfig], str],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse a job's arguments, run it, and turn whatever happens into an exit code.

    Args:
        verb: name of the job.
        config_class: its configuration.
        run: the job; takes the configuration and whether to be verbose, returns the exit code.
        plan: says in words what would run, for --dry-run; raises UserError as the job would.
        arguments: the command line after the verb; sys.argv when None.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "-h" in arguments or "--help" in arguments:
        print(
            help_text(
                f"colorize {verb} [--config FILE.yaml] [key=value ...] [--dry-run] [--verbose]", config_class, JOB_FLAGS
            )
        )
        return DONE
    try:
        file, overrides, flags = split_arguments(arguments)
        config = config_class.load(file, overrides)
        if "--dry-run" in flags:
            print(f"{to_yaml(config)}\n{plan(config)}")
            return DONE
        return run(config, "--verbose" in flags)
    except (UserError, ConfigError) as error:
        return complain(str(error))
    except ClusterError as error:
        return complain(str(error), FAILED)
    except KeyboardInterrupt:
        return complain("interrupted; the same command continues", FAILED)
    except Exception as error:
        return _failed(error, verbose="--verbose" in arguments)


def run_command(
    parser: argparse.ArgumentParser, action: Callable[[argparse.Namespace], None], arguments: Sequence[str] | None
) -> int:
    """Parse the arguments of a verb without configuration, run it, and turn whatever happens into an exit code."""
    try:
        action(parser.parse_args(arguments))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    except UserError as error:
        return complain(str(error))
    except ClusterError as error:
        return complain(str(error), FAILED)
    except KeyboardInterrupt:
        return complain("interrupted", FAILED)
    return DONE


def _failed(error: Exception, verbose: bool) -> int:
    """Report a failure of the job; mistakes of the user's that surfaced inside Ray are told as such."""
    if verbose:
        raise error
    cause = root_cause(error)
    if isinstance(cause, UserError):
        return complain(str(cause))
    reason = (str(cause).strip().splitlines() or [""])[-1][:300]
    return complain(f"failed: {type(cause).__name__}: {reason} (--verbose shows the log)", FAILED)


if __name__ == "__main__":
    sys.exit(main())
