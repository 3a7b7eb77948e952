from types import SimpleNamespace
from typing import Any

import pytest
import ray

from cluster.storage import LocalStorage, S3Storage, Storage, StorageOptions
from jobs import locations

PHOTOS, OUTPUT = LocalStorage("/data/photos"), LocalStorage("/data/out")
BUCKET = S3Storage("bucket", "photos", StorageOptions())


def node(name: str, *, cpus: int = 4, alive: bool = True) -> dict[str, Any]:
    return {
        "NodeID": f"{name}-{cpus}",
        "NodeManagerHostname": name,
        "Alive": alive,
        "Resources": {"CPU": cpus} if cpus else {},
    }


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What is said of stores on a cluster, whose first node is this one."""

    def ask(nodes: list[dict[str, Any]], *stores: Storage) -> str:
        monkeypatch.setattr(ray, "nodes", lambda: nodes)
        here = SimpleNamespace(get_node_id=lambda: nodes[0]["NodeID"])
        monkeypatch.setattr(ray, "get_runtime_context", lambda: here)
        locations._warn.cache_clear()
        capsys.readouterr()
        locations.warn_of_paths(*stores)
        locations.warn_of_paths(*stores)
        return capsys.readouterr().out

    return ask


def test_paths_are_named_once_where_work_may_run_on_other_machines(said: Any) -> None:
    line = said([node("a"), node("b")], PHOTOS, OUTPUT)
    assert "/data/photos, /data/out" in line
    assert line.count("\n") == 1


def test_a_head_without_cpus_will_have_workers_elsewhere(said: Any) -> None:
    assert "/data/photos" in said([node("head", cpus=0)], PHOTOS)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("a")],
        [node("a"), node("a", cpus=2)],  # two nodes of one machine
        [node("a"), node("b", alive=False)],
        [node("a"), node("head", cpus=0)],
    ],
)
def test_one_machine_sees_its_own_files(said: Any, nodes: list[dict[str, Any]]) -> None:
    assert said(nodes, PHOTOS) == ""


def test_s3_is_seen_from_everywhere(said: Any) -> None:
    assert said([node("a"), node("b")], BUCKET) == ""
