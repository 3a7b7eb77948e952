import os

import pytest

from cluster.session import RayOptions
from colorize_core.errors import UserError
from jobs.run.actors import ActorsOptions, count_actors

pytestmark = pytest.mark.usefixtures("ray_local")  # five logical CPUs


def count(actors: ActorsOptions, reserved: float = 1.0, batches: int = 100) -> int:
    return count_actors(actors, RayOptions(), reserved=reserved, batches=batches)


def test_an_explicit_number_is_used() -> None:
    assert count(ActorsOptions(count=4)) == 4


def test_there_are_no_more_actors_than_batches() -> None:
    assert count(ActorsOptions(count=4), batches=3) == 3


def test_auto_is_one_actor_per_free_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert count(ActorsOptions()) == 3
    assert count(ActorsOptions(), reserved=3) == 2
    assert count(ActorsOptions(cpus=1.5)) == 2


def test_actors_that_take_every_cpu_are_refused() -> None:
    with pytest.raises(UserError, match=r"5 actors x 1 CPUs"):
        count(ActorsOptions(count=5))


def test_actors_with_more_gpus_than_the_cluster_has_are_refused() -> None:
    with pytest.raises(UserError, match=r"2 actors x 64 GPUs"):
        count(ActorsOptions(count=2, gpus=64))


def test_actors_may_wait_for_a_named_cluster_to_grow(caplog: pytest.LogCaptureFixture) -> None:
    named = RayOptions(address="auto")
    assert count_actors(ActorsOptions(count=8, gpus=64), named, reserved=1.0, batches=100) == 8
    assert "0 of 8 actors fit" in caplog.text


def test_auto_on_a_named_cluster_without_gpus_is_refused() -> None:
    with pytest.raises(UserError, match="1 actor x 64 GPUs"):
        count_actors(ActorsOptions(gpus=64), RayOptions(address="auto"), reserved=1.0, batches=100)
