"""Training with Ray Train: start of the workers, checkpoints, failures, log."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueListener
from typing import Any

import ray
from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.session import cluster_address, environment_variables
from cluster.storage.stores import Storage
from colorize_core.data.shards import DatasetInfo
from colorize_core.runtime.memory import SINGLE_ARENA_ENV
from jobs.train.callbacks import StopAtUserErrors
from jobs.train.checkpoints import CHECKPOINTS, delete_broken_index
from jobs.train.config import TrainConfig
from jobs.train.loop import train_loop

# Seconds before the announced end of a node at which its workers are stopped. Ray checks every 2 s; if it sees the end
# of a terminated pod (SIGTERM) before it has stopped the workers, the end counts as a failure.
_STOP_EARLY_SECONDS = 5.0
# Seconds between the polls by which Ray receives checkpoints and the end of workers. With its default of 2 s, short
# epochs wait for a poll, because a worker can report the next checkpoint only after the previous one was received.
_POLL_SECONDS = 0.5
_POLL_VARIABLE = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"
_PREEMPTION_VARIABLE = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"


def fit(config: TrainConfig, dataset: DatasetInfo, shards: Storage, output: Storage, *, verbose: bool) -> None:
    """Train to the end, also through lost workers and nodes; log records of rank 0 are logged in this process."""
    delete_broken_index(output)
    workers, optim = config.workers, config.optim
    with _log_of_workers() as queue, environment_variables(_settings(config)):
        trainer = TorchTrainer(
            train_loop,
            train_loop_config={
                "log_queue": queue,
                "setup": {"config": config, "dataset": dataset, "shards": shards, "output": output},
            },
            scaling_config=ScalingConfig(
                num_workers=(workers.min, workers.count) if workers.min else workers.count,
                use_gpu=workers.gpu,
                resources_per_worker={"CPU": workers.cpus, **({"GPU": 1} if workers.gpu else {})},
            ),
            run_config=RunConfig(
                name=CHECKPOINTS,
                storage_path=output.path(),
                storage_filesystem=output.filesystem,
                callbacks=[StopAtUserErrors()],
                failure_config=FailureConfig(
                    max_failures=optim.max_failures,
                    preemption_grace_s=workers.preemption_grace or -_STOP_EARLY_SECONDS,
                ),
                checkpoint_config=CheckpointConfig(num_to_keep=optim.keep_checkpoints),
                worker_runtime_env=_runtime_environment(config),
                logging_config=LoggingConfig(log_level="INFO" if verbose else "CRITICAL"),
            ),
        )
        trainer.fit()


@contextmanager
def _log_of_workers() -> Iterator[Queue]:
    """Provide a queue, and log the records that workers put into it."""
    # The actor of the queue runs on the driver's node: on another node it would be lost with a worker's node.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    listener = QueueListener(queue, _Relay())
    listener.start()
    try:
        yield queue
    finally:
        listener.stop()
        queue.shutdown()


def _settings(config: TrainConfig) -> dict[str, str]:
    """Return environment variables that Ray Train passes on to its controller."""
    settings = {}
    if not config.workers.preemption_grace:
        # With preemption_grace, a frequent poll would see the errors of the other workers before Ray knows that the
        # node was lost as announced, and count them as failures.
        settings[_POLL_VARIABLE] = str(_POLL_SECONDS)
    if cluster_address(config.ray) is None:
        settings[_PREEMPTION_VARIABLE] = "0"  # of this machine; its watcher is one process more to start
    return settings


def _runtime_environment(config: TrainConfig) -> dict[str, Any]:
    """Return the runtime environment of workers: in it, Ray Train runs the loop in a thread.

    On this machine they inherit it, if `jobs.train.job` has started Ray.
    """
    is_inherited = cluster_address(config.ray) is None and SINGLE_ARENA_ENV.items() <= os.environ.items()
    return {} if is_inherited else {"env_vars": SINGLE_ARENA_ENV}


class _Relay(logging.Handler):
    """Passes records of another process to the logger of the same name in this process."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)
