"""Every loss against a closed form or a library, and its gradient against finite differences."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import save_file
from skimage.color import lab2rgb
from torch import Tensor, nn
from torchvision.models import vgg, vgg16
from torchvision.transforms.functional import adjust_saturation, normalize

from cluster.config.keys import list_keys
from colorize_core.color import bins
from colorize_core.errors import UserError
from colorize_core.training import losses
from colorize_core.training.color_loss import ColorLoss
from colorize_core.training.enhancement import enhance
from colorize_core.training.losses import LOSSES, LossOptions

PLAIN = [name for name, each in LOSSES.items() if not (each.needs_bins or each.pretrained)]
"""Losses that compare colors alone."""
PRIOR = [[0.0, 0.0, 0.6], [10.0, 20.0, 0.3], [-40.0, 40.0, 0.1]]


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """A prediction and a truth on the network's scale."""
    generator = torch.Generator().manual_seed(0)
    predicted, truth = torch.rand(2, 3, 2, 8, 6, generator=generator) * 1.4 - 0.7
    return predicted, truth


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of torchvision's VGG-16 with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    state = vgg16(weights=None).state_dict()
    torch.save({key: value for key, value in state.items() if key.startswith("features.")}, path)
    return path


def alone(name: str, **options: float | str) -> ColorLoss:
    """One loss with weight 1, also if it could not train a model alone."""
    return ColorLoss(LossOptions.model_construct(**{name: 1.0, **options}), PRIOR)  # type: ignore[arg-type]


def only(name: str, predicted: Tensor, truth: Tensor, **options: float) -> Tensor:
    """The value of one loss, weight 1."""
    return alone(name, **options)({"ab": predicted}, torch.zeros_like(truth[:, :1]), truth)[0]


