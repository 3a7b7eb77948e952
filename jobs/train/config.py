"""What can be said of a training run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from cluster.config.loading import Section
from jobs.command.config import Output, StorageJobConfig
from jobs.run.weights_config import FidOptions
from jobs.train.outputs.mlflow import TrackingOptions

if TYPE_CHECKING:
    from colorize_core.data.augment import Augmentation
    from colorize_core.training.losses import ColorLoss
    from colorize_core.training.steps import AdversarialOptions

_NEEDS_SEPARATE_IMAGES = "a gradient penalty needs images judged apart, and norm=batch mixes them"


class ModelOptions(Section):
    """Which network."""

    name: str
    """Architecture: see docs/reference/models.md."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the architecture, such as backbone_weights of resnet_unet (imagenet, a path, or null)."""
    init_from: str | None = None
    """Checkpoint whose weights training starts from (starter: the one that comes with the project); it must be of the
    same architecture."""


class LossOptions(Section):
    """Weights of the losses; 0 leaves one out."""

    l1: float = Field(0.0, ge=0)
    """Mean absolute error of ab on the network's scale."""
    mse: float = Field(0.0, ge=0)
    """Mean squared error of ab on the network's scale."""
    smooth_l1: float = Field(0.0, ge=0)
    """Squared error below smooth_l1_beta, absolute above."""
    tv: float = Field(0.0, ge=0)
    """Total variation of the predicted ab: smoother colors."""
    color_weighted: float = Field(0.0, ge=0)
    """Squared error, weighted by the rarity of the true color."""
    perceptual: float = Field(0.0, ge=0)
    """Distance in the features of VGG-16."""
    cross_entropy: float = Field(0.0, ge=0)
    """Classification into 313 colors, rebalanced; for models with bins (zhang_eccv16)."""
    adversarial: float = Field(0.0, ge=0)
    """The verdict of a PatchGAN discriminator that sees L and ab (pix2pix); its kind is discriminator.loss."""
    smooth_l1_beta: float = Field(1.0, gt=0)
    """Error on the network's scale (ab/110) at which smooth_l1 changes over."""
    prior_smoothing: float = Field(0.5, ge=0, le=1)
    """Part of the uniform distribution mixed into the color prior, for color_weighted and cross_entropy."""
    vgg_weights: str | None = None
    """Path or URI of torchvision's VGG-16 state dict, for perceptual; downloaded when empty."""

    @model_validator(mode="after")
    def _check(self) -> "LossOptions":
        if not self.weights().keys() - {"tv"}:
            raise ValueError("no loss compares with the truth; give loss.l1 or another one a weight")
        return self

    def weights(self) -> dict[str, float]:
        """Weight by name of the losses that are on, but the adversarial one."""
        options = {"adversarial", "smooth_l1_beta", "prior_smoothing", "vgg_weights"}
        return {name: weight for name, weight in self.model_dump(exclude=options).items() if weight}

    def build(self, color_prior: Sequence[Sequence[float]]) -> "ColorLoss":
        """The losses of the generator; raises UserError when the weights of VGG-16 are wanted and cannot be had."""
        from colorize_core.training.losses import ColorLoss

        return ColorLoss(
            self.weights(),
            smooth_l1_beta=self.smooth_l1_beta,
            color_prior=color_prior,
            prior_smoothing=self.prior_smoothing,
            vgg_weights=self.vgg_weights,
        )


class DiscriminatorOptions(Section):
    """The PatchGAN, with loss.adversarial."""

    layers: int = Field(3, ge=0, le=5)
    """Stride-2 convolutions: 3 judges patches of 70 pixels, 0 each pixel by itself."""
    norm: Literal["batch", "instance", "spectral", "none"] = "batch"
    """Normalization; batch is synchronized across workers with GPUs."""
    loss: Literal["bce", "lsgan", "hinge", "wgan_gp"] = "bce"
    """Adversarial loss of both networks."""
    lr: float | None = Field(None, gt=0)
    """Learning rate; optim.lr when empty."""
    betas: tuple[float, float] | None = None
    """Decay rates of Adam; optim.betas when empty."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Taken off the label of real, for bce and lsgan."""
    gradient_penalty: float = Field(10.0, gt=0)
    """Weight of the gradient penalty of wgan_gp."""
    r1: float = Field(0.0, ge=0)
    """Weight of the R1 penalty; 0 leaves it out."""

    @model_validator(mode="after")
    def _check(self) -> "DiscriminatorOptions":
        if self.norm == "batch" and (self.r1 or self.loss == "wgan_gp"):
            raise ValueError(f"{_NEEDS_SEPARATE_IMAGES}; use discriminator.norm=instance, spectral or none")
        if "gradient_penalty" in self.model_fields_set and self.loss != "wgan_gp":
            raise ValueError("gradient_penalty has no effect without loss: wgan_gp")
        if self.label_smoothing and self.loss not in ("bce", "lsgan"):
            raise ValueError(f"label_smoothing has no effect with loss: {self.loss}")
        return self

    def rule(self, weight: float) -> "AdversarialOptions":
        """What the step needs to know, with the generator's `weight` of the adversarial loss."""
        from colorize_core.training.steps import AdversarialOptions

        return AdversarialOptions(self.loss, weight, self.label_smoothing, self.gradient_penalty, self.r1)


