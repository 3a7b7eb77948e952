"""`colorize submit FILE.yaml [key=value ...]`: check a verb's configuration here, then run it as a job on a cluster."""

import logging
import sys
from collections.abc import Container, Mapping
from pathlib import Path

from cluster.config.loading import read_yaml
from cluster.config.placeholders import placeholders_in
from cluster.errors import ConfigError
from cluster.nodes.facts import source_hash
from cluster.submit import command
from cluster.submit.config import SubmitConfig, key_arguments
from cluster.submit.upload import Package
from colorize_core.formatting import flatten
from jobs.command.config import UPLOADED
from jobs.command.runner import run_verb
from jobs.command.verb import Verb, load_verb, suggest, verb_names

CONFIG = SubmitConfig

_log = logging.getLogger(__name__)


def plan(config: SubmitConfig) -> str:
    """Describe what would be uploaded and run, without connecting to the cluster; raises UserError as `run` would."""
    return command.plan(config, _check(config))


def run(config: SubmitConfig, verbose: bool = False) -> int:
    """Check the configuration of the job, upload, submit and follow it; returns its exit code."""
    return command.run(config, _check(config))


def _check(config: SubmitConfig) -> Package | None:
    command.use_token()  # the rest of the check imports Ray, to count the upload
    package = command.check_upload(config)
    check_job(config)
    return package


def check_job(config: SubmitConfig) -> None:
    """Raise UserError if the job would refuse its command line: an unknown key, a bad value, a key that is missing."""
    if config.follow:
        return
    if config.verb is None:
        _require_no_placeholders({"command": config.command})
        return
    verb = _load(config.verb)
    _require_no_placeholders({f"keys.{name}": value for name, value in flatten(config.keys).items()})
    if _has_other_code(config.working_dir):
        _log.warning("the keys of %s are not checked here: %s has other code", config.verb, config.working_dir)
        return
    if config.config is None:
        _check_keys(config, verb, None)
        return
    file = Path(config.working_dir or ".") / config.config  # an absolute path replaces the folder
    if file.is_file():
        _require_no_placeholders(flatten(read_yaml(str(file))), f"{file}: ", but_not=flatten(config.keys))
        _check_keys(config, verb, str(file))
    elif file.is_absolute() or config.working_dir is None:
        _log.warning("the keys of %s are not checked here: %s is on the cluster", config.verb, config.config)


def _load(name: str) -> Verb:
    """Import a verb; raises ConfigError for an unknown one."""
    if name in verb_names():
        return load_verb(name)
    raise ConfigError(f"verb = {name!r}: unknown; {suggest(name, verb_names())}")


def _check_keys(config: SubmitConfig, verb: Verb, file: str | None) -> None:
    context = UPLOADED if config.working_dir is not None else None
    verb.CONFIG.load(file, key_arguments(config.keys), source=f"keys of {config.verb}", context=context)


def _require_no_placeholders(values: Mapping[str, object], where: str = "", but_not: Container[str] = ()) -> None:
    """Raise ConfigError if a value, other than those of the keys `but_not`, has a placeholder of an example file."""
    for name, value in values.items():
        if name not in but_not and (found := placeholders_in(str(value))):
            raise ConfigError(f"{where}{name} = {value!r}: replace {found[0]} with your own")


def _has_other_code(working_dir: str | None) -> bool:
    """Return True if the upload has packages of this project that differ from those of this process."""
    if working_dir is None or not (Path(working_dir) / "jobs" / "cli.py").is_file():
        return False
    return source_hash(working_dir) != source_hash()


if __name__ == "__main__":
    sys.exit(run_verb("submit"))
