"""Run a verb from the command line."""

import sys
from collections.abc import Mapping, Sequence

from cluster.config.command_line import DONE, EXIT_CODES, HELP, USAGE, complain, run_command, show
from colorize_core import __version__
from jobs.command.verb import VERBS, VerbEntry, load_verb, suggest

_OPTIONS = "[--config FILE.yaml] [key=value ...] [--dry-run] [--verbose]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `colorize VERB ...` and return the exit code; the arguments are those of the process when None."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in (*HELP, "help"):
        show(_overview(f"VERB {_OPTIONS}", VERBS, f"`colorize VERB --help` lists every key. {EXIT_CODES}"))
        return DONE if words else USAGE
    if words[0] in ("-V", "--version"):
        return show(f"colorize {__version__}")
    if words[0] not in VERBS:
        return complain(f"unknown verb {words[0]!r}; {suggest(words[0], VERBS)}")
    return run_verb(words[0], words[1:])


def run_verb(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit code; the arguments are those of the process when None."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    kinds = VERBS[name].kinds
    if kinds:
        if not words or words[0] in HELP:
            show(_overview(f"{name} KIND {_OPTIONS}", kinds, f"`colorize {name} KIND --help` lists every key."))
            return DONE if words else USAGE
        kind = words.pop(0)
        if kind not in kinds:
            return complain(f"{name} {kind!r}: unknown; {suggest(kind, kinds)}")
        name = f"{name} {kind}"
    return run_command(name, load_verb(name), words)


def _overview(usage: str, entries: Mapping[str, VerbEntry], end: str) -> str:
    width = max(map(len, entries))
    lines = "\n".join(f"  {name:{width}}  {entry.purpose}" for name, entry in entries.items())
    return f"usage: colorize {usage}\n\n{lines}\n\n{end}"
