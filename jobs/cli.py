"""The command line: `colorize VERB [--config FILE] [key=value ...]`, the same as `python -m jobs.VERB ...`.

Exit codes: 0 done; 1 the job failed; 2 bad usage or configuration; 3 done, but more inputs failed than allowed.
"""

import argparse
import importlib
import shutil
import sys
import textwrap
from collections import deque
from collections.abc import Callable, Sequence

from cluster.errors import ClusterError
from colorize_core.errors import UserError
from jobs.causes import root_cause
from jobs.config import AnyConfig, describe, to_yaml

DONE, FAILED, USAGE, TOO_MANY_FAILED = 0, 1, 2, 3

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
}

_MODULES = {"import": "import_weights"}  # where a verb's name cannot be a module's

_EXIT_CODES = "Exit codes: 0 done; 1 failed; 2 bad usage or config; 3 done, but too many inputs failed."


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the `colorize` console script; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return DONE if arguments else USAGE
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        return complain(f"unknown verb {verb!r}; verbs are {', '.join(VERBS)}")
    return importlib.import_module(f"jobs.{_MODULES.get(verb, verb)}").main(rest)


def _overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {purpose}" for verb, purpose in VERBS.items())
    return (
        "usage: colorize VERB [--config FILE.yaml] [key=value ...] [--dry-run] [--verbose]\n\n"
        f"{verbs}\n\n`colorize VERB --help` lists every key. {_EXIT_CODES}"
    )


def complain(message: str, code: int = USAGE) -> int:
    """Print one line for the user and pass the exit code on."""
    print(f"colorize: {' '.join(message.split())}", file=sys.stderr)
    return code


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
        print(_job_help(verb, config_class))
        return DONE
    try:
        file, overrides, flags = split_arguments(arguments)
        config = config_class.load(file, overrides)
        if "--dry-run" in flags:
            print(f"{to_yaml(config)}\n{plan(config)}")
            return DONE
        return run(config, "--verbose" in flags)
    except UserError as error:
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


def split_arguments(arguments: Sequence[str]) -> tuple[str | None, list[str], set[str]]:
    """Arguments to (configuration file, key=value overrides, flags)."""
    file: str | None = None
    overrides: list[str] = []
    flags: set[str] = set()
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        if argument == "--config" or argument.startswith("--config="):
            file = argument.partition("=")[2] or (rest.popleft() if rest else None)
            if not file:
                raise UserError("--config needs a file")
        elif argument in ("--dry-run", "--verbose"):
            flags.add(argument)
        elif argument.startswith("--"):
            overrides.append(_as_override(argument, rest))
        elif argument.startswith("-"):
            raise UserError(f"unknown option {argument}; keys are given as key=value, see --help")
        else:
            overrides.append(argument)
    return file, overrides, flags


def _as_override(option: str, rest: deque[str]) -> str:
    """--some-key, --some-key VALUE or --some-key=VALUE as some_key=VALUE; without a value it is switched on."""
    name, separator, value = option.removeprefix("--").partition("=")
    if not separator:
        value = rest.popleft() if rest and not rest[0].startswith("-") and "=" not in rest[0] else "true"
    return f"{name.replace('-', '_')}={value}"


def _job_help(verb: str, config_class: type[AnyConfig]) -> str:
    width = min(shutil.get_terminal_size().columns, 110)
    lines = [
        f"usage: colorize {verb} [--config FILE.yaml] [key=value ...] [--dry-run] [--verbose]",
        "",
        *textwrap.wrap(" ".join((config_class.__doc__ or "").split()), width),
        "",
        "keys:",
    ]
    for key, meaning in describe(config_class):
        lines.append(f"  {key}")
        lines += textwrap.wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += ["", "--dry-run   print the resolved configuration and what would run", "--verbose   show Ray's log"]
    return "\n".join([*lines, "", _EXIT_CODES])


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
