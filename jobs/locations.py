"""Locations that not all nodes of a cluster may see."""

import functools

from cluster.storage import LocalStorage, Storage
from jobs.console import say


def warn_of_paths(*stores: Storage) -> None:
    """Within a Ray session: say once which locations are paths, where work may run on other machines than this."""
    paths = [store.root for store in stores if isinstance(store, LocalStorage)]
    if paths and _work_elsewhere():
        _warn(", ".join(dict.fromkeys(paths)))


@functools.cache
def _warn(paths: str) -> None:
    say(
        f"note: work may run on other machines, which must see the same files at {paths} (a shared file system); else s3://"
    )


def _work_elsewhere() -> bool:
    """Whether another machine is in the cluster, or this one has no CPUs and others will be called."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    mine = next(node["NodeManagerHostname"] for node in nodes if node["NodeID"] == here)
    at_work = {node["NodeManagerHostname"] for node in nodes if node["Resources"].get("CPU")}
    return bool(at_work - {mine}) or not at_work
