"""Configuration of training: keys, ranges, and combinations that are refused."""

import pickle

import pytest

from colorize_core.errors import UserError
from jobs.train.config import TrainConfig

NEEDED = ["shards=x", "output=y", "model.name=lite"]


def error_of(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        TrainConfig.load(None, [*NEEDED, *overrides])
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("loss.tv=1", "no loss compares with the true colors"),
        ("loss.adversarial=1", "no loss compares with the true colors"),
        ("discriminator.layers=2 loss.l1=1", "discriminator has no effect without loss.adversarial"),
        (
            "loss.l1=1 loss.adversarial=1 discriminator.loss=wgan_gp",
            "use discriminator.norm=instance",
        ),
        ("loss.l1=1 loss.adversarial=1 discriminator.r1=1", "use discriminator.norm=instance"),
        ("loss.l1=1 loss.adversarial=1 discriminator.gradient_penalty=1", "no effect without loss: wgan_gp"),
        (
            "loss.l1=1 loss.adversarial=1 discriminator.loss=hinge discriminator.label_smoothing=0.1",
            "label_smoothing has no effect with loss: hinge",
        ),
        ("loss.l1=1 loss.color_enhance=1.2", "color_enhance has no effect without"),
        ("loss.l1=1 loss.adversarial=1 discriminator.kind=rgb discriminator.norm=batch", "norm has no effect"),
        ("loss.l1=1 optim.schedule=multistep", "multistep needs milestones"),
        ("loss.l1=1 optim.milestones=[0.5]", "milestones and gamma have no effect with schedule: constant"),
        ("loss.l1=1 optim.schedule=multistep optim.milestones=[0.5,2]", "optim.milestones"),
        ("loss.l1=1 augment.crop=100", "augment.crop = 100"),
        ("loss.l1=1 augment.zoom=1", "augment.zoom = 1"),
        ("loss.l1=1 augment.style.grain=2", "augment.style.grain = 2"),
        ("loss.l1=1 augment.style.grian=1", "did you mean augment.style.grain?"),
        ("loss.l1=1 discriminator.layres=1", "did you mean discriminator.layers?"),
        ("loss.l1=-1", "loss.l1 = -1"),
        ("loss.l1=1 loss.l3=1", "did you mean loss.l1?"),
    ],
)
def test_invalid_values_and_combinations_are_refused(change: str, said: str) -> None:
    assert said in error_of(*change.split())


def test_sections_of_the_core_are_read_from_the_command_line() -> None:
    style = "{film: 0.6, blur: 0.3, jpeg_strength: 40}"
    keys = ["loss.l1=2", "loss.adversarial=1", "discriminator.layers=1", "augment.crop=64", f"augment.style={style}"]
    config = TrainConfig.load(None, [*NEEDED, *keys])
    assert (config.augment.crop, config.augment.style.film, config.augment.style.jpeg_strength) == (64, 0.6, 40)
    assert (config.discriminator.layers, config.loss.weight("l1"), config.loss.adversarial) == (1, 2, 1)
    assert pickle.loads(pickle.dumps(config)) == config  # it is sent to the workers


def test_the_best_epoch_can_be_chosen_by_every_validation_metric() -> None:
    for metric in ("mae_ab", "psnr", "ssim"):
        assert TrainConfig.load(None, [*NEEDED, "loss.l1=1", f"optim.best_metric={metric}"]).optim.best_metric == metric
    assert "needs fid.weights" in error_of("loss.l1=1", "optim.best_metric=fid")
    assert "optim.best_metric = 'lpips'" in error_of("loss.l1=1", "optim.best_metric=lpips")
