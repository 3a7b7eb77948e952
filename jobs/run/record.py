"""`run.json`: the record of a run, by which the same command continues it and a different one is refused."""

import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from cluster.config.keys import changeable_keys, default_values
from cluster.storage.stores import Storage
from colorize_core.errors import UserError
from colorize_core.formatting import flatten

RUN_FILE = "run.json"
_PACKAGES = ("colorize", "ray", "torch", "torchvision", "pyarrow", "numpy", "pillow", "openvino")
_MAX_VALUE_CHARACTERS = 40


def begin_run(
    output: Storage, verb: str, config: BaseModel, inputs: Mapping[str, str], *, changeable: Iterable[str] = ()
) -> dict[str, Any]:
    """Start a run in `output`, or continue the run there: write its record; see `check_run`."""
    record = check_run(output, verb, config, inputs, changeable=changeable)
    write_record(output, record)
    return record


def check_run(
    output: Storage,
    verb: str,
    config: BaseModel,
    inputs: Mapping[str, str],
    *,
    changeable: Iterable[str] = (),
    new_run: bool = False,
) -> dict[str, Any]:
    """Check that a run may start in `output`, or continue the run there; nothing is written.

    Args:
        output: location of the run.
        verb: name of the job.
        config: resolved configuration. Fields marked `CHANGEABLE` may differ from those of the run to be continued.
        inputs: fingerprints of the inputs (shards, checkpoint).
        changeable: further dotted keys or sections that may differ.
        new_run: replace the run in `output`.

    Returns:
        The record for run.json.

    Raises:
        UserError: the output holds a different run, or other files; the message names every difference.
    """
    record = {
        "verb": verb,
        "status": "running",
        "started": now(),
        "config": config.model_dump(mode="json"),
        "inputs": dict(inputs),
        "versions": versions(),
    }
    if output.exists(RUN_FILE):
        earlier = json.loads(output.read(RUN_FILE))
        if earlier.get("verb") != verb:
            raise UserError(
                f"{output.uri}: contains a run of {earlier.get('verb')!r}, not {verb!r}; use another output"
            )
        if not new_run:
            earlier["config"] = _with_new_keys(earlier["config"], type(config))
            _refuse_changes(output, earlier, record, [*changeable_keys(type(config)), *changeable])
            record["started"] = earlier["started"]
    elif not all(entry.key.startswith("_state/") for entry in output.list()):
        raise UserError(f"{output.uri}: the output is not empty and contains no {verb} run; use another output")
    return record


def write_record(output: Storage, record: Mapping[str, Any]) -> None:
    """Write run.json as one object."""
    output.write(RUN_FILE, json.dumps(record, indent=2, ensure_ascii=False).encode(), "application/json")


def _with_new_keys(config: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Add the keys that did not exist in the version which started the run: they had the effect of their defaults."""
    values = flatten(config)
    paths = {".".join(key.split(".")[: depth + 1]) for key in values for depth in range(key.count(".") + 1)}
    return {key: value for key, value in default_values(model).items() if key not in paths} | values


def _refuse_changes(
    output: Storage, earlier: Mapping[str, Any], record: Mapping[str, Any], changeable: list[str]
) -> None:
    before, after = flatten(earlier["config"]), flatten(record["config"])
    before |= {f"contents of {name}": value for name, value in earlier["inputs"].items()}
    after |= {f"contents of {name}": value for name, value in record["inputs"].items()}
    allowed = tuple(f"{key}." for key in changeable)
    changes = [
        f"{key} {_shorten(before.get(key))} -> {_shorten(after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not f"{key}.".startswith(allowed)
    ]
    if changes:
        raise UserError(
            f"{output.uri}: the run there has a different configuration ({', '.join(changes)}); restore these values "
            f"to continue it, or use another output; only {', '.join(changeable)} may change"
        )


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE_CHARACTERS else f"{text[: _MAX_VALUE_CHARACTERS - 3]}..."


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results."""
    return {"python": platform.python_version()} | {package: _version(package) for package in _PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a working directory, as `ray job submit` does
        return "not installed"


def now() -> str:
    """Return the current time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
