"""Whether a job's files can be read and written, tried: by this process, and on every other node."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from cluster.errors import ClusterError
from cluster.nodes.query import Node, ask_nodes
from cluster.storage.stores import LocalStorage, S3Storage, Storage
from jobs.doctor.checks import Finding, check_answers
from jobs.run.requirements import PUBLISHED_FILES, PretrainedWeights, Requirements

_ATTEMPTS = 2
_ADVICE = (
    (
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "nable to locate credentials"),
        "give the machine credentials: the role of the instance, or AWS_* in the environment that Ray was started in",
    ),
    (("AccessDenied", "403", "Forbidden"), "allow what docs/guides/archives.md lists under Permissions"),
    (("NoSuchBucket",), "make the bucket, or mend its name"),
    (("RequestTimeTooSkewed",), "set the machine's clock by NTP"),
    (("onnect", "imeout"), "check storage.endpoint, and that the network lets the machine reach it"),
    (("Permission denied", "Read-only"), "let the user that runs the job write there, or use another output"),
    (("Not a directory", "File exists"), "a file lies where a folder must be: move it, or use another output"),
    (("No space left",), "free some of that disk, or use another output"),
    (("not shared",), "use s3://, or a folder that every node mounts at the same path"),
)


def check_storage(requirements: Requirements, others: Sequence[Node], seconds: float) -> list[Finding]:
    """Read and write as the job will.

    An object below OUTPUT/_state is written here, read and answered by the other nodes, and deleted.

    Args:
        requirements: of the job.
        others: nodes besides the one this process runs on.
        seconds: after which a node counts as one that does not answer.
    """
    reads, faults = _find_files(requirements.reads)
    writes = {key: _impatient(store) for key, store in requirements.writes.items()}
    with _marks(writes) as (mark, unwritable):
        faults |= unwritable
        reads = {key: each for key, each in reads.items() if key not in faults}
        writes = {key: each for key, each in writes.items() if key not in faults}
        answers = ask_nodes(others, probe, reads, writes, mark, seconds=seconds)
    findings = check_answers(answers)
    for key, store in {**{key: store for key, (store, _) in requirements.reads.items()}, **requirements.writes}.items():
        done = "written" if key in requirements.writes else "read"
        there = {answer.node.name: answer.value[key] for answer in answers if not answer.fault and key in answer.value}
        if key in faults:
            fault = faults[key].removeprefix(f"{store.uri}: ")
            findings.append(_finding(key, f"{store.uri} cannot be {done} here: {fault}", fault))
        elif there:
            name, fault = next(iter(there.items()))
            more = f" (and on {len(there) - 1} other nodes)" if len(there) > 1 else ""
            findings.append(_finding(key, f"{store.uri} cannot be {done} on {name}{more}: {fault}", fault))
        else:
            where = f" here and on {len(others)} other node{'s' * (len(others) > 1)}" if others else ""
            findings.append(Finding(key, "ok", f"{store.uri} can be {done}{where}"))
    return findings


def _finding(key: str, said: str, fault: str) -> Finding:
    advice = next((advice for words, advice in _ADVICE if any(word in fault for word in words)), "mend the location")
    return Finding(key, "fail", said, advice)


def probe(reads: Mapping[str, tuple[Storage, str]], writes: Mapping[str, Storage], mark: str) -> dict[str, str]:
    """What another node can not do, by key: read each file, read the driver's mark, write and delete one of its own."""

    def read(store: Storage, file: str) -> None:
        try:
            store.read(file)
        except FileNotFoundError:
            if isinstance(store, LocalStorage):
                raise OSError("the folder is not shared with that machine") from None
            raise

    def answer(store: Storage) -> None:
        read(store, mark)
        _write_and_delete(store, f"{mark}-{uuid4().hex}")

    faults = {key: _fault(read, *each) for key, each in reads.items()}
    faults |= {key: _fault(answer, store) for key, store in writes.items()}
    return {key: fault for key, fault in faults.items() if fault}