class GrayStyleOptions(Section):
    """Gray styles of the input alone: for each a probability, and the largest strength that is drawn."""

    film: float = Field(0.0, ge=0, le=1)
    """Probability of the tones of another film: panchromatic, orthochromatic or blue-sensitive."""
    film_strength: float = Field(1.0, ge=0, le=1)
    """Share of the way from the eye's luminance to the film's."""
    blur: float = Field(0.0, ge=0, le=1)
    """Probability of a blurred lens."""
    blur_strength: float = Field(1.2, ge=0)
    """Standard deviation of the Gaussian in pixels."""
    gamma: float = Field(0.0, ge=0, le=1)
    """Probability of a darker or lighter development."""
    gamma_strength: float = Field(0.5, ge=0)
    """Octaves up or down of the exponent."""
    contrast: float = Field(0.0, ge=0, le=1)
    """Probability of softer or harder paper."""
    contrast_strength: float = Field(0.3, ge=0)
    """Octaves up or down of the slope at middle gray."""
    grain: float = Field(0.0, ge=0, le=1)
    """Probability of film grain."""
    grain_strength: float = Field(0.03, ge=0)
    """Standard deviation of the grain in middle gray, as a share of white."""
    fading: float = Field(0.0, ge=0, le=1)
    """Probability of a faded print."""
    fading_strength: float = Field(0.2, ge=0, le=0.49)
    """How far black rises and white falls, as a share of white."""
    jpeg: float = Field(0.0, ge=0, le=1)
    """Probability of JPEG compression."""
    jpeg_strength: float = Field(60.0, ge=0, le=99)
    """How far the quality falls below 100."""


class AugmentOptions(Section):
    """How photographs are varied: the same for a photograph and an epoch, whatever the batch and the workers."""

    flip: bool = True
    """Mirror one photograph in two."""
    crop: int | None = Field(None, ge=32, multiple_of=32)
    """Side in pixels of a square cut out at random; the whole photograph when empty."""
    zoom: float | None = Field(None, gt=0, lt=1)
    """Smallest share of a photograph's side that a random window shows (0.5), its shape a little stretched, resampled
    to augment.crop or to the photograph's size; squares are cut out as they are when empty."""
    style: GrayStyleOptions = Field(default_factory=GrayStyleOptions)
    """Gray styles of the input alone."""
    chroma: float = Field(1.0, gt=0)
    """What ab is multiplied by: networks that learn a mean or a median of possible colors give pale ones, and 1.25
    makes up for it, at some cost in every score but colorfulness."""

    def rule(self) -> "Augmentation":
        """What the core needs to know."""
        from colorize_core.data.augment import Augmentation
        from colorize_core.data.degradation import GrayStyle

        return Augmentation(self.flip, self.crop, self.zoom, GrayStyle(**self.style.model_dump()), self.chroma)