def test_l1_is_the_mean_absolute_difference(pair: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(only("l1", *pair), (pair[0] - pair[1]).abs().mean())


def test_mse_is_the_mean_squared_difference(pair: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(only("mse", *pair), (pair[0] - pair[1]).square().mean())


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_smooth_l1_is_squared_below_beta_and_absolute_above(beta: float, pair: tuple[Tensor, Tensor]) -> None:
    error = (pair[0] - pair[1]).abs()
    expected = torch.where(error < beta, error.square() / (2 * beta), error - beta / 2).mean()
    torch.testing.assert_close(only("smooth_l1", *pair, smooth_l1_beta=beta), expected)


def test_total_variation_of_a_ramp_is_its_slope() -> None:
    ramp = torch.arange(6.0).expand(1, 2, 4, 6) * 0.5
    for ab in (ramp, ramp.transpose(2, 3)):
        assert only("tv", ab, ab).item() == pytest.approx(0.5)


def test_total_variation_is_the_mean_of_numpy_differences(pair: tuple[Tensor, Tensor]) -> None:
    ab = pair[0].numpy()
    expected = np.abs(np.diff(ab, axis=3)).mean() + np.abs(np.diff(ab, axis=2)).mean()
    assert only("tv", *pair).item() == pytest.approx(expected, rel=1e-5)


def test_color_weighted_is_the_squared_error_times_the_weight_of_the_true_bin() -> None:
    weights = bins.rebalancing_weights(bins.bin_prior(PRIOR))
    colors = torch.tensor([[0.0, 0.0], [10.0, 20.0]])
    index = [bins.bin_centers().tolist().index(color) for color in colors.tolist()]
    truth = colors.T.reshape(1, 2, 1, 2) / 110
    error = torch.tensor([0.1, 0.3]).reshape(1, 1, 1, 2)
    expected = (weights[index] * error.flatten().square()).mean().item()
    assert only("color_weighted", truth + error, truth).item() == pytest.approx(expected, rel=1e-5)


def test_color_weighted_is_mse_on_average_over_the_prior() -> None:
    """Weights have mean 1 under the prior: an error that does not depend on the color costs the same."""
    truth = torch.tensor([[a, b] for a, b, share in PRIOR for _ in range(round(share * 10))]).T.reshape(1, 2, 1, 10)
    truth = truth / 110
    torch.testing.assert_close(only("color_weighted", truth + 0.2, truth), torch.tensor(0.04))


def test_cross_entropy_of_a_uniform_distribution_is_ln_313() -> None:
    truth = torch.tensor([[a, b] for a, b, share in PRIOR for _ in range(round(share * 10))]).T.reshape(1, 2, 1, 10)
    loss = losses.bin_cross_entropy(torch.zeros(1, 313, 1, 10), truth / 110, torch.ones(313))
    assert loss.item() == pytest.approx(np.log(313), rel=1e-6)


def test_cross_entropy_is_torchs_with_the_dense_soft_labels(pair: tuple[Tensor, Tensor]) -> None:
    logits = torch.randn(3, 313, 8, 6, generator=torch.Generator().manual_seed(2))
    indices, shares = bins.soft_encode(pair[1] * 110)
    dense = torch.zeros(3, 313, 8, 6).scatter_(1, indices, shares)
    expected = F.cross_entropy(logits, dense)
    torch.testing.assert_close(losses.bin_cross_entropy(logits, pair[1], torch.ones(313)), expected)


def test_cross_entropy_weighs_pixels_by_their_likeliest_bin() -> None:
    truth = torch.tensor([[0.0, 0.0], [10.0, 20.0]]).T.reshape(1, 2, 1, 2) / 110
    weights = torch.zeros(313)
    weights[bins.bin_centers().tolist().index([10.0, 20.0])] = 3.0
    logits = torch.randn(1, 313, 1, 2, generator=torch.Generator().manual_seed(3))
    only_second = losses.bin_cross_entropy(logits[..., 1:], truth[..., 1:], torch.ones(313))
    torch.testing.assert_close(losses.bin_cross_entropy(logits, truth, weights), 3 * only_second / 2)


def test_cross_entropy_averages_the_truth_down_to_the_logits() -> None:
    truth = torch.tensor([[0.0, 20.0], [20.0, 40.0]]).expand(1, 2, 2, 2) / 110
    logits = torch.randn(1, 313, 1, 1, generator=torch.Generator().manual_seed(4))
    whole = losses.bin_cross_entropy(logits, torch.full((1, 2, 1, 1), 20 / 110), torch.ones(313))
    torch.testing.assert_close(losses.bin_cross_entropy(logits, truth, torch.ones(313)), whole)


def test_the_best_logits_are_the_log_of_the_labels(pair: tuple[Tensor, Tensor]) -> None:
    indices, shares = bins.soft_encode(pair[1] * 110)
    best = torch.full((3, 313, 8, 6), -50.0).scatter_(1, indices, shares.log())
    at_best = losses.bin_cross_entropy(best, pair[1], torch.ones(313))
    entropy = -(shares * shares.log()).sum(1).mean()
    torch.testing.assert_close(at_best, entropy)


@pytest.mark.slow
def test_perceptual_is_the_mean_l1_of_the_four_stages(vgg_file: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    L = torch.rand(1, 1, 32, 32, generator=generator) - 0.5
    predicted, truth = (torch.rand(2, 1, 2, 32, 32, generator=generator) - 0.5) * 0.2
    value, _ = alone("perceptual", vgg_weights=str(vgg_file))({"ab": predicted}, L, truth)

    torch.manual_seed(0)
    network = vgg16(weights=None)
    network.load_state_dict(torch.load(vgg_file, weights_only=True), strict=False)
    features = network.features.eval()
    stages: list[list[Tensor]] = []
    for ab in (predicted, truth):
        lab = torch.cat(((L + 1) * 50, ab * 110), 1)[0].permute(1, 2, 0).numpy()
        x = (lab2rgb(lab) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        x = torch.from_numpy(x.transpose(2, 0, 1)[None]).float()
        seen = []
        for number, layer in enumerate(features):
            x = layer(x)
            if number in (3, 8, 15, 22):
                seen.append(x.clone())
        stages.append(seen)
    expected = sum((a - b).abs().mean().item() for a, b in zip(*stages, strict=True)) / 4
    assert value.item() == pytest.approx(expected, rel=1e-3)


def test_perceptual_without_weights_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(UserError, match=r"cannot be downloaded .*loss\.vgg_weights=PATH"):
        alone("perceptual")


def test_perceptual_refuses_weights_of_another_network(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="not a VGG-16 state dict"):
        alone("perceptual", vgg_weights=str(tmp_path / "other.pth"))


@pytest.fixture(scope="session")
def vgg_bn_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of torchvision's VGG-16 with BatchNorm, with random weights and statistics."""
    torch.manual_seed(0)
    layers = vgg.make_layers(vgg.cfgs["D"], batch_norm=True)
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("vgg") / "vgg16_bn.pth"
    torch.save({f"features.{key}": value for key, value in layers.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_perceptual_conv_is_the_weighted_l1_of_five_convolutions(factor: float, vgg_bn_file: Path) -> None:
    """Convolutions are found by their names: the first after each pooling, before its BatchNorm."""
    generator = torch.Generator().manual_seed(5)
    L = torch.rand(1, 1, 32, 32, generator=generator) - 0.5
    predicted, truth = (torch.rand(2, 1, 2, 32, 32, generator=generator) - 0.5) * 0.4
    loss = alone("perceptual_conv", vgg_bn_weights=str(vgg_bn_file), color_enhance=factor)
    value, _ = loss({"ab": predicted}, L, truth)

    layers = vgg.make_layers(vgg.cfgs["D"], batch_norm=True).eval()
    layers.load_state_dict({key[9:]: tensor for key, tensor in torch.load(vgg_bn_file, weights_only=True).items()})
    seen: list[list[Tensor]] = []
    for ab, saturation in ((predicted, 1.0), (truth, factor)):
        lab = torch.cat(((L + 1) * 50, ab * 110), 1)[0].permute(1, 2, 0).numpy()
        rgb = torch.from_numpy(lab2rgb(lab).transpose(2, 0, 1)[None]).float()
        x = normalize(adjust_saturation(rgb, saturation), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        after_pooling, features = True, []
        for layer in layers:
            x = layer(x)
            if isinstance(layer, nn.Conv2d) and after_pooling:
                features.append(x.clone())
                after_pooling = False
            after_pooling |= isinstance(layer, nn.MaxPool2d)
        seen.append(features)
    weights = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
    expected = sum(w * (a - b).abs().mean().item() for w, a, b in zip(weights, *seen, strict=True))
    assert value.item() == pytest.approx(expected, rel=1e-3)


def test_color_is_enhanced_as_torchvision_adjusts_saturation() -> None:
    rgb = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(6))
    torch.testing.assert_close(enhance(rgb, 1.2), adjust_saturation(rgb, 1.2), atol=1e-6, rtol=0)
    assert torch.equal(enhance(rgb, 1.0), rgb)


def test_color_enhancement_needs_something_that_it_changes() -> None:
    with pytest.raises(ValidationError, match="color_enhance has no effect without"):
        LossOptions.model_validate({"l1": 1, "color_enhance": 1.2})
    assert LossOptions.model_validate({"l1": 1, "adversarial": 1, "color_enhance": 1.2}).color_enhance == 1.2


def test_colorfulness_is_that_of_ddcolor(pair: tuple[Tensor, Tensor]) -> None:
    """1 - M3 with absolute opponents of sRGB in 0 to 1; numpy and scikit-image, an image at a time."""
    ab = pair[0] * 0.3
    values = []
    for each in ab:
        lab = np.concatenate((np.full((1, 8, 6), 50.0), each.numpy() * 110)).transpose(1, 2, 0)
        red, green, blue = lab2rgb(lab).transpose(2, 0, 1)
        rg, yb = np.abs(red - green), np.abs((red + green) / 2 - blue)
        m3 = np.hypot(rg.std(ddof=1), yb.std(ddof=1)) + 0.3 * np.hypot(rg.mean(), yb.mean())
        values.append(1 - m3)
    assert only("colorfulness", ab, ab).item() == pytest.approx(np.mean(values), abs=1e-4)


def test_the_gradient_of_colorfulness_is_finite_at_gray() -> None:
    ab = torch.zeros(1, 2, 8, 8, requires_grad=True)
    loss, _ = alone("colorfulness")({"ab": ab}, torch.zeros(1, 1, 8, 8), ab.detach())
    loss.backward()
    assert loss.item() == pytest.approx(1, abs=1e-3)
    assert ab.grad is not None
    assert ab.grad.isfinite().all()


# All together


@pytest.fixture
def outputs(pair: tuple[Tensor, Tensor]) -> Callable[[Tensor], dict[str, Tensor]]:
    """Outputs of a model with bins."""
    logits = torch.randn(3, 313, 8, 6, generator=torch.Generator().manual_seed(6))
    return lambda ab: {"ab": ab, "logits": logits}


def test_the_total_is_the_weighted_sum_and_the_parts_are_not_weighted(pair: tuple[Tensor, Tensor]) -> None:
    loss = ColorLoss(LossOptions.model_validate({"l1": 100, "mse": 0.5, "tv": 0.01}))
    total, parts = loss({"ab": pair[0]}, pair[1][:, :1], pair[1])
    assert set(parts) == {"l1", "mse", "tv"}
    torch.testing.assert_close(total, 100 * parts["l1"] + 0.5 * parts["mse"] + 0.01 * parts["tv"])
    torch.testing.assert_close(parts["l1"], (pair[0] - pair[1]).abs().mean())


@pytest.mark.parametrize("name", [name for name in PLAIN if LOSSES[name].uses_target])
def test_a_perfect_prediction_costs_nothing_and_a_worse_one_more(name: str, pair: tuple[Tensor, Tensor]) -> None:
    truth = pair[1]
    assert only(name, truth.clone(), truth).item() == 0
    assert only(name, truth + 0.2, truth) > only(name, truth + 0.1, truth) > 0


@pytest.mark.parametrize("name", PLAIN)
def test_gradients_are_those_of_finite_differences(name: str, pair: tuple[Tensor, Tensor]) -> None:
    predicted, truth = (part[:1, :, :3, :3].double().clone() for part in pair)
    loss = alone(name).double()

    def value(ab: Tensor) -> Tensor:
        return loss_in_double(loss, ab, truth)

    assert torch.autograd.gradcheck(value, (predicted.requires_grad_(),))


def loss_in_double(loss: ColorLoss, ab: Tensor, truth: Tensor) -> Tensor:
    """`ColorLoss` computes in float32; gradcheck needs float64."""
    original = Tensor.float
    Tensor.float = lambda self: self  # type: ignore[method-assign, assignment]
    try:
        return loss({"ab": ab}, truth[:, :1], truth)[0]
    finally:
        Tensor.float = original  # type: ignore[method-assign]


def test_the_gradient_of_cross_entropy_is_weight_times_softmax_minus_label() -> None:
    truth = torch.tensor([12.0, -7.0]).reshape(1, 2, 1, 1) / 110
    weights = torch.rand(313, generator=torch.Generator().manual_seed(7))
    logits = torch.randn(1, 313, 1, 1, generator=torch.Generator().manual_seed(8)).requires_grad_()
    losses.bin_cross_entropy(logits, truth, weights).backward()
    indices, shares = bins.soft_encode(truth * 110)
    label = torch.zeros(1, 313, 1, 1).scatter_(1, indices, shares)
    weight = weights[indices.gather(1, shares.argmax(1, keepdim=True))]
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, weight * (torch.softmax(logits.detach(), 1) - label))


@pytest.mark.slow
def test_the_perceptual_gradient_reaches_the_prediction_alone(vgg_file: Path) -> None:
    loss = alone("perceptual", vgg_weights=str(vgg_file))
    ab = torch.zeros(1, 2, 32, 32, requires_grad=True)
    total, parts = loss({"ab": ab}, torch.zeros(1, 1, 32, 32), torch.full((1, 2, 32, 32), 0.3))
    total.backward()
    assert ab.grad is not None
    assert ab.grad.isfinite().all()
    assert ab.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert not parts["perceptual"].requires_grad


# The registry and the configuration


def test_every_loss_is_a_key_of_the_configuration_with_its_description() -> None:
    fields = LossOptions.model_fields
    assert {name: fields[name].description for name in LOSSES} == {name: each.help for name, each in LOSSES.items()}
    options = LossOptions.model_validate(dict.fromkeys(LOSSES, 1.0))
    assert [each.name for each in options.active()] == list(LOSSES)


def test_losses_without_weight_and_the_adversarial_loss_are_not_computed() -> None:
    options = LossOptions.model_validate({"l1": 2, "adversarial": 1})
    assert [each.name for each in options.active()] == ["l1"]
    assert options.weight("l1") == 2


@pytest.mark.parametrize("weights", [{}, {"tv": 1}, {"adversarial": 1}, {"l1": -1}, {"l3": 1}, {"l1": float("inf")}])
def test_weights_that_cannot_train_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        LossOptions.model_validate(weights)


def test_a_new_loss_is_one_function(pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Executed in a copy of the module: the key, its description and the computation follow from the decorator."""
    source = Path(losses.__file__).read_text()
    new = (
        '@loss("Largest error.")\n'
        'def largest(inputs: LossInputs) -> "Tensor":\n'
        "    return (inputs.predicted - inputs.target).abs().max()\n\n\n"
    )
    module = ModuleType("losses_with_another")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(source.replace("class _LossOptions(", f"{new}class _LossOptions("), module.__dict__)
    options = module.LossOptions.model_validate({"largest": 2.0})
    assert "largest: Largest error. (number; default 0.0)" in [
        f"{key.name}: {key}" for key in list_keys(module.LossOptions)
    ]
    total, parts = ColorLoss(options)({"ab": pair[0]}, pair[1][:, :1], pair[1])
    torch.testing.assert_close(parts["largest"], (pair[0] - pair[1]).abs().max())
    assert total == 2 * parts["largest"]


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_are_checked_without_loading_the_network(
    suffix: str, vgg_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colorize_core.training.perceptual.VGGDistance", None)
    state = torch.load(vgg_file, weights_only=True)
    for name, wrong in (("good", state), ("bad", {"features.0.weight": torch.zeros(1)})):
        path = tmp_path / f"{name}.{suffix}"
        torch.save(wrong, path) if suffix == "pth" else save_file(wrong, path)
        options = LossOptions.model_validate({"perceptual": 1, "vgg_weights": str(path)})
        check = LOSSES["perceptual"].check
        assert check
        if name == "good":
            check(options)
        else:
            with pytest.raises(UserError, match="not a VGG-16 state dict"):
                check(options)
