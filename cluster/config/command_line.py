"""The command line of every verb: reading of arguments, `--help`, exit codes and one-line errors."""

import json
import logging
import os
import re
import shutil
import signal
import sys
import textwrap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, get_origin

from cluster.config.keys import list_keys
from cluster.config.loading import Section, to_yaml
from cluster.errors import ClusterError, ConfigError
from cluster.log import LogOptions, logging_to
from cluster.ray_compat import root_cause
from cluster.signals import Terminated, sigterm_as_exception
from cluster.storage.advice import with_advice
from colorize_core.errors import UserError
from colorize_core.formatting import last_line

DONE, FAILED, USAGE, TOO_MANY_FAILED = 0, 1, 2, 3
INTERRUPTED, TERMINATED = 130, 143  # 128 + the number of the signal, as shells report it
EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 bad usage or config; 3 done, but too many inputs failed; 130 interrupted by "
    "Ctrl-C; 143 terminated by SIGTERM."
)
_TERMINATED = "terminated; the same command continues"
COMPLAINT = "colorize: "
"""Beginning of the line that says why a command failed."""
HELP = ("-h", "--help")

_log = logging.getLogger(__name__)
_FLAGS = {
    "--dry-run": "print the keys that differ from their defaults (with --verbose all keys) and what would run",
    "--verbose": "show debug messages, those of the workers, and Ray's log",
}
_KEY = re.compile(r"[A-Za-z_][\w.-]*=")
_MAX_ERROR_CHARACTERS = 300


class Command(Protocol):
    """What the command line can run; modules are objects of this type."""

    @property
    def CONFIG(self) -> type[Section]:
        """Configuration class of the command."""

    @property
    def run(self) -> Callable[..., int]:
        """Run the command: `run(config, verbose=False)` returns the exit code."""

    @property
    def plan(self) -> Callable[[Any], str]:
        """Describe what `run(config)` would do, for --dry-run; raises UserError as `run` would."""


def run_command(name: str, command: Command, arguments: Sequence[str]) -> int:
    """Parse the arguments of a command, run it, and turn every outcome into an exit code and one line.

    Args:
        name: words after `colorize` that select the command.
        command: what to run.
        arguments: words of the command line after the name.
    """
    if set(HELP) & set(arguments):
        return show(help_text(name, command.CONFIG))
    verbose = "--verbose" in arguments
    try:
        file, overrides, flags = split_arguments(arguments, command.CONFIG)
        config = command.CONFIG.load(file, overrides)
        if "--dry-run" in flags:
            return show(f"{to_yaml(config, with_defaults=verbose)}\n{command.plan(config)}")
        with sigterm_as_exception(), logging_to(getattr(config, "log", LogOptions()), verbose=verbose):
            return _run(name, command, config, verbose=verbose)
    except Terminated:
        return complain(_TERMINATED, TERMINATED)
    except KeyboardInterrupt:
        return complain("interrupted; the same command continues", INTERRUPTED)
    except SystemExit as error:
        if error.code != signal.SIGTERM:
            raise
        return complain(_TERMINATED, TERMINATED)  # by Ray's handler, while it starts
    except Exception as error:
        cause = root_cause(error)
        if isinstance(cause, UserError):
            return complain(str(cause))
        if isinstance(cause, ClusterError):
            return complain(str(cause), FAILED)
        if verbose:
            raise
        reason = last_line(cause, _MAX_ERROR_CHARACTERS)
        if isinstance(cause, OSError):
            reason = with_advice(reason)
        return complain(f"failed: {type(cause).__name__}: {reason} (--verbose shows the log)", FAILED)


def _run(name: str, command: Command, config: Section, *, verbose: bool) -> int:
    """Run a command and keep its outcome in the log file: an error with its traceback."""
    try:
        code = command.run(config, verbose)
    except BaseException:
        _log.debug("%s failed", name, exc_info=True)
        raise
    _log.debug("%s ended with exit code %d", name, code)
    return code


