"""The files for clusters, read as those who apply them would read them."""

import re
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name

from colorize_core import __version__
from jobs.archive.config import ArchiveConfig
from jobs.command.config import VerbConfig
from jobs.prepare.config import PrepareConfig
from jobs.train.config import TrainConfig

ROOT = Path(__file__).parents[3]
HERE = ROOT / "cluster" / "deploy"
CONFIGS: dict[str, type[VerbConfig]] = {"train": TrainConfig, "archive": ArchiveConfig, "prepare": PrepareConfig}
_UNITS = {"": 1, "m": 1e-3, "G": 1e9, "Gi": 2**30, "Mi": 2**20}


def read(name: str) -> dict[str, Any]:
    """The one document of a YAML file below cluster/."""
    return yaml.safe_load((HERE / name).read_text())


@cache
def pinned(package: str) -> str:
    """The version of a package in constraints.txt."""
    lines = [line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines()]
    (version,) = (version for name, _, version in lines if canonicalize_name(name) == canonicalize_name(package))
    return version


def image() -> str:
    """Name and tag that the image has before somebody pushes it."""
    return f"colorize:{__version__}"


def amount(quantity: str | int) -> float:
    """A quantity of Kubernetes' as a number."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(quantity)).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]


def command_config(command: str | Iterable[str], folder: str) -> VerbConfig:
    """The configuration that `python -m jobs.VERB ...` or `colorize VERB ...` would run with, by its own loader.

    Args:
        command: the command line.
        folder: what the image's folder of the checkout is called there.
    """
    words = shlex.split(command) if isinstance(command, str) else list(command)
    start = 3 if words[:2] == ["python", "-m"] else 2
    verb = words[start - 1].removeprefix("jobs.")
    file, keys = None, words[start:]
    if keys[:1] == ["--config"]:
        file, keys = keys[1].removeprefix(folder), keys[2:]
    return CONFIGS[verb].load(str(ROOT / file) if file else None, keys)


def assert_ray_start(command: str | Iterable[str]) -> dict[str, Any]:
    """Parse a `ray start ...` as Ray would; returns its options."""
    from ray.scripts.scripts import start

    words = shlex.split(command) if isinstance(command, str) else list(command)
    assert words[:2] == ["ray", "start"]
    return start.make_context("start", words[2:]).params


def secrets_in(value: Any, name: str = "") -> list[str]:
    """Names of what looks like a credential that is written out."""
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str) and "value" in value:
            return secrets_in(value["value"], value["name"])
        return [found for key, inner in value.items() for found in secrets_in(inner, str(key))]
    if isinstance(value, list):
        return [found for inner in value for found in secrets_in(inner, name)]
    text = str(value)
    is_secret = re.search(r"TOKEN|SECRET|PASSWORD|ACCESS_KEY", name) and not text.startswith("${")
    return [name] if is_secret or re.search(r"AKIA[0-9A-Z]{16}|(TOKEN|SECRET|PASSWORD)[A-Z_]*=", text) else []