class OptimOptions(Section):
    """How to optimize."""

    epochs: int = Field(20, ge=1)
    """Passes over the training split. May be raised to continue a finished run."""
    batch_size: int = Field(16, ge=1)
    """Photographs that a worker passes through the networks at once."""
    accumulate: int = Field(1, ge=1)
    """Batches of each worker to a step: gradients of batch_size x accumulate x workers photographs move the weights
    once. For batches that memory has no room for."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate of Adam."""
    lr_scaling: Literal["none", "linear", "sqrt"] = "none"
    """What learning rates are multiplied by for the larger batch of several workers: nothing, their number, or its
    root."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam; (0.5, 0.999) is usual with an adversarial loss."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay (AdamW) of the model."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights (0.999), which is then validated and kept; none when
    empty."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate over the run: constant; linear, constant for the first half and then down to 0 (pix2pix); cosine,
    down to 0."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Epochs, or a part of one, over which the learning rate rises."""
    clip_norm: float | None = Field(None, gt=0)
    """Largest norm of the model's gradient; unlimited when empty."""
    best_metric: Literal["mae_ab", "psnr", "ssim", "fid"] = "mae_ab"
    """Validation score by which an epoch is the best, for best/ and patience; fid needs fid.weights."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many epochs without a better best_metric; never when empty."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of the networks' arithmetic; auto is bf16 where the device is faster in it. Weights and losses stay fp32."""
    compile: bool = False
    """Compile the model (torch.compile): minutes at the start, faster steps after."""
    shuffle_buffer: int = Field(1024, ge=0)
    """Photographs each worker shuffles among; rows are stored in random order already, and row groups are read in
    another order in each epoch."""
    prefetch: int = Field(4, ge=1)
    """Batches that each worker reads and shuffles ahead, in a thread; into pinned memory where it has a GPU."""
    seed: int = 0
    """Of weights, shuffling and augmentation."""
    checkpoint_steps: int | None = Field(None, ge=1)
    """Steps between checkpoints within an epoch, beside the one at its end: what a crash can cost. None when empty."""
    keep_checkpoints: int | None = Field(3, ge=1)
    """Newest checkpoints to keep for resuming, besides best and last; all when empty."""
    max_failures: int = Field(3, ge=0)
    """Times a lost worker is replaced, from the last checkpoint, before the run gives up."""
    samples: int = Field(8, ge=1)
    """Validation photographs in the sample grid of each epoch."""


class WorkersOptions(Section):
    """Where to train."""

    count: int = Field(1, ge=1)
    """Processes, one model replica each (DDP)."""
    min: int | None = Field(None, ge=1)
    """Go on with as few as this while the cluster has no room for `count` (elastic); always count when empty."""
    gpu: bool = False
    """Give each a GPU."""
    cpus: float = Field(1, gt=0)
    """Logical CPUs each; on the CPU as many threads compute."""
    preemption_grace: float = Field(0.0, ge=0)
    """Seconds that the other workers have to finish an upload after a preempted node is gone, whose end is then a
    failure if it is a pod's. With 0 all leave 5 s before it. A checkpoint is saved as soon as the cluster says that it
    will take a node away, also within an epoch."""

    @model_validator(mode="after")
    def _check(self) -> "WorkersOptions":
        if self.min is not None and self.min > self.count:
            raise ValueError(f"min is more than count = {self.count}")
        return self


class TrainConfig(StorageJobConfig):
    """Train a colorization model on Lab shards. The same command continues a run that was interrupted.

    OUTPUT holds best/ and last/ (checkpoints for every other verb), checkpoints/ (the newest epochs, with what resuming
    needs), metrics.csv, curves.png, tensorboard/, samples/ (a grid per epoch) and run.json.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"train": "optim"}

    shards: str
    """Dataset of `prepare`, with a train and a val split."""
    output: Output
    """Where the run goes."""
    model: ModelOptions
    """Which network."""
    loss: LossOptions
    """Weights of the losses."""
    discriminator: DiscriminatorOptions = Field(default_factory=DiscriminatorOptions)
    """The PatchGAN, with loss.adversarial."""
    augment: AugmentOptions = Field(default_factory=AugmentOptions)
    """How photographs are varied."""
    optim: OptimOptions = Field(default_factory=OptimOptions)
    """How to optimize."""
    workers: WorkersOptions = Field(default_factory=WorkersOptions)
    """Where to train."""
    fid: FidOptions = Field(default_factory=FidOptions)
    """FID of each epoch's pictures; a few hundred validation photographs give a rough one."""
    tracking: TrackingOptions = Field(default_factory=TrackingOptions)
    """Recording the run elsewhere too."""

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        if self.optim.best_metric == "fid" and not self.fid.weights:
            raise ValueError("optim.best_metric = 'fid' needs fid.weights")
        if "discriminator" in self.model_fields_set and not self.loss.adversarial:
            raise ValueError("discriminator has no effect without loss.adversarial")
        return self
