import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from colorize_core.errors import UserError
from colorize_core.inference.ensemble import disagreement, limit_around, mix
from colorize_core.inference.options import EnsembleOptions


def constant(a: float, b: float) -> Tensor:
    return torch.tensor([a, b], dtype=torch.float32).view(1, 2, 1, 1).expand(2, 2, 3, 4)


A, B, C = constant(10, 0), constant(0, 20), constant(-30, 40)


def test_without_options_predictions_are_averaged() -> None:
    torch.testing.assert_close(mix({"a": A, "b": B, "c": C}, EnsembleOptions()), constant(-20 / 3, 20))


def test_weights_are_those_of_the_mean() -> None:
    found = mix({"a": A, "b": B}, EnsembleOptions(weights={"b": 3, "a": 1}))
    torch.testing.assert_close(found, constant(2.5, 15))


def test_the_mixture_of_equal_predictions_is_that_prediction() -> None:
    ab = torch.randn(2, 2, 5, 7, generator=torch.Generator().manual_seed(0)) * 30
    torch.testing.assert_close(mix({"a": ab, "b": ab}, EnsembleOptions(weights={"a": 0.3, "b": 0.9})), ab)


def test_bold_colors_are_limited_around_calm_ones() -> None:
    """From (10, 0) to (40, 40) is 50 units in the direction (0.6, 0.8); the limit is 5."""
    options = EnsembleOptions(calm="a", limit=5)
    torch.testing.assert_close(mix({"a": A, "bold": constant(40, 40)}, options), constant(13, 4))
    torch.testing.assert_close(mix({"a": A, "bold": constant(12, -3)}, options), constant(12, -3))
    assert torch.equal(mix({"a": A, "bold": A}, options), A)


def test_several_bold_predictions_are_averaged_before_they_are_limited() -> None:
    """The weighted mean of the others is (-20, 30): 30 units away in a and in b."""
    options = EnsembleOptions(calm="a", limit=30, weights={"b": 1, "c": 1})
    found = mix({"a": A, "b": constant(-10, 20), "c": C}, options)
    torch.testing.assert_close(found, 10 * torch.tensor([1.0, 0]).view(1, 2, 1, 1) + 30 * constant(-0.5, 0.5) * 2**0.5)


def test_no_color_is_farther_from_the_calm_one_than_the_limit() -> None:
    random = torch.Generator().manual_seed(0)
    calm, bold = (torch.randn(2, 2, 16, 16, generator=random) * 30 for _ in range(2))
    found = limit_around(calm, bold, 12)
    before, after = ((ab - calm).norm(dim=1) for ab in (bold, found))
    torch.testing.assert_close(after, before.clamp(max=12))
    cosine = torch.cosine_similarity(bold - calm, found - calm, dim=1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_disagreement_is_the_mean_distance_of_all_pairs() -> None:
    first = torch.cat((A[:1], B[:1]))
    expected = torch.tensor([(500**0.5 + 3200**0.5 + 1300**0.5) / 3, (0 + 1300**0.5 + 1300**0.5) / 3])
    torch.testing.assert_close(disagreement([first, B, C]), expected)
    assert torch.equal(disagreement([A, A]), torch.zeros(2))


def test_disagreement_is_averaged_over_pixels() -> None:
    half = torch.where(torch.arange(4) < 2, A, A + constant(3, 4))
    torch.testing.assert_close(disagreement([A, half]), torch.tensor([2.5, 2.5]))


@pytest.mark.parametrize(
    ("options", "names", "said"),
    [
        ({}, ["a"], "at least two checkpoints are needed, found a"),
        ({}, [], "at least two checkpoints are needed, found none"),
        ({"calm": "x", "limit": 1}, ["a", "b"], "ensemble.calm = 'x': not one of the checkpoints, which are a, b"),
        ({"weights": {"a": 1}}, ["a", "b"], "ensemble.weights: has a; give one weight for each of a, b"),
        (
            {"weights": {"a": 1, "c": 1}, "calm": "b", "limit": 1},
            ["a", "b"],
            "ensemble.weights: has a, c; give one weight for each of a",
        ),
    ],
)
def test_options_that_do_not_fit_the_checkpoints_are_refused(
    options: dict[str, object], names: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        EnsembleOptions.model_validate(options).require_members(names)


@pytest.mark.parametrize(
    "options",
    [
        {"calm": "a"},
        {"limit": 3},
        {"calm": "a", "limit": 0},
        {"weights": {"a": 0}},
        {"weights": {"a": 1}, "calm": "a", "limit": 3},
    ],
)
def test_contradictory_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EnsembleOptions.model_validate(options)
