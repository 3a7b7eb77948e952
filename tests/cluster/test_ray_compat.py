"""Exceptions that come through Ray."""

import pytest
from ray.exceptions import RayTaskError
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

from cluster.ray_compat import has_configured_type, root_cause
from colorize_core.errors import UserError

MISTAKE = UserError("lower optim.lr")


def of_worker(error: Exception) -> Exception:
    return UserExceptionWithTraceback(error, "Traceback ...")


def of_workers(*errors: Exception) -> WorkerGroupError:
    return WorkerGroupError("failed", {rank: of_worker(error) for rank, error in enumerate(errors)})


@pytest.mark.parametrize(
    "error",
    [
        MISTAKE,
        of_workers(MISTAKE),
        of_workers(RuntimeError("Connection closed by peer"), MISTAKE),
        ControllerError(MISTAKE),
        RayTaskError("train", "trace", MISTAKE),
    ],
)
def test_a_mistake_is_found_within(error: Exception) -> None:
    assert root_cause(error) is MISTAKE


def test_a_mistake_is_not_the_error_that_it_was_raised_from() -> None:
    mistake = UserError("the model diverged")
    mistake.__cause__ = ValueError("nan")
    assert root_cause(RayTaskError("train", "trace", mistake)) is mistake


def test_the_message_of_a_mistake_in_ray_data_is_its_own() -> None:
    error = UserError("a.parquet: damaged\nFailed to apply UDF transform after 1/1 attempts (total backoff 0.0s).\n...")
    assert str(root_cause(RayTaskError("map", "trace", error))) == "a.parquet: damaged"


def test_other_causes_are_the_first() -> None:
    fault = RuntimeError("out of memory")
    assert root_cause(of_workers(fault, RuntimeError("Connection closed by peer"))) is fault


def test_a_cluster_without_types_of_nodes_does_not_grow() -> None:
    by_hand = f"node_{'0f' * 28}"
    assert not has_configured_type([by_hand, by_hand])
    assert has_configured_type([by_hand, "gpu-spot"])
    assert not has_configured_type([])
