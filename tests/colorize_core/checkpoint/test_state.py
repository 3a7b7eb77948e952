from pathlib import Path

import pytest
import torch

from colorize_core.checkpoint.state import pack_state, unpack_state
from colorize_core.errors import UserError


def round_trip(state: object, folder: Path) -> object:
    (folder / "state").write_bytes(pack_state(state))
    return unpack_state(folder / "state")


def test_scalars_and_nesting_survive(tmp_path: Path) -> None:
    state = {"epoch": 3, "rate": 0.1, "name": "a", "none": None, "yes": True, "list": [1, {"deep": [2, []]}], "e": {}}
    assert round_trip(state, tmp_path) == state


def test_integer_keys_stay_integers(tmp_path: Path) -> None:
    """Optimizers number their parameters; JSON alone would make them strings."""
    assert round_trip({"state": {0: "a", 10: "b"}}, tmp_path) == {"state": {0: "a", 10: "b"}}


def test_the_order_of_keys_survives(tmp_path: Path) -> None:
    back = round_trip({"z": 1, "a": 2}, tmp_path)
    assert isinstance(back, dict)
    assert list(back) == ["z", "a"]


def test_tuples_become_lists(tmp_path: Path) -> None:
    assert round_trip({"betas": (0.9, 0.999)}, tmp_path) == {"betas": [0.9, 0.999]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_tensors_survive_with_their_type(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.tensor([[0, 1], [2, 3]]).to(dtype)
    back = round_trip([values], tmp_path)
    assert isinstance(back, list)
    assert back[0].dtype == dtype
    assert torch.equal(back[0], values)


def test_tensors_without_dimensions_survive(tmp_path: Path) -> None:
    assert round_trip({"step": torch.tensor(7.0)}, tmp_path) == {"step": torch.tensor(7.0)}


def test_parts_of_one_tensor_survive(tmp_path: Path) -> None:
    whole = torch.arange(6.0).view(2, 3)
    back = round_trip({"row": whole[0], "column": whole[:, 1]}, tmp_path)
    assert isinstance(back, dict)
    assert (back["row"].tolist(), back["column"].tolist()) == ([0, 1, 2], [1, 4])


def test_the_state_of_the_random_generator_survives(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    state = round_trip(generator.get_state(), tmp_path)
    expected = torch.rand(3, generator=generator)
    assert isinstance(state, torch.Tensor)
    generator.set_state(state)
    assert torch.equal(torch.rand(3, generator=generator), expected)


@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_an_optimizer_continues_from_its_state(tmp_path: Path, make: type[torch.optim.Optimizer]) -> None:
    def optimizer(parameter: torch.Tensor) -> torch.optim.Optimizer:
        return make([parameter], lr=0.1) if make is not torch.optim.SGD else make([parameter], lr=0.1, momentum=0.9)

    def step(parameter: torch.Tensor, of: torch.optim.Optimizer) -> None:
        parameter.grad = parameter.detach().clone()
        of.step()

    one = torch.tensor([1.0, -2.0], requires_grad=True)
    whole = optimizer(one)
    step(one, whole)
    other = one.detach().clone().requires_grad_()
    resumed = optimizer(other)
    resumed.load_state_dict(round_trip(whole.state_dict(), tmp_path))
    step(one, whole)
    step(other, resumed)
    assert torch.equal(one, other)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_cut_state_is_refused(tmp_path: Path, share: float) -> None:
    whole = pack_state({"a": torch.arange(100.0)})
    (tmp_path / "state").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match="damaged training state") as caught:
        unpack_state(tmp_path / "state")
    assert "\n" not in str(caught.value)


def test_weights_are_no_training_state(saved: Path) -> None:
    with pytest.raises(UserError, match="damaged training state"):
        unpack_state(saved / "model.safetensors")
