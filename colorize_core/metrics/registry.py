"""Registry of metrics: name, label, unit, digits and direction of each, and how it is computed.

A metric is one function below with a decorator, `per_image` for most: `evaluate` then computes it, and its tables,
pages and help show it. The module works without torch, which takes seconds to import: functions use methods of tensors
and `metrics.NAME`, which is imported when it is first used.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from colorize_core import metrics

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from colorize_core.metrics.comparison import Comparison

Scores = Mapping[str, "np.ndarray"]
"""(N,) float64 by name: one value per image, in the order of their keys."""
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

InceptionVariant = Literal["torch-fidelity", "pytorch-fid"]
"""Preparation of images for the Inception network of FID (`distribution.InceptionFeatures`)."""
MAIN, FURTHER = "main", "further"
"""Tables of every evaluation. Other tables have the name of the paper whose definitions they hold."""
PSNR_CAP = 100.0  # dB; identical images would be infinite and dominate a mean
_COLORFULNESS = ("colorfulness", "colorfulness_truth")
_ABSOLUTE_COLORFULNESS = ("colorfulness_absolute", "colorfulness_absolute_truth")
_ABSOLUTE = "absolute values"
_FIXED_BATCH = 32  # the paper unet-gan always scores the same 32 photographs


@dataclass(frozen=True)
class Metric:
    """A metric of predictions against photographs."""

    name: str
    """Key in files and configurations."""
    label: str
    """Short name in text and tables."""
    digits: int
    """Decimals that are shown."""
    higher_is_better: bool
    unit: str = ""
    """Unit that is printed after a value."""
    qualifier: str = ""
    """Scale or variant that titles give in parentheses."""
    factor: float = 1.0
    """Factor applied to values where they are shown."""
    tables: tuple[str, ...] = ()
    """Tables of an evaluation with a column for the metric."""
    in_validation: bool = False
    """True if training computes the metric per image on the validation split after each epoch."""
    score: "Callable[[Comparison], Tensor | None] | None" = None
    """Function that computes the metric per image; None for statistics of other metrics and for FID and KID."""
    needs: tuple[str, ...] = ()
    """Metrics per image from which the value of a set is computed."""
    statistic: Callable[[Scores], float] | None = None
    """Value of a set from the metrics in `needs`; None for FID and KID, which are computed from features."""
    distance: "Callable[[Tensor, Tensor], float] | None" = None
    """Function of the Inception features of the photographs and of the predictions; None for all but FID and KID."""

    @property
    def title(self) -> str:
        """Label with the qualifier or the unit: PSNR (dB)."""
        note = self.qualifier or self.unit
        return f"{self.label} ({note})" if note else self.label

    @property
    def heading(self) -> str:
        """Title with an arrow in the direction of better values: PSNR (dB) ↑."""
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"

    def format(self, value: float, *, unit: bool = False, sign: bool = False) -> str:
        """Format a value with the digits of the metric, on request followed by its unit or with the sign of all."""
        text = f"{self.factor * value:{'+' if sign else ''}z.{self.digits}f}"  # z: no -0.0
        return f"{text} {self.unit}" if unit and self.unit else text

    def is_better(self, value: float, other: float) -> bool:
        """Return True if `value` is strictly better than `other`."""
        return value > other if self.higher_is_better else value < other

    def best(self, values: Iterable[float]) -> float:
        """Return the best of some values."""
        return (max if self.higher_is_better else min)(values)

    def value(self, scores: Scores, chosen: "np.ndarray | None" = None) -> float:
        """Compute the value of a set: all images, or those at the indices `chosen` (repetitions allowed)."""
        if self.statistic is None:
            raise TypeError(f"{self.name} is not computed from metrics per image")
        picked = {name: scores[name] if chosen is None else scores[name][chosen] for name in self.needs}
        return float(self.statistic(picked))


METRICS: dict[str, Metric] = {}
"""Every metric by name, in the order of tables and pages."""


def register(metric: Metric) -> None:
    """Add a metric to the registry; raises ValueError if the name is taken."""
    if metric.name in METRICS:
        raise ValueError(f"metric {metric.name}: registered twice")
    METRICS[metric.name] = metric


def per_image(label: str, digits: int, **fields: Any) -> Callable[[AnyFunction], AnyFunction]:
    """Register a function of a `Comparison` that returns (B,) float, or None if the metric cannot be computed.

    The name of the function is the name of the metric. The value of a set is the mean over images, and the metric is a
    column of the main table, unless `fields` of `Metric` say otherwise.
    """
    return _registered("score", label, digits, fields)


def of_set(label: str, digits: int, **fields: Any) -> Callable[[AnyFunction], AnyFunction]:
    """Register a function that computes the value of a set from the metrics per image in `needs`, as `per_image`."""
    return _registered("statistic", label, digits, fields)


def of_features(label: str, digits: int, **fields: Any) -> Callable[[AnyFunction], AnyFunction]:
    """Register a function of the Inception features of photographs and predictions, as `per_image`."""
    return _registered("distance", label, digits, fields)


def _registered(role: str, label: str, digits: int, fields: dict[str, Any]) -> Callable[[AnyFunction], AnyFunction]:
    def decorate(function: AnyFunction) -> AnyFunction:
        name = function.__name__
        defaults: dict[str, Any] = {"tables": (MAIN,), role: function}
        if role == "score":
            defaults |= {"needs": (name,), "statistic": lambda scores: scores[name].mean()}
        register(Metric(name, label, digits, **defaults | fields))
        return function

    return decorate


def papers() -> list[str]:
    """Return the papers whose own definitions can be computed."""
    return list(dict.fromkeys(t for metric in METRICS.values() for t in metric.tables if t not in (MAIN, FURTHER)))


def columns_of(definitions: Sequence[str]) -> list[Metric]:
    """Return every metric of an evaluation with the definitions of some papers, each once."""
    tables = {MAIN, FURTHER, *definitions}
    return [metric for metric in METRICS.values() if tables & set(metric.tables)]


def metrics_of(table: str) -> list[Metric]:
    """Return the metrics of one table, in the order of its columns."""
    return [metric for metric in METRICS.values() if table in metric.tables]


def validation_metrics() -> list[Metric]:
    """Return the metrics per image that training computes on the validation split."""
    return [metric for metric in METRICS.values() if metric.in_validation]


@per_image("MAE", 4, higher_is_better=False, qualifier="ab/110", tables=(MAIN, "gray-to-glory"), in_validation=True)
def mae_ab(batch: "Comparison") -> "Tensor":
    """Mean absolute error of a and b divided by 110."""
    return metrics.mae_ab(batch.predicted_ab, batch.truth.ab)


@per_image("PSNR", 2, higher_is_better=True, unit="dB", tables=(MAIN, "resnet18-losses"), in_validation=True)
def psnr(batch: "Comparison") -> "Tensor":
    """Peak signal-to-noise ratio of uint8 RGB."""
    return metrics.psnr_of_mse(batch.mse)


@per_image("SSIM", 4, higher_is_better=True, in_validation=True)
def ssim(batch: "Comparison") -> "Tensor":
    """Structural similarity of RGB with a Gaussian window of 11x11."""
    return metrics.ssim(batch.image, batch.truth.rgb)


@per_image("LPIPS", 4, higher_is_better=False, tables=(MAIN, "gray-to-glory"))
def lpips(batch: "Comparison") -> "Tensor | None":
    """Learned perceptual similarity of RGB in [-1, 1]."""
    return batch.lpips()


@per_image("CIEDE2000", 2, higher_is_better=False)
def ciede2000(batch: "Comparison") -> "Tensor":
    """Mean CIEDE2000 color difference."""
    return metrics.ciede2000(batch.lab, batch.truth.lab)


@of_set("Δ colorfulness", 2, higher_is_better=False, needs=_COLORFULNESS)
def colorfulness_delta(scores: Scores) -> float:
    """Difference between the mean colorfulness of predictions and of photographs."""
    return abs(scores["colorfulness"].mean() - scores["colorfulness_truth"].mean())


@per_image("AuC", 4, higher_is_better=True)
def auc(batch: "Comparison") -> "Tensor":
    """Area under the curve of ab errors below a threshold (Zhang et al. 2016)."""
    return metrics.auc(batch.predicted_ab, batch.truth.ab)


@per_image(
    "right hue",
    1,
    higher_is_better=True,
    unit="%",
    factor=100.0,
    needs=("right_hue", "colored"),
    statistic=lambda scores: (scores["right_hue"] * scores["colored"]).sum() / max(scores["colored"].sum(), 1e-12),
)
def right_hue(batch: "Comparison") -> "Tensor":
    """Share of the colored pixels that receive a visible color of the right hue; of a set, of all their pixels."""
    return metrics.right_hue(batch.lab[:, 1:], batch.truth.ab)


@per_image("false color", 1, higher_is_better=False, unit="%", factor=100.0)
def false_color(batch: "Comparison") -> "Tensor":
    """Share of the pixels that receive a strong color that is wrong."""
    return metrics.false_color(batch.lab[:, 1:], batch.truth.ab)


@per_image("colored pixels", 4, higher_is_better=True, tables=())
def colored(batch: "Comparison") -> "Tensor":
    """Share of the pixels of the photograph that are clearly colored."""
    return metrics.colored(batch.truth.ab)


@of_features("FID", 2, higher_is_better=False)
def fid(real: "Tensor", predicted: "Tensor") -> float:
    """Frechet Inception distance."""
    return metrics.fid(real, predicted)


@of_features("KID x 1000", 2, higher_is_better=False, factor=1000.0)
def kid(real: "Tensor", predicted: "Tensor") -> float:
    """Kernel Inception distance."""
    return metrics.kid(real, predicted)


@per_image("MSE", 1, higher_is_better=False, qualifier="RGB", tables=(FURTHER, "resnet18-losses"))
def mse(batch: "Comparison") -> "Tensor":
    """Mean squared error of uint8 RGB."""
    return batch.mse


@of_set("PSNR of the pooled MSE", 2, higher_is_better=True, unit="dB", tables=(FURTHER,), needs=("mse",))
def psnr_pooled(scores: Scores) -> float:
    """PSNR of the mean MSE of all images."""
    error = scores["mse"].mean()
    return min(10 * math.log10(255.0**2 / error), PSNR_CAP) if error else PSNR_CAP


@per_image("SSIM", 4, higher_is_better=True, qualifier="7x7", tables=(FURTHER, "resnet18-losses"))
def ssim_uniform(batch: "Comparison") -> "Tensor":
    """Structural similarity of RGB with a uniform window of 7x7."""
    return metrics.ssim_uniform(batch.image, batch.truth.rgb)


@per_image("colorfulness", 2, higher_is_better=True, tables=(FURTHER,))
def colorfulness(batch: "Comparison") -> "Tensor":
    """Colorfulness M3 of the prediction."""
    return metrics.colorfulness(batch.image)


@per_image("colorfulness of the photograph", 2, higher_is_better=True, tables=())
def colorfulness_truth(batch: "Comparison") -> "Tensor":
    """Colorfulness M3 of the photograph."""
    return batch.truth.colorfulness


@per_image("colorfulness", 2, higher_is_better=True, qualifier=_ABSOLUTE, tables=(FURTHER,))
def colorfulness_absolute(batch: "Comparison") -> "Tensor":
    """Colorfulness of the prediction as the code of CT2 and DDColor computes it."""
    return metrics.colorfulness(batch.image, absolute=True)


@per_image("colorfulness of the photograph", 2, higher_is_better=True, qualifier=_ABSOLUTE, tables=())
def colorfulness_absolute_truth(batch: "Comparison") -> "Tensor":
    """Colorfulness of the photograph as the code of CT2 and DDColor computes it."""
    return batch.truth.colorfulness_absolute


@of_set(
    "Δ colorfulness",
    2,
    higher_is_better=False,
    qualifier=_ABSOLUTE,
    tables=(FURTHER,),
    needs=_ABSOLUTE_COLORFULNESS,
)
def colorfulness_absolute_delta(scores: Scores) -> float:
    """Difference between the means of `colorfulness_absolute` of predictions and of photographs."""
    return abs(scores["colorfulness_absolute"].mean() - scores["colorfulness_absolute_truth"].mean())


@of_set("Δ colorfulness per image", 2, higher_is_better=False, tables=(FURTHER,), needs=_COLORFULNESS)
def colorfulness_error(scores: Scores) -> float:
    """Mean absolute difference between the colorfulness of a prediction and of its photograph."""
    return abs(scores["colorfulness"] - scores["colorfulness_truth"]).mean()


@per_image("AuC weight", 4, higher_is_better=True, tables=())
def auc_weight(batch: "Comparison") -> "Tensor":
    """Mean weight of the pixels of an image in the rebalanced AuC."""
    return batch.rebalanced_auc[1]


@per_image(
    "AuC",
    4,
    higher_is_better=True,
    qualifier="rebalanced",
    tables=(FURTHER,),
    needs=("auc_rebalanced", "auc_weight"),
    statistic=lambda scores: (scores["auc_rebalanced"] * scores["auc_weight"]).sum() / scores["auc_weight"].sum(),
)
def auc_rebalanced(batch: "Comparison") -> "Tensor":
    """AuC with pixels weighted by the rarity of their true color; of a set, images weighted by their pixels."""
    return batch.rebalanced_auc[0]


@per_image("LPIPS", 4, higher_is_better=False, qualifier="RGB in [0, 1]", tables=("gray-to-glory",))
def lpips_unit(batch: "Comparison") -> "Tensor | None":
    """LPIPS of RGB in [0, 1], which the network does not expect: a common mistake that gives lower values."""
    return batch.lpips(unit_range=True)


@of_set(
    f"PSNR of ab, {_FIXED_BATCH} photographs",
    2,
    higher_is_better=True,
    unit="dB",
    tables=("unet-gan",),
    needs=("psnr_ab",),
)
def psnr_ab_batch(scores: Scores) -> float:
    """PSNR of ab of the first photographs."""
    return scores["psnr_ab"][:_FIXED_BATCH].mean()


@of_set(f"SSIM of ab, {_FIXED_BATCH} photographs", 4, higher_is_better=True, tables=("unet-gan",), needs=("ssim_ab",))
def ssim_ab_batch(scores: Scores) -> float:
    """SSIM of ab of the first photographs."""
    return scores["ssim_ab"][:_FIXED_BATCH].mean()


@per_image("PSNR of ab", 2, higher_is_better=True, unit="dB", tables=("unet-gan",))
def psnr_ab(batch: "Comparison") -> "Tensor":
    """PSNR of a and b scaled to [0, 1] by the ranges of the training set of the paper unet-gan."""
    predicted, truth = batch.scaled_ab
    return metrics.psnr_of_mse((predicted - truth).double().square().mean(dim=(1, 2, 3)), peak=1.0)


@per_image("SSIM of ab", 4, higher_is_better=True, tables=("unet-gan",))
def ssim_ab(batch: "Comparison") -> "Tensor":
    """SSIM of a and b scaled as for `psnr_ab`."""
    return metrics.ssim_unit(*batch.scaled_ab)
