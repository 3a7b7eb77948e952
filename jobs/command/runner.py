"""Run a verb: parse its arguments, and turn whatever happens into an exit code and one line."""

import argparse
import sys
from collections.abc import Callable, Sequence

from cluster.config.command_line import DONE, FAILED, JOB_FLAGS, USAGE, complain, help_text, split_arguments
from cluster.config.loading import to_yaml
from cluster.errors import ClusterError, ConfigError
from colorize_core.errors import UserError
from jobs.command.config import AnyConfig
from jobs.command.errors import root_cause


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
