"""Training under Ray Train: workers, checkpoints, failures."""

import threading
from typing import Any

import ray
from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.ray_compat import root_cause
from cluster.storage.stores import Storage
from colorize_core.data.shards import DatasetInfo
from colorize_core.errors import UserError
from colorize_core.runtime.memory import SINGLE_ARENA_ENV
from jobs.command.console import say
from jobs.train.checkpoints import CHECKPOINTS, forget_broken_index
from jobs.train.config import TrainConfig
from jobs.train.loop import train_loop

# Seconds before an announced node's end at which its workers are moved. Ray looks every 2 s; and the end of a pod that
# is told to go (SIGTERM) counts as a failure when Ray sees it before it has moved them.
_LEAVE_EARLY = 5.0


class StopAtUserErrors(UserCallback):
    """Ends a run at once for a mistake of the user's: to try again would only find it again."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise in Ray's controller, which does not try again for what goes wrong there."""
        for error in worker_exceptions.values():
            cause = root_cause(error)
            if isinstance(cause, UserError):
                raise cause


def fit(config: TrainConfig, dataset: DatasetInfo, shards: Storage, output: Storage, *, verbose: bool) -> None:
    """Train to the end, through lost workers and nodes; prints what the leading worker says."""
    forget_broken_index(output)
    messages = _queue_here()
    setup = {"config": config, "dataset": dataset, "shards": shards, "output": output, "messages": messages}
    workers, optim = config.workers, config.optim
    trainer = TorchTrainer(
        train_loop,
        train_loop_config=setup,
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
                preemption_grace_s=workers.preemption_grace or -_LEAVE_EARLY,
            ),
            checkpoint_config=CheckpointConfig(num_to_keep=optim.keep_checkpoints),
            worker_runtime_env={"env_vars": SINGLE_ARENA_ENV},  # Ray Train runs the loop in a thread
            logging_config=LoggingConfig(log_level="INFO" if verbose else "CRITICAL"),
        ),
    )
    printer = threading.Thread(target=_print_messages, args=(messages,), daemon=True)
    printer.start()
    try:
        trainer.fit()
    finally:
        messages.put(None)
        printer.join(timeout=10)
        messages.shutdown()


def _queue_here() -> Queue:
    """A queue on the driver's node: one elsewhere would be lost with a worker's."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})


def _print_messages(messages: Queue) -> None:
    while (line := messages.get()) is not None:
        say(line)
