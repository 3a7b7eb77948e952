"""`run.json`: what a run was asked to do, so that the same command continues it and another is refused."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cluster.storage.stores import Storage
from colorize_core import __version__
from colorize_core.errors import UserError

RUN_FILE = "run.json"
_PACKAGES = ("ray", "torch", "torchvision", "pyarrow", "numpy", "pillow")


def begin_run(
    output: Storage,
    verb: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    may_change: tuple[str, ...],
    *,
    anew: bool = False,
) -> dict[str, Any]:
    """Start a run in `output`, or continue the one there.

    Args:
        output: where the run lives.
        verb: the job.
        config: resolved configuration.
        inputs: fingerprints of what it works from (shards, checkpoint).
        may_change: keys, or sections by their first part, that may differ when a run is continued.
        anew: begin another run in place of the one there.

    Returns:
        The record, written to run.json.

    Raises:
        UserError: the output holds another run, or something else; the line names every difference.
    """
    record = {
        "verb": verb,
        "status": "running",
        "started": now(),
        "config": dict(config),
        "inputs": dict(inputs),
        "versions": versions(),
    }
    if output.exists(RUN_FILE):
        earlier = json.loads(output.read(RUN_FILE))
        if earlier.get("verb") != verb:
            raise UserError(f"{output.uri}: holds a run of {earlier.get('verb')!r}, not {verb!r}; use another output")
        if not anew:
            _refuse_changes(output, earlier, record, may_change)
            record["started"] = earlier["started"]
    elif not all(entry.key.startswith("_state/") for entry in output.list()):
        raise UserError(f"{output.uri}: the output is not empty and holds no {verb} run; use another output")
    write_record(output, record)
    return record


def write_record(output: Storage, record: Mapping[str, Any]) -> None:
    """Write run.json, whole."""
    output.write(RUN_FILE, json.dumps(record, indent=2, ensure_ascii=False).encode(), "application/json")


def _refuse_changes(
    output: Storage, earlier: Mapping[str, Any], record: Mapping[str, Any], may_change: tuple[str, ...]
) -> None:
    before, after = flatten(earlier["config"]), flatten(record["config"])
    before |= {f"contents of {name}": value for name, value in earlier["inputs"].items()}
    after |= {f"contents of {name}": value for name, value in record["inputs"].items()}
    changes = [
        f"{key} {_short(before.get(key))} -> {_short(after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.startswith(may_change)
    ]
    if changes:
        raise UserError(
            f"{output.uri}: the run there was begun with another configuration ({', '.join(changes)}); "
            "restore it to continue, or use another output"
        )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."


def versions() -> dict[str, str]:
    """Versions of what computes the results."""
    known = {"python": platform.python_version(), "colorize": __version__}
    return known | {package: _version(package) for package in _PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def now() -> str:
    """The time, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