def show(text: str) -> int:
    """Print what was asked for and return the exit code; a reader, such as `head`, may end before the text does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end of the process
    return DONE


def complain(message: str, code: int = USAGE) -> int:
    """Print one line on stderr and return the exit code."""
    print(f"{COMPLAINT}{' '.join(message.split())}", file=sys.stderr)
    return code


def split_arguments(arguments: Sequence[str], model: type[Section]) -> tuple[str | None, list[str], set[str]]:
    """Split arguments into the configuration file, key=value overrides, and flags; raises ConfigError."""
    file: str | None = None
    overrides: list[str] = []
    flags: set[str] = set()
    words: list[str] = []
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        if argument == "--config" or argument.startswith("--config="):
            file = argument.partition("=")[2] or (rest.popleft() if rest else None)
            if not file:
                raise ConfigError("--config needs a file")
        elif argument in _FLAGS:
            flags.add(argument)
        elif argument.startswith("--"):
            overrides.append(_as_override(argument, rest, model))
        elif argument.startswith("-"):
            raise ConfigError(f"unknown option {argument}; keys are given as key=value, see --help")
        elif _KEY.match(argument) or not model.POSITIONAL:
            overrides.append(argument)
        else:
            words.append(argument)
    for key, value in _assign(words, model):
        if key == "--config":
            file = value
        else:
            overrides.append(f"{key}={value}")
    return file, overrides, flags


def _as_override(option: str, rest: deque[str], model: type[Section]) -> str:
    """Return --some-key, --some-key VALUE or --some-key=VALUE as some_key=VALUE, and take its values from `rest`.

    Without a value it is switched on. A key whose type is a list takes several words.
    """
    name, separator, value = option.removeprefix("--").partition("=")
    key = name.replace("-", "_")
    if separator:
        return f"{key}={value}"
    kind = _type_of(model, key)
    is_list = _is_list(kind)
    values: list[str] = []
    while rest and not rest[0].startswith("-") and not _KEY.match(rest[0]):
        if (kind is bool and rest[0] not in ("true", "false")) or (values and not is_list):
            break
        values.append(rest.popleft())
    if is_list and values and not values[0].startswith("["):
        return f"{key}={json.dumps(values)}"
    return f"{key}={values[0] if values else 'true'}"


def _assign(words: Sequence[str], model: type[Section]) -> Iterator[tuple[str, str]]:
    """Give words without a key to the positional keys, as YAML; raises ConfigError where there are too many."""
    given = deque(words)
    for key in model.POSITIONAL:
        if not given:
            return
        if key == "--config":
            yield key, given.popleft()
        elif _is_list(_type_of(model, key)):
            yield key, json.dumps(list(given))
            return
        else:
            yield key, json.dumps(given.popleft())
    if given:
        raise ConfigError(f"{given[0]!r}: unexpected word; further keys are given as key=value, see --help")


def _type_of(model: type[Section], key: str) -> Any:
    by_key = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    return by_key.get(key)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) in (list, tuple)


def usage(name: str, model: type[Section]) -> str:
    """Return the usage line of a command."""
    file = "" if "--config" in model.POSITIONAL else "[--config FILE.yaml]"
    words = ["colorize", name, *(_placeholder(model, key) for key in model.POSITIONAL), file, "[key=value ...]"]
    return " ".join([*filter(None, words), *(f"[{flag}]" for flag in _FLAGS)])


def _placeholder(model: type[Section], key: str) -> str:
    if key == "--config":
        return "[FILE.yaml]"
    word = key.upper() + (" ..." if _is_list(_type_of(model, key)) else "")
    return word if model.model_fields[key].is_required() else f"[{word}]"


def help_text(name: str, model: type[Section]) -> str:
    """Return the help of a command: its purpose, every key of its configuration, its flags, and the exit codes."""
    width = min(shutil.get_terminal_size().columns, 110)
    purpose = " ".join((model.__doc__ or "").split())
    lines = [f"usage: {usage(name, model)}", "", *textwrap.wrap(purpose, width), "", "keys:"]
    for key in list_keys(model):
        lines.append(f"  {key.name}")
        lines += textwrap.wrap(str(key), width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += ["", *(f"{flag:{max(map(len, _FLAGS))}}   {meaning}" for flag, meaning in _FLAGS.items())]
    return "\n".join([*lines, "", EXIT_CODES])
