"""`kill -9` of training processes and loss of nodes: steps, curves and weights are those of an undisturbed run."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from ray.cluster_utils import Cluster

from cluster.storage.stores import LocalStorage, S3Storage, Storage, StorageOptions
from colorize_core.checkpoint.weights import load_checkpoint
from jobs.train.checkpoints import CHECKPOINTS, complete_checkpoints
from jobs.train.outputs.metrics_file import read_metrics
from tests.faults.datasets import write_dataset
from tests.faults.processes import descendants, finish, kill, start, train_workers_among, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
EPOCHS, LONGER, ROWS = 3, 12, 384

# Checkpoints within an epoch are then saved only because the end of a node was announced, which is not a failure.
ANNOUNCED = ["optim.checkpoint_steps=null", "optim.max_failures=0", f"optim.epochs={LONGER}"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, photo_paths: list[Path]) -> list[str]:
    """Three epochs of a GAN with a moving average and a schedule, on two workers, without the key output."""
    shards = LocalStorage(str(tmp_path_factory.mktemp("shards") / "shards"))
    write_dataset(shards, photo_paths, train=ROWS, val=16)
    model = ["model.name=encoder_decoder", "model.options={widths: [16, 16], latent: 16}"]
    losses = ["loss.l1=10", "loss.adversarial=1", "discriminator.layers=1"]
    train = [f"optim.epochs={EPOCHS}", "optim.batch_size=2", "optim.precision=fp32", "optim.ema=0.99"]
    train += ["optim.schedule=cosine", "optim.checkpoint_steps=24", "optim.shuffle_buffer=64", "optim.samples=2"]
    return [f"shards={shards.root}", *model, *losses, *train, "workers.count=2", "ray.num_cpus=4"]


@pytest.fixture(scope="module")
def undisturbed(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    output = LocalStorage(str(tmp_path_factory.mktemp("undisturbed") / "run"))
    finish(start([*command, f"output={output.root}"], "train"))
    return output


def within(output: Storage, epoch: int) -> Callable[[], bool]:
    """Return a function that returns True if a checkpoint from within an epoch is complete."""
    store = output.child(CHECKPOINTS)
    return lambda: any(name.startswith(f"epoch_{epoch - 1:04d}_step_") for name in complete_checkpoints(store))


def assert_joined(output: Storage, epochs: int) -> list[dict[str, float]]:
    rows = read_metrics(output)
    assert [row["epoch"] for row in rows] == list(range(1, epochs + 1))
    return rows


def assert_same(output: Storage, undisturbed: Storage) -> None:
    """Check that every step was taken once, in the same order, from the same state."""
    timing = {"seconds", "images_per_second", "data_wait_ms"}
    for row, expected in zip(assert_joined(output, EPOCHS), read_metrics(undisturbed), strict=True):
        assert row.keys() == expected.keys()
        for name in row.keys() - timing:
            assert row[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-7), name
    for folder in ("last", "best"):
        stores = output.child(folder), undisturbed.child(folder)
        found, expected_model = (load_checkpoint(store.path(), store.filesystem)[0].state_dict() for store in stores)
        for name, value in expected_model.items():
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4, msg=name)


def test_a_killed_worker(command: list[str], undisturbed: LocalStorage, tmp_path: Path) -> None:
    output = LocalStorage(str(tmp_path / "run"))
    job = start([*command, f"output={output.root}"], "train")
    wait_for(within(output, 2), "the second epoch is on its way")
    kill(train_workers_among(descendants(job.pid))[-1])
    said = finish(job)
    assert "continued from epoch_0001_step_" in said
    assert len(re.findall(rf" epoch \d/{EPOCHS} ", said)) == EPOCHS
    assert_same(output, undisturbed)


def test_a_killed_driver_with_checkpoints_on_s3(
    command: list[str], undisturbed: LocalStorage, s3_endpoint: str, bucket: str
) -> None:
    output = S3Storage(bucket, "run", StorageOptions(endpoint=s3_endpoint))
    arguments = [*command, f"output={output.uri}", f"storage.endpoint={s3_endpoint}"]
    job = start(arguments, "train")
    wait_for(within(output, 2), "the second epoch is on its way")
    below = descendants(job.pid)
    kill(job.pid)
    job.wait()
    for pid in below:  # Ray's agents notice the loss only after minutes
        with suppress(ProcessLookupError):
            kill(pid)
    assert len(read_metrics(output)) == 1
    assert "1/3" not in finish(start(arguments, "train"))
    assert_same(output, undisturbed)


@pytest.fixture
def small_cluster() -> Iterator[Cluster]:
    """A head without CPUs, and a node for one worker."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.fixture