def _find_files(
    reads: Mapping[str, tuple[Storage, str | None]],
) -> tuple[dict[str, tuple[Storage, str]], dict[str, str]]:
    """A file of each store that this process has read, and the faults of the others by key."""
    found: dict[str, tuple[Storage, str]] = {}
    faults = {}

    def find(key: str, store: Storage, file: str | None) -> None:
        name = file or next((entry.key for entry in store.list()), None)
        if name is None:
            raise OSError("there are no files")
        store.read(name)
        found[key] = (store, name)

    for key, (store, file) in reads.items():
        if fault := _fault(find, key, _impatient(store), file):
            faults[key] = fault
    return found, faults


@contextmanager
def _marks(stores: Mapping[str, Storage]) -> Iterator[tuple[str, dict[str, str]]]:
    """Keep an object in every store for the duration of a block; gives its key, and faults by the stores' names.

    Folders that were made for it go with it.
    """
    mark = f"_state/doctor-{uuid4().hex}"
    made = [folder for store in stores.values() for folder in _missing_folders(store)]
    try:
        faults = {key: _fault(store.write, mark, b"doctor") for key, store in stores.items()}
        for key, store in stores.items():
            faults[key] = faults[key] or _fault(store.read, mark)
        yield mark, {key: fault for key, fault in faults.items() if fault}
    finally:
        for store in stores.values():
            with suppress(OSError):
                store.delete(mark)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def _missing_folders(store: Storage) -> list[Path]:
    """Those that a mark would have to be given, the deepest first."""
    if not isinstance(store, LocalStorage):
        return []
    state = Path(store.root) / "_state"
    return [folder for folder in (state, *state.parents) if not os.path.lexists(folder)]


def _write_and_delete(store: Storage, key: str) -> None:
    store.write(key, b"doctor")
    store.read(key)
    store.delete(key)


def _fault(action: Callable[..., Any], *arguments: Any) -> str:
    """Why an action failed, in a line; empty where it did not."""
    try:
        action(*arguments)
    except (OSError, ClusterError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return " ".join(reason.split())[:200]
    return ""


def _impatient(store: Storage) -> Storage:
    """The same store, with few tries of each request: what a job rides out, a check may tell."""
    if isinstance(store, LocalStorage):
        return store
    options = store.options.model_copy(update={"max_attempts": _ATTEMPTS})
    return S3Storage(store.bucket, store.prefix, options)


def check_weights(requirements: Requirements, nodes: Sequence[Node], seconds: float) -> list[Finding]:
    """Whether the files of weights that workers load are at hand on every node."""
    if not requirements.weights:
        return []
    answers = ask_nodes(nodes, missing_weights, requirements.weights, seconds=seconds)
    findings = check_answers(answers)
    for key, weights in requirements.weights.items():
        lacking = [answer.node.name for answer in answers if not answer.fault and key in answer.value]
        what = weights.location or f"the published {weights.published}"
        if not lacking:
            findings.append(Finding(key, "ok", f"{what} is at hand"))
        elif weights.location:
            said = f"{what} is not on {', '.join(lacking[:3])}"
            findings.append(Finding(key, "fail", said, "put it there under the same path, or give an s3:// URI"))
        else:
            said = f"{what} is not in the cache of {', '.join(lacking[:3])} and will be downloaded"
            advice = f"where there is no internet, give {key}=PATH to torchvision's or torch-fidelity's file"
            findings.append(Finding(key, "warn", said, advice))
    return findings


def missing_weights(weights: Mapping[str, PretrainedWeights]) -> list[str]:
    """Keys of weights that are not on this machine; URIs count as being everywhere."""
    from torch import hub

    cache = os.path.join(hub.get_dir(), "checkpoints")
    missing = []
    for key, each in weights.items():
        path = each.location or os.path.join(cache, PUBLISHED_FILES[each.published])
        if "://" not in path and not os.path.isfile(path):
            missing.append(key)
    return missing
