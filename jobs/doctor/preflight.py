"""Checks of `colorize doctor` that every job runs first: quick, and silent where all is well."""

import logging

from cluster.errors import ClusterError
from cluster.nodes.facts import collect_node_facts
from cluster.nodes.query import alive_nodes, ask_nodes
from cluster.session import RayOptions, local_cores
from colorize_core.errors import UserError
from jobs.doctor.checks import PACKAGES, Finding, check_answers, check_resources, check_versions
from jobs.doctor.storage import check_storage
from jobs.run.requirements import Requirements, ResourceRequest

_log = logging.getLogger(__name__)
_SECONDS = 30.0


def require_resources(request: ResourceRequest, options: RayOptions) -> None:
    """Raise UserError if a job's processes do not fit the cluster and no node can be added: it would wait forever.

    Not needed for actors: `actors.count_actors` checks them.
    """
    finding = check_resources(request, alive_nodes(), can_grow=local_cores(options) is None)
    if finding.verdict == "fail":
        raise UserError(f"{finding.message}; {finding.advice}")
    _report([finding])


def check_start(requirements: Requirements) -> None:
    """Check that the nodes of a cluster can run a job; logs a warning for what may cause trouble.

    On a single machine nothing is checked, because the job itself fails just as early. Nodes that do not answer are
    left to Ray, which moves their work to other nodes.

    Raises:
        ClusterError: nodes run other code than this process, or cannot access the job's files.
    """
    nodes = alive_nodes()
    others = [node for node in nodes if not node.is_here]
    if not others:
        return
    temp_dirs = {node.id: node.temp_dir for node in nodes}
    answers = ask_nodes(others, collect_node_facts, PACKAGES, temp_dirs, seconds=_SECONDS, by_value=True)
    facts = {answer.node.name: answer.value for answer in answers if not answer.fault}
    _report(check_versions(facts, collect_node_facts(PACKAGES, temp_dirs)))
    for finding in check_answers(answers):
        _log.warning("%s", _line(finding))
    answering = [node for node in others if node.name in facts]
    _report(check_storage(requirements, answering, _SECONDS))


def _report(findings: list[Finding]) -> None:
    """Log warnings; raises ClusterError for the first failure."""
    for finding in findings:
        if finding.verdict == "fail":
            raise ClusterError(f"{_line(finding)} (`colorize doctor` shows details)")
        if finding.verdict == "warn":
            _log.warning("%s", _line(finding))


def _line(finding: Finding) -> str:
    return f"{finding.check}: {finding.message}; {finding.advice}"
