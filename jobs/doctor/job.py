"""`colorize doctor`: check what a job will need, and say how to fix what is missing."""

import json
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cluster.config.command_line import DONE, FAILED
from cluster.config.loading import to_yaml
from cluster.errors import ClusterError
from cluster.session import cluster_address, is_listening, ray_session
from colorize_core.errors import UserError
from colorize_core.formatting import counted
from jobs.command.console import say
from jobs.command.verb import CheckedVerb, load_verb
from jobs.doctor.checks import Finding
from jobs.doctor.config import DoctorConfig
from jobs.run.requirements import Requirements

if TYPE_CHECKING:
    from cluster.nodes.query import Node

CONFIG = DoctorConfig


def plan(config: DoctorConfig) -> str:
    """Describe the checks."""
    resolved = f"{to_yaml(config.job)}\n" if config.job else ""
    parts = [*config.deployment, _where(config), *([f"what {config.verb} needs"] if config.verb else ())]
    return f"{resolved}doctor would check {', and '.join(parts)}"


def run(config: DoctorConfig, verbose: bool = False) -> int:
    """Run the checks and print the findings; the exit code is 1 if one failed."""
    reporter = Reporter(as_json=config.as_json)
    for finding in run_checks(config, verbose=verbose):
        reporter.add(finding)
    return reporter.close()


class Reporter:
    """Prints findings as they come, or all of them as one JSON object at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._findings: list[Finding] = []

    def add(self, finding: Finding) -> None:
        """Print a finding, and on the next line what to do."""
        self._findings.append(finding)
        if self._as_json:
            return
        say(f"{finding.verdict:4}  {finding.check:14} {finding.message}")
        if finding.verdict != "ok" and finding.advice:
            say(f"      {'':14} -> {finding.advice}")

    def close(self) -> int:
        """Print the summary; returns the exit code."""
        failed, warned = (sum(each.verdict == verdict for each in self._findings) for verdict in ("fail", "warn"))
        if self._as_json:
            say(json.dumps({"ok": not failed, "findings": [asdict(each) for each in self._findings]}, indent=2))
        else:
            failures = f"{counted(failed, 'check')} failed" if failed else "no check failed"
            say(f"\n{failures}" + (f", {counted(warned, 'warning')}" if warned else ""))
        return FAILED if failed else DONE


def run_checks(config: DoctorConfig, *, verbose: bool) -> Iterator[Finding]:
    """Yield all findings, those about the job last; raises UserError for a file of the deployment that is not there."""
    from jobs.doctor.checks import check_placeholders

    if config.deployment:
        yield check_placeholders(_read_deployment(config.deployment))
    try:
        with ray_session(config.ray, verbose=verbose):
            nodes = yield from _check_cluster(config)
            if config.verb:
                yield from _check_job(config, nodes)
    except ClusterError as error:
        advice = "start Ray there (ray start --head), or fix ray.address" if "cannot be reached" in str(error) else ""
        yield Finding("ray", "fail", str(error), advice)


def _read_deployment(paths: Sequence[str]) -> dict[str, str]:
    """Return the texts of the YAML files among the paths and in the folders among them, by name."""
    files: list[Path] = []
    for path in map(Path, paths):
        found = sorted(path.rglob("*.y*ml")) if path.is_dir() else [path] if path.is_file() else []
        if not found:
            raise UserError(f"deployment = {str(path)!r}: no YAML file there")
        files += found
    return {str(file): file.read_text(encoding="utf-8") for file in files}


def _where(config: DoctorConfig) -> str:
    """Return what is checked: the cluster that is named, or this machine."""
    address = cluster_address(config.ray)
    return f"the cluster at {address}" if address else "this machine alone"


def _check_cluster(config: DoctorConfig) -> Generator[Finding, None, "list[Node]"]:
    """Yield findings about every node; returns the nodes that answer."""
    from cluster.nodes.authentication import is_readable_by_others, is_token_required, token_file
    from cluster.nodes.facts import collect_cuda_facts, collect_node_facts
    from cluster.nodes.query import alive_nodes, ask_nodes
    from cluster.ray_compat import running_address
    from jobs.doctor import checks

    nodes = alive_nodes()
    seconds = config.timeout
    names = ", ".join(node.name for node in nodes[:3]) + (", ..." if len(nodes) > 3 else "")
    total = {kind: sum(node.resources.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")}
    resources = ", ".join(checks.amount(number, kind) for kind, number in total.items())
    yield Finding("ray", "ok", f"{_where(config)}: {checks.amount(len(nodes), 'node')} ({names}), {resources}")
    if cluster_address(config.ray):
        token = token_file()
        open_file = token if token and is_readable_by_others(token) else None
        yield checks.check_token(is_required=is_token_required(), open_file=open_file)
    elif (running := running_address()) and is_listening(running):
        message = f"a cluster runs here at {running}, and was not checked: neither ray.address nor RAY_ADDRESS names it"
        yield Finding("cluster", "warn", message, "colorize doctor ray.address=auto checks it")
    temp_dirs = {node.id: node.temp_dir for node in nodes}
    asked = time.time()
    answers = ask_nodes(nodes, collect_node_facts, checks.PACKAGES, temp_dirs, seconds=seconds, by_value=True)
    answered = time.time()
    yield from checks.check_answers(answers)
    facts = {answer.node.name: answer.value for answer in answers if not answer.fault}
    yield from checks.check_versions(facts, collect_node_facts(checks.PACKAGES, temp_dirs))
    yield from checks.check_machines(facts, {node.name: node for node in nodes})
    if len(facts) > 1:
        yield checks.check_clocks(facts, asked, answered)
    answering = [node for node in nodes if node.name in facts]
    with_gpus = [node for node in answering if node.resources.get("GPU")]
    for answer in ask_nodes(with_gpus, collect_cuda_facts, seconds, seconds=seconds + 5, by_value=True):
        yield checks.check_cuda(answer)
    return answering


def _check_job(config: DoctorConfig, nodes: "Sequence[Node]") -> Iterator[Finding]:
    """Yield findings about what a job needs of the nodes that answer."""
    from cluster.ray_compat import may_grow
    from jobs.doctor.checks import check_resources
    from jobs.doctor.storage import check_storage, check_weights

    job = cast(CheckedVerb, load_verb(str(config.verb)))
    requirements: Requirements = job.requirements(config.job)
    seconds = config.timeout
    can_grow = cluster_address(config.ray) is not None and may_grow()
    yield check_resources(requirements.processes, nodes, can_grow=can_grow)
    stored = check_storage(requirements, [node for node in nodes if not node.is_here], seconds)
    weights = check_weights(requirements, nodes, seconds)
    yield from [*stored, *weights]
    if any(each.verdict == "fail" for each in (*stored, *weights)):
        return  # check_inputs would only fail for the same reason
    try:
        job.check_inputs(config.job)
    except (UserError, ClusterError) as error:
        yield Finding("inputs", "fail", str(error), f"`colorize {config.verb}` would stop with this message")
    else:
        yield Finding("inputs", "ok", f"`colorize {config.verb}` accepts them")
