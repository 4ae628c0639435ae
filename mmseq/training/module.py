"""One optimizer step: forward, loss sums over global label weights, one loss, its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.balancers import Balancer, Whole
from mmseq.batch import Batch
from mmseq.carried import Carried
from mmseq.config.experiment import OptimizerConfig, TrainingConfig
from mmseq.inference.evaluator import Evaluator
from mmseq.memory import FREE_SOME, telling_shortage
from mmseq.model import Model
from mmseq.processes import ALONE, Processes
from mmseq.random import hash_key, seed_globals
from mmseq.state import State
from mmseq.training.checkpoint import Checkpoint, check_fits, restore_optimizer
from mmseq.training.diagnose import diagnose, merged
from mmseq.training.guard import Guard
from mmseq.training.schedule import rate
from mmseq.training.shared import SharedGradients, whole_batch


class TrainingModule(pl.LightningModule):
    """What Lightning's Trainer drives.

    Args:
        model: what is trained.
        balancer: how its tasks' losses become one.
        config: the training section.
        total_steps: optimizer steps of the whole run.
        first_step: optimizer steps that were taken before.
        saved: where they were taken to; None: nowhere yet.
        guard: what it knows of the losses so far; kept up to date.
        seed: of the run.
        first_epoch: epochs that were finished before.
        pretraining_steps: optimizer steps of the first stage.
        processes: that train together.

    Attributes:
        losses, loss: of the optimizer step in progress, summed over micro-batches and, once its gradient is
            there, over processes.
        fault: why that step was not taken; None: it was.
        whole: what the balancer was shown of the step in progress; None: nothing.
        ask: what this process wants all to know at a step; see `Keeper`.
        asked: for each of those, whether any process wants it; None: they have not been asked in this step.
    """

    def __init__(
        self,
        model: Model,
        balancer: Balancer,
        config: TrainingConfig,
        total_steps: int,
        first_step: int = 0,
        saved: Checkpoint | None = None,
        *,
        guard: Guard | None = None,
        seed: int = 0,
        first_epoch: int = 0,
        pretraining_steps: int = 0,
        processes: Processes = ALONE,
    ) -> None:
        super().__init__()
        self.model, self.balancer = model, balancer
        self.config, self.total_steps, self.first_step = config, total_steps, first_step
        self.guard, self.seed, self.processes = guard or Guard(), seed, processes
        self.first_epoch, self.pretraining_steps = first_epoch, pretraining_steps
        self.whole: Whole | None = None
        self.moments = None if saved is None else saved.moments
        self.carried, self.validated = Carried(saved.carried if saved else None), Carried()
        if saved is not None:
            check_fits(saved, self)
            self.load_state_dict(saved.weights)
        self.evaluator = Evaluator(dict(model.heads.items()))
        self.losses: dict[str, Tensor] = {}
        self.loss = torch.zeros(())
        self.gradient_norm = torch.zeros(())
        self.fault: str | None = None
        self.ask: Callable[[], list[bool]] = list
        self.asked: list[bool] | None = None
        self.micros: list[tuple[Batch, State | None]] = []

    @property
    def step(self) -> int:
        """Optimizer steps taken since the run began, earlier sittings included."""
        return self.first_step + self.global_step

    def forward(
        self, batch: Batch, shared: SharedGradients | None = None
    ) -> dict[str, Float[Tensor, "label parameter"]]:
        """The parameters of every task at its targets, in the configured precision."""
        carried = self.carried if self.training else self.validated
        with self._precision():
            return carried.run(partial(self.model, shared=shared), batch)

    def _precision(self) -> torch.autocast:
        # Not Lightning's precision plugins: they would round the timeline's float64 times.
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16-mixed")

    def training_step(self, batch: Batch, index: int) -> Float[Tensor, ""] | None:
        batch = self._of_stage(batch)
        has_labels = any(batch.weights.values())  # else, as in a window before the first, no step is taken
        shared = SharedGradients() if has_labels and self.balancer.reads == "gradients" else None
        with torch.set_grad_enabled(has_labels):
            parameters = self(batch, shared)
        self.micros.append((batch, self.carried.before))
        self.loss = self.loss + self.carried.nan_if_bad()
        if not has_labels:
            return None
        losses = self._losses(parameters, batch)
        if self.balancer.reads != "nothing":
            self.whole = self._whole(losses, batch, shared)
            self.balancer.look(self.whole)
        loss = self.balancer(losses, batch.weights, batch.share)
        self._note(losses, loss, batch)
        if shared is not None:
            loss = shared.loss(self.balancer, losses)
        # Lightning divides by the micro-batches of a step, and DistributedDataParallel by the processes;
        # these losses are parts of a sum already.
        return loss * (self.config.accumulation * self.processes.size)

    def _of_stage(self, batch: Batch) -> Batch:
        """Without the labels that the stage does not learn from."""
        if self.config.pretrain is None or self.step >= self.pretraining_steps:
            return batch
        targets, weights, learned = dict(batch.targets), dict(batch.weights), self.config.pretrain.tasks
        for task in targets.keys() - set(learned):
            targets[task] = targets[task].take(targets[task].where[:0])
            weights[task] = 0.0
        return replace(batch, targets=targets, weights=weights)

    def _losses(self, parameters: dict[str, Tensor], batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Of each task, this micro-batch's part of its mean loss over the global batch."""
        return {
            task: head.loss_sum(parameters[task], batch.targets[task]) / (batch.weights[task] or 1.0)
            for task, head in self.model.heads.items()
        }

    def _whole(self, losses: dict[str, Tensor], batch: Batch, shared: SharedGradients | None = None) -> Whole:
        key = hash_key(self.seed, self.step)
        return whole_batch(self.balancer, self.processes, losses, batch.weights, shared, key)

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        super().optimizer_step(*arguments, **options)
        if self.balancer.rereads and self.losses and self.fault is None:
            self._judge()

    @torch.no_grad()
    def _judge(self) -> None:
        """Shows the balancer what the step has made of its batch."""
        ((batch, state),) = self.micros
        with self._precision():
            parameters, _ = self.model(batch, state)
        self.balancer.judge(self._whole(self._losses(parameters, batch), batch))

    def _note(self, losses: dict[str, Tensor], loss: Tensor, batch: Batch) -> None:
        """Adds this micro-batch to the step's losses; a task without a label has none."""
        for name, value in losses.items():
            if batch.weights[name]:
                self.losses[name] = self.losses.get(name, 0) + value.detach()
        self.loss = self.loss + loss.detach()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = build_optimizer(self.config.optimizer, self.model, self.balancer)
        if self.moments is not None:
            restore_optimizer(optimizer, self.moments)
        return optimizer

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        first = self.pretraining_steps
        step, total = (
            (self.step, first) if self.step < first else (self.step - first, self.total_steps - first)
        )
        factor = rate(step, total, self.config.optimizer.warmup, self.config.optimizer.schedule)
        for group in optimizer.param_groups:
            group["lr"] = self.config.optimizer.lr * factor

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.gradient_norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.processes.size > 1:
            self._sum_over_processes()
        if not self.losses and torch.isfinite(self.loss):
            return
        self.fault = self._fault()
        if self.fault is None:
            if self.config.guard.spike is not None:
                self.guard.take(float(self.loss))
            self.guard.in_a_row = 0
            if self.balancer.watches:
                self.balancer.took(self._taken(), self.first_epoch + self.trainer.current_epoch)
            if self.config.clip is not None:
                nn.utils.clip_grads_with_norm_(parameters, self.config.clip, self.gradient_norm)
            return
        self.guard.skip()
        for parameter in parameters:
            parameter.grad = None  # which every optimizer passes over, moments and all

    def _taken(self) -> Whole:
        """The losses of the step, of all micro-batches and processes."""
        losses = [float(self.losses.get(task, 0.0)) for task in self.balancer.tasks]
        there = torch.tensor([task in self.losses for task in self.balancer.tasks])
        return Whole(torch.tensor(losses, dtype=torch.float64), there)

    def _sum_over_processes(self) -> None:
        """The losses, and in the same message what each process asks for."""
        asked = torch.tensor(self.ask(), dtype=torch.float64)
        mine = torch.stack([self.loss, *self.losses.values()]).cpu().double()
        total = self.processes.total(torch.cat([mine, asked]))
        loss, *losses = total[: len(mine)]
        self.loss, self.losses = loss, dict(zip(self.losses, losses, strict=True))
        self.asked = [n > 0 for n in total[len(mine) :].tolist()]

    def _fault(self) -> str | None:
        """Why a step with these losses and this gradient is not to be taken; the same in every process."""
        if not torch.isfinite(self.gradient_norm + self.loss.to(self.gradient_norm.device)):
            parameters = {name.removeprefix("model."): p for name, p in self.named_parameters()}
            found = merged(self.processes.gather(diagnose(self.model, parameters, self.micros)))
            losses = ", ".join(f"{name} {float(value):.4g}" for name, value in self.losses.items()) or "none"
            return self.processes.tell(
                f"step {self.step}: needs finite numbers; these are not: {found.told()}; losses: {losses}"
            )
        if self.config.guard.spike is None or not self.guard.is_spike(float(self.loss), self.config.guard):
            return None
        return (
            f"step {self.step}: the loss {float(self.loss):.4g} is a spike above {self.guard.mean:.4g} ± "
            f"{self.guard.deviation:.4g} (training.guard.spike {self.config.guard.spike:g})"
        )

    def on_validation_epoch_start(self) -> None:
        heads = dict(self.model.heads.items())
        self.evaluator = Evaluator(heads, with_baseline=False, processes=self.processes)

    def validation_step(self, batch: Batch, index: int) -> None:
        with telling_shortage(lambda: ("validation", batch), FREE_SOME):
            self.evaluator.update(self(batch), batch.targets)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, index: int) -> Batch:
        return batch if device.type == "cpu" else batch.to(device)

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        if index % self.config.accumulation == 0:
            self.losses, self.loss, self.micros = {}, torch.zeros((), device=self.device), []
            self.fault = self.asked = None
            # Nothing here draws from them, but a plugin may: a step's numbers depend on the step alone.
            seed_globals(hash_key(self.seed, self.step, self.processes.rank))


def build_optimizer(config: OptimizerConfig, *modules: nn.Module) -> torch.optim.Optimizer:
    """The optimizer; weight decay is for matrices only."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    decay = config.weight_decay
    if decay is None:
        decay = 0.01 if config.kind == "adamw" else 0.0
    if config.kind == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, weight_decay=decay, momentum=0.9)
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, weight_decay=decay, fused=True)
