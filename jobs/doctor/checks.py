"""Verdicts on what nodes say of themselves: pure functions from facts to findings."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluster.nodes.query import Answer, Node
from jobs.run.requirements import ResourceRequest

ScreeningResult = Literal["ok", "warn", "fail"]
Facts = Mapping[str, Any]  # of `cluster.nodes.facts.collect_node_facts`, or `collect_cuda_facts`

PACKAGES = ("ray", "torch", "torchvision", "pyarrow", "numpy", "pillow")
_CODE = "the code of colorize"
_MUST_AGREE = ("ray", "python", _CODE)
_RENEW_CODE = "submit the job with its code (--working-dir), or install the same version of colorize on every node"
_RENEW_IMAGE = "give every node the same image, or install what constraints.txt says on each"
_GB = 1e9
_FEW_BYTES = 10 * _GB
_SPILL_LIMIT = 0.95  # of the disk, where Ray stops spilling (local_fs_capacity_threshold)
_OPEN_FILES = 8192  # that Ray recommends at least
_CLOCK_SECONDS = 60.0  # S3 refuses requests from 15 minutes on


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    verdict: ScreeningResult
    message: str
    """What was found."""
    advice: str = ""
    """What to do, where the verdict is not ok."""


def check_answers(answers: Sequence[Answer]) -> list[Finding]:
    """Nodes that did not say what they were asked."""
    return [
        Finding(
            "nodes",
            "fail",
            f"{answer.node.name}: {answer.fault}",
            "look at that machine's load and its raylet.err; restart Ray there, or take it out of the cluster",
        )
        for answer in answers
        if answer.fault
    ]


def check_versions(facts: Mapping[str, Facts], mine: Facts) -> list[Finding]:
    """Whether every node runs what this process runs: Ray, Python and the code must agree, the rest should.

    Args:
        facts: by name.
        mine: of this process.
    """
    own = _versions(mine)
    findings = []
    for what, here in own.items():
        others: dict[str | None, list[str]] = defaultdict(list)
        for name, each in facts.items():
            if (there := _versions(each)[what]) != here:
                others[there].append(name)
        if others:
            said = "; ".join(f"{version or 'none'} on {_some(where)}" for version, where in others.items())
            verdict: ScreeningResult = "fail" if what in _MUST_AGREE else "warn"
            advice = _RENEW_CODE if what == _CODE else _RENEW_IMAGE
            findings.append(Finding("versions", verdict, f"{what} is {here or 'none'} here, {said}", advice))
    if findings:
        return findings
    said = ", ".join(f"{name} {own[name]}" for name in ("python", "ray", "torch"))
    return [Finding("versions", "ok", f"{said}{' on every node' if len(facts) > 1 else ''}")]


def _versions(facts: Facts) -> dict[str, str | None]:
    code = facts["code"]
    python = ".".join(facts["python"].split(".")[:2])  # what Ray and compiled packages depend on
    return {"python": python, _CODE: code and code[:12], **facts["versions"]}


def check_machines(facts: Mapping[str, Facts], nodes: Mapping[str, Node]) -> list[Finding]:
    """Disk, shared memory and limits of every node, by name."""
    return [
        _together("disk", [_disk(name, each) for name, each in facts.items()]),
        _together("shared memory", [_shared_memory(nodes[name], each) for name, each in facts.items()]),
        _together("open files", [_open_files(name, each) for name, each in facts.items()]),
    ]


def _together(check: str, findings: Sequence[Finding]) -> Finding:
    """One finding of several: the worst, with those as bad."""
    for verdict in ("fail", "warn"):
        if bad := [each for each in findings if each.verdict == verdict]:
            return Finding(check, bad[0].verdict, "; ".join(each.message for each in bad), bad[0].advice)
    return Finding(check, "ok", findings[0].message if len(findings) == 1 else f"enough on {len(findings)} nodes")


def _disk(name: str, facts: Facts) -> Finding:
    space = facts["disk"]
    if space is None:
        return Finding("disk", "warn", f"{name}: cannot be told", "look at it with df")
    said = f"{_size(space['free'])} of {_size(space['total'])} free for Ray's session on {name}"
    advice = "free some, or start Ray there with --temp-dir on a larger disk: objects that do not fit memory go there"
    if 1 - space["free"] / space["total"] >= _SPILL_LIMIT:
        return Finding("disk", "fail", f"{said}; Ray writes nothing more to a disk that is 95 % full", advice)
    return Finding("disk", "warn" if space["free"] < _FEW_BYTES else "ok", said, advice)


def _shared_memory(node: Node, facts: Facts) -> Finding:
    wanted = node.resources.get("object_store_memory", 0.0)
    space = facts["shared_memory"]
    there = space["total"] if space else 0
    said = f"{_size(there)} in /dev/shm of {node.name} for an object store of {_size(wanted)}"
    if there >= wanted:
        return Finding("shared memory", "ok", said)
    advice = f"start the container with --shm-size={wanted * 1.3 / _GB:.0f}gb, else Ray keeps objects on the disk"
    return Finding("shared memory", "warn", said, advice)


def _open_files(name: str, facts: Facts) -> Finding:
    limit = facts["open_files"]
    said = f"at most {limit} for a process on {name}"
    advice = f"ulimit -n {_OPEN_FILES} before `ray start` (or --ulimit nofile={_OPEN_FILES} for a container)"
    return Finding("open files", "ok" if limit < 0 or limit >= _OPEN_FILES else "warn", said, advice)


def check_clocks(facts: Mapping[str, Facts], asked: float, answered: float) -> Finding:
    """Whether the clocks of nodes agree with this one's: S3 refuses requests from those that are far off.

    Args:
        facts: by name.
        asked: when they were asked, in seconds since 1970.
        answered: when the last had answered.
    """
    off = {}
    for name, each in facts.items():
        ahead = max(each["time"] - answered, asked - each["time"])
        if ahead > _CLOCK_SECONDS:
            off[name] = ahead
    if not off:
        return Finding("clocks", "ok", f"agree within {max(answered - asked, 1):.0f} s")
    said = "; ".join(f"{name} is off by {seconds:.0f} s" for name, seconds in off.items())
    return Finding(
        "clocks", "warn", said, "set it by NTP (timedatectl set-ntp true): S3 refuses what is 15 minutes off"
    )


def check_cuda(answer: Answer) -> Finding:
    """Whether PyTorch can use the GPUs that a node declares."""
    declared = answer.node.resources.get("GPU", 0.0)
    where = answer.node.name
    if answer.fault:
        return Finding("cuda", "fail", f"{where}: {answer.fault}", "look at that machine's load and nvidia-smi")
    facts: Facts = answer.value
    if fault := facts.get("fault"):
        return Finding("cuda", "fail", f"{where}: {fault}", "nvidia-smi there tells whether the driver works")
    if facts["cuda"] is None:
        said = f"{where} declares {amount(declared, 'GPU')}, and its PyTorch is built without CUDA"
        return Finding("cuda", "fail", said, "install the build of PyTorch for CUDA there")
    found = len(facts["devices"])
    if found < declared:
        said = f"{where} declares {amount(declared, 'GPU')}, and PyTorch sees {found}"
        advice = "run the container with the NVIDIA runtime (--gpus all), or mend the driver: nvidia-smi must list them"
        return Finding("cuda", "fail", said, advice)
    bf16 = "bfloat16" if facts["bf16"] else "no bfloat16: the models run in float32"
    return Finding("cuda", "ok", f"{where}: {found} x {facts['devices'][0]}, CUDA {facts['cuda']}, {bf16}")


def check_room(need: ResourceRequest, nodes: Sequence[Node], *, can_grow: bool) -> Finding:
    """Whether the processes of a job fit the cluster: all of them together, and each on some node.

    Args:
        need: of the job.
        nodes: as they are.
        can_grow: whether an autoscaler may add nodes, as nobody can tell of a named cluster.
    """
    each = amount(need.cpus, "CPU") + (f" and {amount(need.gpus, 'GPU')}" if need.gpus else "")
    asked = f"{need.key}: {need.count} with {each} each"
    there = {kind: sum(node.resources.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")}
    fit = sum(_fit(need, node) for node in nodes)
    if need.count * need.gpus > there["GPU"]:
        lack = f"{asked} need more than the cluster's {amount(there['GPU'], 'GPU')}"
    elif need.count * need.cpus + need.reserved > there["CPU"]:
        beside = f", with {need.reserved:g} beside them," if need.reserved else ""
        lack = f"{asked}{beside} need more than the cluster's {amount(there['CPU'], 'CPU')}"
    elif fit < need.count:
        lack = f"{asked}, but the nodes have room for {fit} of them"
    else:
        return Finding("room", "ok", f"{asked}: {'it fits' if need.count == 1 else 'they fit'}")
    advice = f"lower {need.key}.count, .cpus or the GPUs, or add nodes to the cluster"
    if can_grow:
        return Finding("room", "warn", lack, f"the job waits for nodes; where no autoscaler adds them, {advice}")
    return Finding("room", "fail", lack, advice)


def _fit(need: ResourceRequest, node: Node) -> int:
    fit = int(node.resources.get("CPU", 0.0) / need.cpus + 1e-6)
    return min(fit, int(node.resources.get("GPU", 0.0) / need.gpus + 1e-6)) if need.gpus else fit


def check_token(*, is_asked: bool, open_file: Path | None, is_remote: bool) -> Finding:
    """Whether strangers can give the cluster work.

    Args:
        is_asked: whether the cluster asks for a token.
        open_file: the file of the token, where others on this machine can read it.
        is_remote: whether other machines can reach the cluster.
    """
    if not is_asked:
        if not is_remote:
            return Finding("token", "ok", "no authentication, and no cluster that others could reach")
        advice = (
            "start every node, and this command, with RAY_AUTH_MODE=token and the same token (docs/guides/clusters.md)"
        )
        return Finding("token", "warn", "whoever reaches the cluster's ports can run code on it", advice)
    if open_file:
        advice = f"chmod 600 {open_file}"
        return Finding("token", "warn", f"{open_file} can be read by other users of this machine", advice)
    return Finding("token", "ok", "Ray asks for a token")


def amount(number: float, unit: str) -> str:
    """A number of things, for people."""
    return f"{number:g} {unit}{'' if number == 1 else 's'}"


def _some(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _size(number: float) -> str:
    return f"{number / _GB:.1f} GB" if number < 100 * _GB else f"{number / _GB:.0f} GB"
