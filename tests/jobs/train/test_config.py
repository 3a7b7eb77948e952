"""What can be said of a training run, and what must not."""

from dataclasses import asdict

import pytest

from colorize_core.data.augment import Augmentation
from colorize_core.data.degradation import OLD_PHOTO, GrayStyle
from colorize_core.errors import UserError
from colorize_core.training.gan_losses import KINDS
from colorize_core.training.losses import LOSSES
from colorize_core.training.optimizer import SCALINGS, SCHEDULES
from jobs.train.config import (
    AugmentOptions,
    DiscriminatorOptions,
    GrayStyleOptions,
    LossOptions,
    OptimOptions,
    TrainConfig,
)

NEEDED = ["shards=x", "output=y", "model.name=lite"]


def error_of(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        TrainConfig.load(None, [*NEEDED, *overrides])
    return str(caught.value)


def test_every_loss_of_the_core_has_a_weight() -> None:
    everything = LossOptions(**dict.fromkeys(LOSSES, 1.0))
    assert tuple(everything.weights()) == LOSSES
    assert LossOptions(l1=2, adversarial=1).weights() == {"l1": 2}


def test_kinds_and_schedules_are_those_of_the_core() -> None:
    assert DiscriminatorOptions.model_json_schema()["properties"]["loss"]["enum"] == list(KINDS)
    properties = OptimOptions.model_json_schema()["properties"]
    assert properties["schedule"]["enum"] == list(SCHEDULES)
    assert properties["lr_scaling"]["enum"] == list(SCALINGS)


def test_augmentation_has_the_fields_and_defaults_of_the_core() -> None:
    assert AugmentOptions().rule() == Augmentation()
    assert GrayStyleOptions().model_dump() == asdict(GrayStyle())


def test_what_augmentation_says_reaches_the_core() -> None:
    style = asdict(OLD_PHOTO)
    section = AugmentOptions(flip=False, crop=64, zoom=0.5, style=GrayStyleOptions(**style), chroma=1.25)
    assert section.rule() == Augmentation(flip=False, crop=64, zoom=0.5, style=OLD_PHOTO, chroma=1.25)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("loss.tv=1", "no loss compares with the truth"),
        ("loss.adversarial=1", "no loss compares with the truth"),
        ("discriminator.layers=2 loss.l1=1", "discriminator has no effect without loss.adversarial"),
        ("loss.l1=1 loss.adversarial=1 discriminator.loss=wgan_gp", "needs images judged apart"),
        ("loss.l1=1 loss.adversarial=1 discriminator.r1=1", "use discriminator.norm=instance, spectral or none"),
        ("loss.l1=1 loss.adversarial=1 discriminator.gradient_penalty=1", "no effect without loss: wgan_gp"),
        (
            "loss.l1=1 loss.adversarial=1 discriminator.loss=hinge discriminator.label_smoothing=0.1",
            "label_smoothing has no effect with loss: hinge",
        ),
        ("loss.l1=1 augment.crop=100", "augment.crop = 100"),
        ("loss.l1=1 augment.zoom=1", "augment.zoom = 1"),
        ("loss.l1=1 augment.style.grain=2", "augment.style.grain = 2"),
        ("loss.l1=1 loss.l3=1", "did you mean loss.l1?"),
    ],
)
def test_what_makes_no_sense_is_refused(change: str, said: str) -> None:
    assert said in error_of(*change.split())


def test_a_preset_for_old_photographs_is_accepted_as_yaml() -> None:
    style = ", ".join(f"{name}: {value}" for name, value in asdict(OLD_PHOTO).items())
    config = TrainConfig.load(None, [*NEEDED, "loss.l1=1", f"augment.style={{{style}}}"])
    assert config.augment.rule().style == OLD_PHOTO
