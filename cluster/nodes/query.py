"""Nodes of a cluster, and function calls on all of them."""

import importlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Node:
    """A node that the cluster counts as alive."""

    id: str
    name: str
    """Address, with the port of the raylet if several run on one machine."""
    resources: Mapping[str, float]
    """Declared resources: CPU, GPU, object_store_memory (bytes), ..."""
    temp_dir: str
    """Folder of Ray's session there, to which objects are spilled."""
    is_here: bool = False
    """True if this process runs on it."""


@dataclass(frozen=True)
class Answer:
    """Answer of a node."""

    node: Node
    value: Any = None
    fault: str = ""
    """Reason why there is no value, in one line."""


def alive_nodes() -> list[Node]:
    """Return the nodes of the cluster of this process, sorted by name."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    alive = [each for each in ray.nodes() if each["Alive"]]
    addresses = Counter(each["NodeManagerAddress"] for each in alive)
    nodes = [
        Node(
            id=each["NodeID"],
            name=each["NodeManagerAddress"]
            + (f":{each['NodeManagerPort']}" if addresses[each["NodeManagerAddress"]] > 1 else ""),
            resources=each["Resources"],
            # SESSION/sockets/plasma_store; Ray has no other source for the folder of the session
            temp_dir=os.path.dirname(os.path.dirname(each["ObjectStoreSocketName"])),
            is_here=each["NodeID"] == here,
        )
        for each in alive
    ]
    return sorted(nodes, key=lambda node: node.name)


def ask_nodes(
    nodes: Sequence[Node], function: Callable[..., Any], *arguments: Any, seconds: float, by_value: bool = False
) -> list[Answer]:
    """Call a function once on every node and return the answers in the order of the nodes.

    Args:
        nodes: nodes to call.
        function: function of a module. With `by_value` the module is sent, so it must not import what a node may lack.
        arguments: arguments of the function.
        seconds: time after which a node counts as not responding.
        by_value: send the code of the function instead of its name.
    """
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    module = importlib.import_module(function.__module__)
    if by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        task = ray.remote(num_cpus=0, max_retries=0)(function)
        references = [
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(*arguments)
            for node in nodes
        ]
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)
    done, _ = ray.wait(references, num_returns=len(references), timeout=seconds)
    answers = []
    for node, reference in zip(nodes, references, strict=True):
        if reference not in done:
            ray.cancel(reference, force=True)
            answers.append(Answer(node, fault=f"did not answer within {seconds:g} s"))
            continue
        try:
            answers.append(Answer(node, ray.get(reference)))
        except Exception as error:
            answers.append(Answer(node, fault=_one_line(error)))
    return answers


def _one_line(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0][:200]}" if lines else type(cause).__name__
