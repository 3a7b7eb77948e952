"""The checks of `colorize doctor` that every job begins with: quick, silent where all is well."""

from cluster.errors import ClusterError
from cluster.nodes.facts import collect_node_facts
from cluster.nodes.query import alive_nodes, ask_nodes
from cluster.session import RayOptions, local_cores
from colorize_core.errors import UserError
from jobs.command.console import say
from jobs.doctor.checks import PACKAGES, Finding, check_answers, check_room, check_versions
from jobs.doctor.storage import check_storage
from jobs.run.requirements import Requirements, ResourceRequest

_SECONDS = 30.0


def require_room(need: ResourceRequest, options: RayOptions) -> None:
    """Raise UserError where a job's processes do not fit and no node can come: it would wait for ever.

    Actors need not ask: counting them does (`actors.count_actors`).
    """
    room = check_room(need, alive_nodes(), can_grow=local_cores(options) is None)
    if room.verdict == "fail":
        raise UserError(f"{room.message}; {room.advice}")
    _report([room])


def check_start(requirements: Requirements) -> None:
    """Make sure that the nodes of a cluster can do a job; prints a line for what may turn out badly.

    Alone on one machine a job finds out by itself: then nothing is asked. Nodes that do not answer are left to Ray,
    which replaces what they were given.

    Raises:
        ClusterError: nodes run other code than this process, or cannot reach the job's files.
    """
    nodes = alive_nodes()
    others = [node for node in nodes if not node.is_here]
    if not others:
        return
    temp_dirs = {node.id: node.temp_dir for node in nodes}
    answers = ask_nodes(others, collect_node_facts, PACKAGES, temp_dirs, seconds=_SECONDS, by_value=True)
    facts = {answer.node.name: answer.value for answer in answers if not answer.fault}
    _report(check_versions(facts, collect_node_facts(PACKAGES, temp_dirs)))
    silent = check_answers(answers)
    for finding in silent:
        say(f"doctor: {finding.check}: {finding.message}; {finding.advice}")
    answering = [node for node in others if node.name in facts]
    _report(check_storage(requirements, answering, _SECONDS))


def _report(findings: list[Finding]) -> None:
    """Say warnings, and raise the first failure."""
    for finding in findings:
        line = f"{finding.check}: {finding.message}; {finding.advice}"
        if finding.verdict == "fail":
            raise ClusterError(f"{line} (colorize doctor tells more)")
        if finding.verdict == "warn":
            say(f"doctor: {line}")
