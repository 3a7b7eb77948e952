"""Configuration of `colorize train`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from cluster.config.keys import CHANGEABLE
from cluster.config.loading import Section
from colorize_core.data.options import AugmentOptions
from colorize_core.training.losses import LossOptions
from colorize_core.training.options import DiscriminatorOptions, Scaling, Schedule
from jobs.command.config import Output, StorageJobConfig
from jobs.run.weights_config import FidOptions
from jobs.train.outputs.metrics_file import SCORES
from jobs.train.outputs.mlflow import TrackingOptions

if TYPE_CHECKING:
    BestMetric = str
else:
    BestMetric = Literal[tuple(metric.name for metric in SCORES)]


class ModelOptions(Section):
    """Network to train."""

    name: str
    """Name of the architecture; see docs/reference/models.md."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the architecture, such as backbone_weights of resnet_unet (imagenet, a path, or null)."""
    init_from: str | None = None
    """Checkpoint of the same architecture whose weights training starts from (`starter` for the checkpoint that comes
    with the project)."""


class OptimOptions(Section):
    """Optimization."""

    epochs: int = Field(20, ge=1, json_schema_extra=CHANGEABLE)
    """Number of passes over the training split. A higher value continues a finished run."""
    batch_size: int = Field(16, ge=1)
    """Photographs per batch of each worker."""
    accumulate: int = Field(1, ge=1)
    """Batches per optimizer step of each worker (gradient accumulation): a step uses batch_size x accumulate x workers
    photographs. For total batches that do not fit into memory."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate of Adam."""
    lr_scaling: Scaling = "none"
    """Factor on learning rates for the larger total batch of several workers: none, linear (number of workers), or sqrt
    (its square root)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's beta1 and beta2; (0.5, 0.999) is usual with an adversarial loss."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay of the model (AdamW)."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, such as 0.999. The average is then validated and saved. No
    average when empty."""
    schedule: Schedule = "constant"
    """Learning rate schedule: constant; linear (constant for the first half, then linear decay to 0, as pix2pix);
    cosine (decay to 0); multistep (multiplied by gamma at each of milestones)."""
    milestones: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=list)
    """Shares of the run, such as 0.2, after which schedule=multistep multiplies the learning rate by gamma."""
    gamma: float = Field(0.5, gt=0, lt=1)
    """Factor on the learning rate at each of milestones."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Length of the linear increase of the learning rate at the beginning, in epochs; may be a fraction."""
    clip_norm: float | None = Field(None, gt=0)
    """Maximum norm of the model's gradient; no clipping when empty."""
    best_metric: BestMetric = "mae_ab"
    """Validation metric that selects the best epoch, for best/ and patience; fid needs fid.weights."""
    patience: int | None = Field(None, ge=1, json_schema_extra=CHANGEABLE)
    """Number of epochs without a better best_metric after which the run stops; no early stopping when empty."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Precision of the networks' arithmetic; auto is bf16 on devices that compute faster in it. Weights and losses stay
    fp32."""
    compile: bool = False
    """Compile the model (torch.compile): takes minutes at the start, then steps are faster."""
    shuffle_buffer: int = Field(1024, ge=0)
    """Photographs in the shuffle buffer of each worker. Rows are stored in random order already, and the order of row
    groups differs in each epoch."""
    prefetch: int = Field(4, ge=1, json_schema_extra=CHANGEABLE)
    """Batches that a thread of each worker reads ahead; they are in pinned memory if the worker has a GPU."""
    seed: int = 0
    """Random seed of initial weights, shuffling and augmentation."""
    checkpoint_steps: int | None = Field(None, ge=1, json_schema_extra=CHANGEABLE)
    """Optimizer steps between checkpoints within an epoch, in addition to the one at its end: the most that a crash can
    cost. Checkpoints are saved only at the end of epochs when empty."""
    keep_checkpoints: int | None = Field(3, ge=1, json_schema_extra=CHANGEABLE)
    """Number of newest checkpoints to keep for resuming, in addition to best and last; all when empty."""
    max_failures: int = Field(3, ge=0, json_schema_extra=CHANGEABLE)
    """Number of times that lost workers are replaced, and training continues from the last checkpoint, before the run
    fails."""
    samples: int = Field(8, ge=1)
    """Number of validation photographs in the sample grid of each epoch."""

    @model_validator(mode="after")
    def _check(self) -> "OptimOptions":
        if self.schedule == "multistep" and not self.milestones:
            raise ValueError("schedule: multistep needs milestones, such as [0.5, 0.75]")
        if self.schedule != "multistep" and self.model_fields_set & {"milestones", "gamma"}:
            raise ValueError(f"milestones and gamma have no effect with schedule: {self.schedule}")
        return self


class WorkersOptions(Section):
    """Training workers."""

    count: int = Field(1, ge=1)
    """Number of worker processes, each with one replica of the model (DDP)."""
    min: int | None = Field(None, ge=1, json_schema_extra=CHANGEABLE)
    """Minimum number of workers: training continues with fewer than `count` while the cluster has no resources for all
    (elastic). Always `count` workers when empty."""
    gpu: bool = False
    """Use one GPU per worker."""
    cpus: float = Field(1, gt=0, json_schema_extra=CHANGEABLE)
    """Logical CPUs per worker; also the number of compute threads in training on CPUs."""
    preemption_grace: float = Field(0.0, ge=0, json_schema_extra=CHANGEABLE)
    """Seconds that the remaining workers have for an upload after a preempted node is gone; the end of a Kubernetes pod
    then counts as a failure. With 0, all workers stop 5 s before the end of the node. A checkpoint is saved as soon as
    the cluster announces the end of a node, also within an epoch."""

    @model_validator(mode="after")
    def _check(self) -> "WorkersOptions":
        if self.min is not None and self.min > self.count:
            raise ValueError(f"min must not exceed count = {self.count}")
        return self


class TrainConfig(StorageJobConfig):
    """Train a colorization model on Lab shards. The same command continues an interrupted run.

    OUTPUT contains best/ and last/ (checkpoints for all other verbs), checkpoints/ (the newest epochs, with the state
    for resuming), metrics.csv, curves.png, tensorboard/, samples/ (a grid per epoch) and run.json.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"train": "optim"}

    shards: str
    """Dataset written by `prepare`, with the splits train and val."""
    output: Output
    """Directory or URI of the run."""
    model: ModelOptions
    """Network to train."""
    loss: LossOptions
    """Weights and options of the losses."""
    discriminator: DiscriminatorOptions = Field(default_factory=DiscriminatorOptions)
    """The discriminator, used with loss.adversarial."""
    augment: AugmentOptions = Field(default_factory=AugmentOptions)
    """Random changes of training photographs."""
    optim: OptimOptions = Field(default_factory=OptimOptions)
    """Optimization."""
    workers: WorkersOptions = Field(default_factory=WorkersOptions)
    """Training workers."""
    fid: FidOptions = Field(default_factory=FidOptions)
    """FID of the validation split after each epoch; with a few hundred photographs it is only a rough value."""
    tracking: TrackingOptions = Field(default_factory=TrackingOptions, json_schema_extra=CHANGEABLE)
    """Experiment tracking, in addition to metrics.csv and TensorBoard."""

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        if self.optim.best_metric == "fid" and not self.fid.weights:
            raise ValueError("optim.best_metric = 'fid' needs fid.weights")
        if "discriminator" in self.model_fields_set and not self.loss.adversarial:
            raise ValueError("discriminator has no effect without loss.adversarial")
        return self
