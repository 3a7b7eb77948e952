"""Checks of what nodes report about themselves: pure functions from facts to findings."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluster.config.placeholders import placeholders_in
from cluster.nodes.query import Answer, Node
from colorize_core.formatting import format_bytes
from jobs.run.requirements import ResourceRequest

Verdict = Literal["ok", "warn", "fail"]
Facts = Mapping[str, Any]
"""Result of `cluster.nodes.facts.collect_node_facts` or `collect_cuda_facts`."""

PACKAGES = ("ray", "torch", "torchvision", "pyarrow", "numpy", "pillow")
_CODE = "the code of colorize"
_MUST_AGREE = ("ray", "python", _CODE)
_UPDATE_CODE = "submit the job with its code (--working-dir), or install the same version of colorize on every node"
_UPDATE_IMAGE = "use the same image on every node, or install the versions of constraints.txt on each"
_MIN_FREE_BYTES = 10e9
_SPILL_LIMIT = 0.95  # used fraction of the disk at which Ray stops spilling (local_fs_capacity_threshold)
_MIN_OPEN_FILES = 8192  # Ray's recommendation
_MAX_CLOCK_SECONDS = 60.0  # S3 rejects requests from 15 minutes on
_COMMENT = re.compile(r"(?:^|\s)#.*")


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    check: str
    verdict: Verdict
    message: str
    advice: str = ""
    """What to do if the verdict is not ok."""


def check_answers(answers: Sequence[Answer]) -> list[Finding]:
    """Return a failure for every node that did not answer."""
    return [
        Finding(
            "nodes",
            "fail",
            f"{answer.node.name}: {answer.fault}",
            "check that machine's load and its raylet.err; restart Ray there, or remove it from the cluster",
        )
        for answer in answers
        if answer.fault
    ]


def check_versions(facts: Mapping[str, Facts], mine: Facts) -> list[Finding]:
    """Check that every node runs the versions of this process: Ray, Python and the code must agree, others should.

    Args:
        facts: facts by name of the node.
        mine: facts of this process.
    """
    own = _versions(mine)
    findings = []
    for package, here in own.items():
        others: dict[str | None, list[str]] = defaultdict(list)
        for name, each in facts.items():
            if (there := _versions(each)[package]) != here:
                others[there].append(name)
        if others:
            different = "; ".join(f"{version or 'none'} on {_join(nodes)}" for version, nodes in others.items())
            verdict: Verdict = "fail" if package in _MUST_AGREE else "warn"
            advice = _UPDATE_CODE if package == _CODE else _UPDATE_IMAGE
            findings.append(Finding("versions", verdict, f"{package} is {here or 'none'} here, {different}", advice))
    if findings:
        return findings
    versions = ", ".join(f"{name} {own[name]}" for name in ("python", "ray", "torch"))
    return [Finding("versions", "ok", f"{versions}{' on every node' if len(facts) > 1 else ''}")]


def _versions(facts: Facts) -> dict[str, str | None]:
    code = facts["code"]
    python = ".".join(facts["python"].split(".")[:2])  # Ray and compiled packages depend on major and minor version
    return {"python": python, _CODE: code and code[:12], **facts["versions"]}


def check_machines(facts: Mapping[str, Facts], nodes: Mapping[str, Node]) -> list[Finding]:
    """Check disk, shared memory and limits of every node; both mappings are by name of the node."""
    return [
        _combine("disk", [_check_disk(name, each) for name, each in facts.items()]),
        _combine("shared memory", [_check_shared_memory(nodes[name], each) for name, each in facts.items()]),
        _combine("open files", [_check_open_files(name, each) for name, each in facts.items()]),
    ]


def _combine(check: str, findings: Sequence[Finding]) -> Finding:
    """Combine the findings of several nodes into one with the worst verdict and the messages of that verdict."""
    for verdict in ("fail", "warn"):
        if bad := [each for each in findings if each.verdict == verdict]:
            return Finding(check, bad[0].verdict, "; ".join(each.message for each in bad), bad[0].advice)
    return Finding(check, "ok", findings[0].message if len(findings) == 1 else f"enough on {len(findings)} nodes")


def _check_disk(name: str, facts: Facts) -> Finding:
    space = facts["disk"]
    if space is None:
        return Finding("disk", "warn", f"{name}: free space is unknown", "check it with df")
    message = f"{format_bytes(space['free'])} of {format_bytes(space['total'])} free for Ray's session on {name}"
    advice = (
        "free some space, or start Ray there with --temp-dir on a larger disk: objects that do not fit in memory "
        "are written there"
    )
    if 1 - space["free"] / space["total"] >= _SPILL_LIMIT:
        return Finding("disk", "fail", f"{message}; Ray stops writing to a disk that is 95 % full", advice)
    return Finding("disk", "warn" if space["free"] < _MIN_FREE_BYTES else "ok", message, advice)


def _check_shared_memory(node: Node, facts: Facts) -> Finding:
    needed = node.resources.get("object_store_memory", 0.0)
    space = facts["shared_memory"]
    total = space["total"] if space else 0
    message = f"{format_bytes(total)} in /dev/shm of {node.name} for an object store of {format_bytes(needed)}"
    if total >= needed:
        return Finding("shared memory", "ok", message)
    advice = f"start the container with --shm-size={needed * 1.3 / 1e9:.0f}gb, otherwise Ray keeps objects on disk"
    return Finding("shared memory", "warn", message, advice)


def _check_open_files(name: str, facts: Facts) -> Finding:
    limit = facts["open_files"]
    message = f"at most {limit} per process on {name}"
    advice = f"ulimit -n {_MIN_OPEN_FILES} before `ray start` (or --ulimit nofile={_MIN_OPEN_FILES} for a container)"
    return Finding("open files", "ok" if limit < 0 or limit >= _MIN_OPEN_FILES else "warn", message, advice)


def check_clocks(facts: Mapping[str, Facts], asked: float, answered: float) -> Finding:
    """Check that the clocks of nodes agree with this one's; S3 rejects requests with a wrong time.

    Args:
        facts: facts by name of the node.
        asked: time of the request, in seconds since 1970.
        answered: time of the last answer.
    """
    off = {}
    for name, each in facts.items():
        difference = max(each["time"] - answered, asked - each["time"])
        if difference > _MAX_CLOCK_SECONDS:
            off[name] = difference
    if not off:
        return Finding("clocks", "ok", f"agree within {max(answered - asked, 1):.0f} s")
    message = "; ".join(f"{name} is off by {seconds:.0f} s" for name, seconds in off.items())
    advice = "set the clock by NTP (timedatectl set-ntp true): S3 rejects requests that are 15 minutes off"
    return Finding("clocks", "warn", message, advice)


def check_cuda(answer: Answer) -> Finding:
    """Check that PyTorch can use the GPUs that a node declares."""
    declared = answer.node.resources.get("GPU", 0.0)
    name = answer.node.name
    if answer.fault:
        return Finding("cuda", "fail", f"{name}: {answer.fault}", "check that machine's load and nvidia-smi")
    facts: Facts = answer.value
    if fault := facts.get("fault"):
        return Finding("cuda", "fail", f"{name}: {fault}", "run nvidia-smi there to check the driver")
    if facts["cuda"] is None:
        message = f"{name} declares {amount(declared, 'GPU')}, but its PyTorch is built without CUDA"
        return Finding("cuda", "fail", message, "install the CUDA build of PyTorch there")
    found = len(facts["devices"])
    if found < declared:
        message = f"{name} declares {amount(declared, 'GPU')}, but PyTorch finds {found}"
        advice = "run the container with the NVIDIA runtime (--gpus all), or fix the driver: nvidia-smi must list them"
        return Finding("cuda", "fail", message, advice)
    bf16 = "bfloat16" if facts["bf16"] else "no bfloat16: the models run in float32"
    return Finding("cuda", "ok", f"{name}: {found} x {facts['devices'][0]}, CUDA {facts['cuda']}, {bf16}")


def check_placeholders(files: Mapping[str, str]) -> Finding:
    """Check that no placeholder is left in the files of a deployment, outside comments.

    Args:
        files: texts of YAML files by name.
    """
    left = [
        f"{name}:{number} {', '.join(found)}"
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if (found := placeholders_in(_COMMENT.sub("", line)))
    ]
    if not left:
        return Finding("deployment", "ok", f"no placeholder in {amount(len(files), 'file')}")
    return Finding(
        "deployment", "fail", f"placeholders are left: {_join(left, 10)}", "replace them with your own values"
    )


def check_resources(request: ResourceRequest, nodes: Sequence[Node], *, can_grow: bool) -> Finding:
    """Check that the processes of a job fit the cluster: all of them together, and each on some node.

    Args:
        request: processes of the job.
        nodes: current nodes.
        can_grow: True if an autoscaler may add nodes.
    """
    each = amount(request.cpus, "CPU") + (f" and {amount(request.gpus, 'GPU')}" if request.gpus else "")
    asked = f"{request.key}: {request.count} with {each} each"
    total = {kind: sum(node.resources.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")}
    fit = sum(_fit(request, node) for node in nodes)
    if request.count * request.gpus > total["GPU"]:
        lack = f"{asked} need more than the cluster's {amount(total['GPU'], 'GPU')}"
    elif request.count * request.cpus + request.reserved > total["CPU"]:
        reserved = f" and {amount(request.reserved, 'CPU')} for the rest of the pipeline" if request.reserved else ""
        lack = f"{asked}{reserved} need more than the cluster's {amount(total['CPU'], 'CPU')}"
    elif fit < request.count:
        lack = f"{asked}, but only {fit} of them fit on the nodes"
    else:
        return Finding("resources", "ok", f"{asked}: {'it fits' if request.count == 1 else 'they fit'}")
    advice = f"lower {request.key}.count, .cpus or the GPUs, or add nodes to the cluster"
    if can_grow:
        return Finding(
            "resources", "warn", lack, f"the job waits until an autoscaler adds nodes; if none does, {advice}"
        )
    return Finding("resources", "fail", lack, advice)


def _fit(request: ResourceRequest, node: Node) -> int:
    """Return how many of the processes fit on a node."""
    fit = int(node.resources.get("CPU", 0.0) / request.cpus + 1e-6)
    return min(fit, int(node.resources.get("GPU", 0.0) / request.gpus + 1e-6)) if request.gpus else fit


def check_token(*, is_required: bool, open_file: Path | None) -> Finding:
    """Check that only users with a token can run code on a cluster that other machines can reach.

    Args:
        is_required: True if the cluster requires a token.
        open_file: file of the token, if other users of this machine can read it.
    """
    if not is_required:
        advice = (
            "start every node, and this command, with RAY_AUTH_MODE=token and the same token (docs/guides/clusters.md)"
        )
        return Finding("token", "warn", "anyone who can reach the cluster's ports can run code on it", advice)
    if open_file:
        message = f"{open_file} can be read by other users of this machine"
        return Finding("token", "warn", message, f"chmod 600 {open_file}")
    return Finding("token", "ok", "Ray requires a token")


def amount(number: float, unit: str) -> str:
    """Return a number with its unit, such as "1 GPU" or "2.5 CPUs"."""
    return f"{number:g} {unit}{'' if number == 1 else 's'}"


def _join(names: Sequence[str], limit: int = 3) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
