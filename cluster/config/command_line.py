"""What every command of the project shares: its exit codes, how arguments are read, what --help says."""

import shutil
import sys
import textwrap
from collections import deque
from collections.abc import Collection, Sequence

from pydantic import BaseModel

from cluster.config.loading import describe
from cluster.errors import ConfigError

DONE, FAILED, USAGE, TOO_MANY_FAILED = 0, 1, 2, 3

JOB_FLAGS = {"--dry-run": "print the resolved configuration and what would run", "--verbose": "show Ray's log"}
"""Flags of jobs, with what `--help` says of them."""
EXIT_CODES = "Exit codes: 0 done; 1 failed; 2 bad usage or config; 3 done, but too many inputs failed."


def complain(message: str, code: int = USAGE) -> int:
    """Print one line for the user and pass the exit code on."""
    print(f"colorize: {' '.join(message.split())}", file=sys.stderr)
    return code


def split_arguments(
    arguments: Sequence[str], known_flags: Collection[str] = tuple(JOB_FLAGS)
) -> tuple[str | None, list[str], set[str]]:
    """Arguments to (configuration file, key=value overrides, flags); raises ConfigError."""
    file: str | None = None
    overrides: list[str] = []
    flags: set[str] = set()
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        if argument == "--config" or argument.startswith("--config="):
            file = argument.partition("=")[2] or (rest.popleft() if rest else None)
            if not file:
                raise ConfigError("--config needs a file")
        elif argument in known_flags:
            flags.add(argument)
        elif argument.startswith("--"):
            overrides.append(_as_override(argument, rest))
        elif argument.startswith("-"):
            raise ConfigError(f"unknown option {argument}; keys are given as key=value, see --help")
        else:
            overrides.append(argument)
    return file, overrides, flags


def _as_override(option: str, rest: deque[str]) -> str:
    """--some-key, --some-key VALUE or --some-key=VALUE as some_key=VALUE; without a value it is switched on."""
    name, separator, value = option.removeprefix("--").partition("=")
    if not separator:
        value = rest.popleft() if rest and not rest[0].startswith("-") and "=" not in rest[0] else "true"
    return f"{name.replace('-', '_')}={value}"


def help_text(usage: str, model: type[BaseModel], flags: dict[str, str]) -> str:
    """What a command does, every key of its configuration, its flags, and the exit codes."""
    width = min(shutil.get_terminal_size().columns, 110)
    lines = [f"usage: {usage}", "", *textwrap.wrap(" ".join((model.__doc__ or "").split()), width), "", "keys:"]
    for key, meaning in describe(model):
        lines.append(f"  {key}")
        lines += textwrap.wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += ["", *(f"{flag:{max(map(len, flags))}}   {meaning}" for flag, meaning in flags.items())]
    return "\n".join([*lines, "", EXIT_CODES])