def cluster(small_cluster: Cluster) -> Cluster:
    """The same cluster with a second node for one worker."""
    small_cluster.add_node(num_cpus=1)
    small_cluster.wait_for_nodes()
    return small_cluster


def on(cluster: Cluster, command: list[str], output: Storage, *changes: str) -> list[str]:
    """Return the command for a cluster, with one worker as the minimum."""
    own = [part for part in command if not part.startswith("ray.num_cpus")]
    return [*own, f"output={output.uri}", f"ray.address={cluster.address}", "workers.min=1", *changes]


def test_a_lost_node_leaves_one_worker(cluster: Cluster, command: list[str], tmp_path: Path) -> None:
    """Elastic: with one worker an epoch has twice the steps; the run continues at the same share of it."""
    output = LocalStorage(str(tmp_path / "run"))
    job = start(on(cluster, command, output), "train")
    wait_for(within(output, 2), "the second epoch is on its way")
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    assert "on 1 worker\n" in finish(job, 500)
    rows = assert_joined(output, EPOCHS)
    assert rows[-1]["learning_rate"] < 1e-5  # the end of the cosine: the schedule counts shares of the run
    assert rows[-1]["mae_ab"] < rows[0]["mae_ab"]


def test_a_new_node_adds_a_worker(small_cluster: Cluster, command: list[str], tmp_path: Path) -> None:
    """Elastic: the run starts with one worker and continues with two within about a minute."""
    output = LocalStorage(str(tmp_path / "run"))
    job = start(on(small_cluster, command, output, "optim.epochs=1000"), "train")
    wait_for(lambda: len(read_metrics(output)) >= 1, "the first epoch is over", 180)
    assert len(train_workers_among(descendants(os.getpid()))) == 1
    small_cluster.add_node(num_cpus=1)
    wait_for(lambda: len(train_workers_among(descendants(os.getpid()))) == 2, "there are two workers", 240)
    alone = len(read_metrics(output))
    wait_for(lambda: len(read_metrics(output)) >= alone + 2, "they finish epochs", 180)
    job.terminate()
    said, _ = job.communicate(timeout=60)
    assert "on 2 workers\n" in said
    assert_joined(output, len(read_metrics(output)))


@pytest.mark.parametrize("grace", [0, 20])
def test_a_node_with_an_announced_end(cluster: Cluster, command: list[str], tmp_path: Path, grace: int) -> None:
    """Notice of a spot machine: a checkpoint is saved at once and no failure counted, with and without a grace."""
    output = LocalStorage(str(tmp_path / "run"))
    job = start(on(cluster, command, output, *ANNOUNCED, f"workers.preemption_grace={grace}"), "train")
    wait_for(lambda: len(read_metrics(output)) >= 1, "the first epoch is over")
    node = cluster.list_all_nodes()[-1]
    drain = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", cluster.address]
    drain += ["--node-id", node.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    subprocess.run([*drain, "--reason-message", "spot", "--deadline-remaining-seconds", "15"], check=True, timeout=60)
    wait_for(
        lambda: any("_step_" in name for name in complete_checkpoints(output.child(CHECKPOINTS))), "it is saved", 60
    )
    time.sleep(15)
    cluster.remove_node(node, allow_graceful=False)
    said = finish(job, 500)
    assert "a node will be removed; saving a checkpoint after step" in said
    assert_joined(output, LONGER)


def test_a_terminated_pod(small_cluster: Cluster, command: list[str], tmp_path: Path) -> None:
    """Kubernetes sends SIGTERM to `ray start --block`; Ray announces the end of the node, and training saves."""
    output = LocalStorage(str(tmp_path / "run"))
    ray_start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    pod = subprocess.Popen(
        [*ray_start, f"--address={small_cluster.address}"],
        env=os.environ | {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "20"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        job = start(on(small_cluster, command, output, *ANNOUNCED), "train")
        wait_for(lambda: len(read_metrics(output)) >= 1, "the first epoch is over", 180)
        pod.terminate()
        said = finish(job, 500)
    finally:
        pod.kill()
        pod.wait()
    assert "a node will be removed; saving a checkpoint after step" in said
    assert_joined(output, LONGER)
