"""What the user asks about training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from mmseq.config.section import Section


class BatchConfig(Section):
    """How samples are grouped into global batches."""

    samples: PositiveInt | None = Field(
        None, description="samples in a global batch (32 where neither is set)"
    )
    steps: PositiveInt | None = Field(
        None, description="a step budget for a global batch, instead of samples"
    )
    bucket: PositiveInt = Field(
        8, description="batches whose samples are sorted by length together; 1: no bucketing"
    )
    labelled: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of each batch that has a label of any task; few labels then come more often than "
        "once an epoch; null: every sample once",
    )
    balance: str | None = Field(
        None,
        description="classification task whose classes are drawn equally often; null: every sample once",
    )

    @model_validator(mode="after")
    def _one_size(self) -> BatchConfig:
        if self.samples and self.steps:
            raise ValueError("has both `samples` and `steps`; keep one")
        if self.labelled and self.balance:
            raise ValueError("has both `labelled` and `balance`; keep one")
        return self


class OptimizerConfig(Section):
    """How weights are moved."""

    kind: Literal["adamw", "adam", "sgd"] = Field("adamw", description="rule that moves the weights")
    lr: float = Field(1e-3, gt=0, description="peak learning rate")
    weight_decay: float | None = Field(
        None, ge=0, description="weight decay of matrices; null: 0.01 for adamw, 0 for the others"
    )
    schedule: Literal["constant", "cosine", "linear"] = Field("cosine", description="after the warm-up")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps over which the rate rises")


class CheckpointConfig(Section):
    """When training is written down, so that it can go on from there."""

    minutes: float = Field(0.5, gt=0, description="time between checkpoints, about")
    steps: PositiveInt | None = Field(
        None, description="optimizer steps between checkpoints, beside `minutes`; null: by time alone"
    )
    keep: int = Field(2, ge=2, description="the latest ones that stay; the best epoch's stays beside them")


class GuardConfig(Section):
    """What becomes of a step whose numbers are bad: it is not taken."""

    in_a_row: PositiveInt = Field(3, description="bad steps one after another that end training")
    spike: float | None = Field(
        None,
        gt=1,
        description="a loss that lies above the running mean by so many mean deviations is a bad step; "
        "null: only one that is not finite",
    )


class PretrainConfig(Section):
    """A first stage, which learns from some of the tasks only."""

    epochs: PositiveInt = Field(description="passes over the training split before all tasks are trained")
    tasks: list[str] = Field(min_length=1, description="what is learned meanwhile, such as a next_step")


class TrainingConfig(Section):
    """How the model is trained."""

    epochs: PositiveInt = Field(20, description="passes over the training split")
    pretrain: PretrainConfig | None = Field(
        None, description="a stage before them, with a learning rate of its own course; null: none"
    )
    batch: BatchConfig = Field(BatchConfig(), description="how samples are grouped")
    supervise: Literal["last", "every_step"] = Field(
        "last",
        description="where a label of a whole sample is learned: at its last step, or early, at every step "
        "with a share of its weight",
    )
    window: PositiveInt | None = Field(
        None,
        description="steps that gradients go back at most; longer samples train window after window, their "
        "state carried on; null: whole samples",
    )
    recompute: PositiveInt | None = Field(
        None,
        description="steps of a segment that is worked out again for its gradient, so that its inner values "
        "need not be kept: less memory, more time; null: everything is kept",
    )
    accumulation: PositiveInt = Field(1, description="micro-batches a global batch is split into")
    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="how weights are moved")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no clipping")
    monitor: str | None = Field(
        None, description="task/metric that picks the best epoch; null: the validation loss"
    )
    patience: PositiveInt | None = Field(
        None, description="epochs without a better monitor before training ends; null: all epochs"
    )
    precision: Literal["32-true", "64-true", "bf16-mixed"] = Field(
        "32-true", description="numbers of weights and arithmetic; mixed: weights in 32 bits, layers in 16"
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field("auto", description="what computes")
    devices: PositiveInt | None = Field(
        None,
        description="processes on each machine, one a device; null: one, or as many as a launcher started",
    )
    nodes: PositiveInt = Field(
        1, description="machines; for more than one, start the run on each by torchrun or srun"
    )
    strategy: Literal["ddp"] = Field("ddp", description="how several processes train one model")
    threads: PositiveInt | None = Field(
        None, description="CPU threads of a process; null: as torch chooses, or an equal part of the cores"
    )
    deterministic: bool = Field(
        True,
        description="a GPU adds in the same order each time: a run repeats bit by bit; false: faster, and "
        "equal up to rounding",
    )
    workers: int = Field(
        0, ge=0, description="processes that assemble batches; 0 is fastest for small inputs"
    )
    checkpoint: CheckpointConfig = Field(CheckpointConfig(), description="when training is written down")
    guard: GuardConfig = Field(GuardConfig(), description="what becomes of bad numbers")
    log_every: PositiveInt = Field(10, description="steps between rows of metrics.csv")

    @property
    def pretrained(self) -> int:
        """Epochs of the first stage."""
        return 0 if self.pretrain is None else self.pretrain.epochs

    @property
    def all_epochs(self) -> int:
        """Epochs of both stages."""
        return self.pretrained + self.epochs
