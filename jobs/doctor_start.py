"""The checks of `colorize doctor` that every job begins with: quick, silent where all is well."""

from cluster.errors import ClusterError
from cluster.node_facts import look_around
from cluster.nodes import alive_nodes, ask_nodes, largest_resources
from colorize_core.errors import UserError
from jobs.console import say
from jobs.doctor_checks import PACKAGES, Finding, check_answers, check_room, check_versions
from jobs.doctor_storage import check_storage
from jobs.needs import Needs

_SECONDS = 30.0


def check_start(needs: Needs) -> None:
    """Make sure that the cluster can do a job; prints a line for what may turn out badly.

    Alone on one machine a job finds out by itself what else could be wrong: then nothing is asked but whether there is
    room. Nodes that do not answer are left to Ray, which replaces what they were given.

    Raises:
        UserError: the configuration asks for more than the cluster has.
        ClusterError: nodes run other code than this process, or cannot reach the job's files.
    """
    nodes = alive_nodes()
    room = check_room(needs.processes, nodes, largest_resources())
    if room.verdict == "fail":
        raise UserError(f"{room.said}; {room.advice}")
    others = [node for node in nodes if not node.is_here]
    if not others:
        return
    temp_dirs = {node.id: node.temp_dir for node in nodes}
    answers = ask_nodes(others, look_around, PACKAGES, temp_dirs, seconds=_SECONDS, by_value=True)
    facts = {answer.node.name: answer.value for answer in answers if not answer.fault}
    _report(check_versions(facts, look_around(PACKAGES, temp_dirs)))
    silent = check_answers(answers)
    for finding in silent:
        say(f"doctor: {finding.check}: {finding.said}; {finding.advice}")
    answering = [node for node in others if node.name in facts]
    _report(check_storage(needs, answering, _SECONDS))


def _report(findings: list[Finding]) -> None:
    """Say warnings, and raise the first failure."""
    for finding in findings:
        line = f"{finding.check}: {finding.said}; {finding.advice}"
        if finding.verdict == "fail":
            raise ClusterError(f"{line} (colorize doctor tells more)")
        if finding.verdict == "warn":
            say(f"doctor: {line}")
