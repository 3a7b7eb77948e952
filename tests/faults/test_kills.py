"""`kill -9` of the processes of an archive run: images and rows are the same as without it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from cluster.storage.stores import LocalStorage
from jobs.archive import rows
from tests.faults.archives import assert_same_images, assert_same_rows, break_some, photographs, rows_of
from tests.faults.processes import actors_among, descendants, finish, kill, start, wait_for

pytestmark = pytest.mark.long
COUNT = 180


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, photo_paths: list[Path], tiny_checkpoint: str) -> list[str]:
    """Arguments of a run with 180 photographs, some broken, in small blocks; without the output."""
    source = LocalStorage(str(tmp_path_factory.mktemp("kills") / "source"))
    for key, data in break_some(photographs(photo_paths, COUNT), 0.05)[0].items():
        source.write(key, data)
    sizes = ["block_size=12", "batch_size=4", "actors.count=2", "ray.num_cpus=4"]
    return [f"source={source.root}", f"checkpoint={tiny_checkpoint}", *sizes]


@pytest.fixture(scope="module")
def reference(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    output = LocalStorage(str(tmp_path_factory.mktemp("reference") / "out"))
    finish(start([*command, f"output={output.root}"]))
    return output


def staged_rows(output: LocalStorage) -> int:
    found = rows.read_staged(output, rows.FIRST, 0)
    return 0 if found is None else len(found)


def assert_same(output: LocalStorage, reference: LocalStorage) -> None:
    assert len(rows_of(output)) == COUNT
    assert_same_rows(output, reference)
    assert_same_images(output, reference)
    expected = ("images/", "metrics/", "report/", "_state/manifest")
    left = [entry.key for entry in output.list() if not entry.key.startswith(expected)]
    assert sorted(left) == ["_state/listing.json", "failed.csv", "run.json"]


def test_the_driver(command: list[str], reference: LocalStorage, tmp_path: Path) -> None:
    """Its actors end too; the same command continues and does not write finished images again."""
    output = LocalStorage(str(tmp_path / "out"))
    job = start([*command, f"output={output.root}"])
    wait_for(lambda: staged_rows(output) >= COUNT // 3, "a third is done")
    below = descendants(job.pid)
    kill(job.pid)
    job.wait()
    wait_for(lambda: not actors_among(below), "the actors end", 30)
    for pid in below:  # Ray's own agents end only after minutes
        with suppress(ProcessLookupError):
            kill(pid)
    staged = rows.read_staged(output, rows.FIRST, 0)
    assert staged is not None
    assert COUNT // 3 <= len(staged) < COUNT
    images = [Path(output.path(f"images/{key}")) for key in staged.column("output_key").drop_null().to_pylist()]
    before = [path.stat().st_mtime_ns for path in images]
    finish(start([*command, f"output={output.root}"]))
    assert_same(output, reference)
    assert [path.stat().st_mtime_ns for path in images] == before


def test_an_actor(command: list[str], reference: LocalStorage, tmp_path: Path) -> None:
    output = LocalStorage(str(tmp_path / "out"))
    job = start([*command, f"output={output.root}"])
    wait_for(lambda: staged_rows(output) >= COUNT // 3, "a third is done")
    victim = actors_among(descendants(job.pid))[0]
    kill(victim)
    finish(job)
    assert_same(output, reference)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Ray cluster of a head and two worker nodes on this machine."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def test_a_worker_node(cluster: Cluster, command: list[str], reference: LocalStorage, tmp_path: Path) -> None:
    output = LocalStorage(str(tmp_path / "out"))
    without_cpus = [part for part in command if not part.startswith("ray.num_cpus")]
    job = start([*without_cpus, f"output={output.root}", f"ray.address={cluster.address}", "actors.count=3"])
    wait_for(lambda: staged_rows(output) >= COUNT // 3, "a third is done")
    raylets = {node: node.all_processes["raylet"][0].process.pid for node in cluster.worker_nodes}
    victim = next(node for node, pid in raylets.items() if actors_among(descendants(pid)))
    cluster.remove_node(victim, allow_graceful=False)
    finish(job)
    assert_same(output, reference)
