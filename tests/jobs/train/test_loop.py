"""What a worker makes of a batch of the loader, without Ray."""

from types import SimpleNamespace

import pytest
import torch

from colorize_core.data.hints import draw_hints
from colorize_core.training.steps import Batch
from jobs.train.config import TrainConfig
from jobs.train.loop import EpochRunner

IDS = ["a", "b", "c", "d"]


def made(epoch: int, *, takes_hints: bool) -> tuple[Batch, TrainConfig]:
    config = TrainConfig.model_validate(
        {
            "shards": "shards",
            "output": "run",
            "model": {"name": "siggraph17"},
            "loss": {"l1": 1},
            "augment": {"crop": 32, "chroma": 1.25, "hints": {"stop_probability": 0.05}},
            "optim": {"seed": 5},
        }
    )
    random = torch.Generator().manual_seed(0)
    L, ab = (torch.randint(0, 256, (4, n, 64, 64), generator=random, dtype=torch.uint8) for n in (1, 2))
    worker = SimpleNamespace(config=config, device=torch.device("cpu"))
    state = SimpleNamespace(model=SimpleNamespace(takes_hints=takes_hints))
    runner = EpochRunner(worker, state, loader=None, validator=None, baseline={}, writer=None, meter=None)
    return runner._augment((IDS, L, ab), epoch), config


@pytest.mark.parametrize("epoch", [1, 2])
def test_hints_are_of_the_augmented_target_and_of_the_epoch(epoch: int) -> None:
    batch, config = made(epoch, takes_hints=True)
    expected = draw_hints(batch.ab, IDS, epoch, config.augment.hints, seed=5)
    assert torch.equal(batch.hints, expected)
    assert batch.inputs == (batch.seen, batch.hints)
    assert expected[:, 2].any()


def test_a_model_that_takes_no_hints_gets_none() -> None:
    batch, _ = made(1, takes_hints=False)
    assert batch.hints is None
    assert batch.inputs == (batch.seen,)
