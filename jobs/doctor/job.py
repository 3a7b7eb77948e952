"""`colorize doctor`: what a job will need, checked from where it stands, and what to mend."""

import importlib
import json
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cluster.config.command_line import DONE, FAILED, USAGE, complain, split_arguments
from cluster.config.loading import read_yaml
from cluster.errors import ClusterError, ConfigError
from cluster.session import ray_session
from colorize_core.errors import UserError
from jobs.command.config import JobConfig, VerbConfig
from jobs.command.console import say
from jobs.command.runner import run_job
from jobs.doctor.checks import Finding
from jobs.doctor.config import DoctorConfig
from jobs.run.requirements import Requirements

if TYPE_CHECKING:
    from cluster.nodes.query import Node

_CONFIGS = {
    "prepare": ("jobs.prepare.job", "PrepareConfig"),
    "train": ("jobs.train.config", "TrainConfig"),
    "evaluate": ("jobs.evaluate.config", "EvaluateConfig"),
    "archive": ("jobs.archive.config", "ArchiveConfig"),
}


class Reporter:
    """Prints findings as they come, or keeps them for one JSON object."""

    def __init__(self, *, as_json: bool) -> None:
        """Nothing found yet."""
        self._as_json = as_json
        self._findings: list[Finding] = []

    def add(self, finding: Finding) -> None:
        """Tell a finding, and on the next line what to do."""
        self._findings.append(finding)
        if self._as_json:
            return
        say(f"{finding.verdict:4}  {finding.check:14} {finding.said}")
        if finding.verdict != "ok" and finding.advice:
            say(f"      {'':14} -> {finding.advice}")

    def close(self) -> int:
        """Sum up; returns the exit code."""
        failed, warned = (sum(each.verdict == verdict for each in self._findings) for verdict in ("fail", "warn"))
        if self._as_json:
            say(json.dumps({"ok": not failed, "findings": [asdict(each) for each in self._findings]}, indent=2))
        elif failed:
            say(f"\n{failed} to mend before a job can run" + (f", {warned} to look at" if warned else ""))
        else:
            say(f"\nready{f'; {warned} to look at' if warned else ''}")
        return FAILED if failed else DONE


def run_checks(config: JobConfig, verb: str | None, *, verbose: bool) -> Iterator[Finding]:
    """All findings, one after the other; of a verb's configuration also what that job needs."""
    try:
        with ray_session(config.ray, verbose=verbose):
            nodes = yield from _examine_cluster(config)
            if verb:
                yield from _examine_job(config, verb, nodes)
    except ClusterError as error:
        advice = "start Ray there (ray start --head), or mend ray.address" if "cannot be reached" in str(error) else ""
        yield Finding("ray", "fail", str(error), advice)


def _examine_cluster(config: JobConfig) -> Generator[Finding, None, "list[Node]"]:
    """Findings about every node; returns those that answer."""
    from cluster.nodes.authentication import is_open, is_token_asked, token_file
    from cluster.nodes.facts import collect_cuda_facts, collect_node_facts
    from cluster.nodes.query import alive_nodes, ask_nodes
    from cluster.session import local_cores
    from jobs.doctor import checks

    nodes = alive_nodes()
    seconds = _timeout(config)
    names = ", ".join(node.name for node in nodes[:3]) + (", ..." if len(nodes) > 3 else "")
    there = {kind: sum(node.resources.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")}
    room = ", ".join(checks.amount(number, kind) for kind, number in there.items())
    yield Finding("ray", "ok", f"{checks.amount(len(nodes), 'node')} ({names}), {room}")
    token = token_file()
    open_file = token if token and is_open(token) else None
    yield checks.check_token(is_asked=is_token_asked(), open_file=open_file, is_remote=local_cores(config.ray) is None)
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


def _examine_job(config: JobConfig, verb: str, nodes: "Sequence[Node]") -> Iterator[Finding]:
    """Findings about what a job needs of nodes that answer."""
    from cluster.session import local_cores
    from jobs.doctor.checks import check_room
    from jobs.doctor.storage import check_storage, check_weights

    job = importlib.import_module(f"jobs.{verb}.job")
    requirements: Requirements = job.requirements(config)
    seconds = _timeout(config)
    yield check_room(requirements.processes, nodes, can_grow=local_cores(config.ray) is None)
    stored = check_storage(requirements, [node for node in nodes if not node.is_here], seconds)
    weights = check_weights(requirements, nodes, seconds)
    yield from [*stored, *weights]
    if any(each.verdict == "fail" for each in (*stored, *weights)):
        return  # the job would only say the same of them
    try:
        job.check_inputs(config)
    except (UserError, ClusterError) as error:
        yield Finding("inputs", "fail", str(error), f"what `colorize {verb}` would say before it begins")
    else:
        yield Finding("inputs", "ok", f"`colorize {verb}` can begin with them")


def _timeout(config: JobConfig) -> float:
    return config.timeout if isinstance(config, DoctorConfig) else DoctorConfig().timeout


def _config_class(verb: str) -> type[JobConfig]:
    module, name = _CONFIGS[verb]
    return getattr(importlib.import_module(module), name)


def _deduce(arguments: Sequence[str]) -> str | None:
    """The verb that a configuration is of; None where there is nothing but keys of doctor itself.

    Raises:
        UserError: it could be of none, or of several.
        ConfigError: the file cannot be read.
    """
    file, overrides, _ = split_arguments(arguments)
    if (
        not file
        and {override.split("=")[0].split(".")[0] for override in overrides} <= DoctorConfig.model_fields.keys()
    ):
        return None
    if file:
        read_yaml(file)  # a file that cannot be read is not a matter of verbs
    fitting = [verb for verb in _CONFIGS if _is_valid(_config_class(verb), file, overrides)]
    if len(fitting) != 1:
        why = f"this configuration could be of {' or '.join(fitting)}" if fitting else "no verb takes it as it is"
        raise UserError(
            f"doctor: {why}; name one: colorize doctor {'|'.join(_CONFIGS)} [--config FILE] [key=value ...]"
        )
    return fitting[0]


def _is_valid(config_class: type[VerbConfig], file: str | None, overrides: list[str]) -> bool:
    try:
        config_class.load(file, list(overrides))
    except UserError:
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in arguments
    arguments = [argument for argument in arguments if argument != "--json"]
    verb = arguments.pop(0) if arguments and arguments[0] in _CONFIGS else None
    try:
        if verb is None and not {"-h", "--help"} & set(arguments):
            verb = _deduce(arguments)
    except (UserError, ConfigError) as error:
        return complain(str(error), USAGE)

    def run(config: JobConfig, verbose: bool) -> int:
        clinic = Reporter(as_json=as_json)
        for finding in run_checks(config, verb, verbose=verbose):
            clinic.add(finding)
        return clinic.close()

    def plan(config: JobConfig) -> str:
        return f"doctor would check Ray and its nodes{f', and what {verb} needs of them' if verb else ''}"

    name = f"doctor {verb}" if verb else "doctor [prepare|train|evaluate|archive]"
    config_class: type[Any] = _config_class(verb) if verb else DoctorConfig
    checked: Callable[[Any, bool], int] = run
    return run_job(name, config_class, checked, plan, arguments)
