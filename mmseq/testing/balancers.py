"""The contract of a balancer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmseq.balancers import Balancer, Whole, balancers
from mmseq.testing.compare import finite, gradients, require, require_close, saved
from mmseq.testing.configs import built
from mmseq.testing.contract import Case, Check, Contract, DoesNotApply

Build = Callable[[Mapping[str, float]], Balancer]

TASKS = {"level": 1.0, "delay": 0.5, "next": 0.2}
LABELS = {"level": 12.0, "delay": 7.0, "next": 240.0}
LOSSES = {"level": 0.8, "delay": 2.5, "next": 1.2}


def check_balancer(build: Build) -> None:
    """Checks that a balancer keeps what training relies on.

    Args:
        build: the balancer for tasks of these weights.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
    """
    Case(CONTRACT, lambda: build).require()


def cases(kind: str, options: Mapping[str, Any], seed: int = 0) -> list[Case[Any]]:
    """A kind with these options, for several tasks."""

    def build(tasks: Mapping[str, float]) -> Balancer:
        torch.manual_seed(seed)
        return balancers.build(built(balancers, kind, options), tasks)

    def trial() -> Build:
        build(TASKS)
        return build

    return [Case(CONTRACT, trial)]


def _run(
    balancer: Balancer, losses: Mapping[str, float], labels: Mapping[str, float], share: float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and the gradients that it sends to the tasks and to the balancer's own parameters."""
    leaves = {
        task: torch.tensor(value, dtype=torch.float64, requires_grad=True) for task, value in losses.items()
    }
    loss = balancer.double()(leaves, labels, share)
    came, remedy = f"shape {tuple(loss.shape)} came", "sum over tasks"
    require(loss.ndim == 0, balancer, "the loss is one number", came, remedy)
    loss.backward()
    found = dict(gradients(balancer))
    for task, leaf in leaves.items():
        remedy = "multiply its loss by 0 rather than leave it out"
        rule = "every task's loss stays on the graph"
        require(leaf.grad is not None, balancer, rule, f"{task} has no gradient", remedy)
        assert leaf.grad is not None
        found[f"loss of {task}"] = leaf.grad
    return loss.detach(), found


def _check_outcome(build: Build) -> None:
    balancer = build(TASKS)
    loss, found = _run(balancer, LOSSES, LABELS)
    good = bool(loss.isfinite())
    require(good, balancer, "the loss is one finite number", str(loss), "divide by nothing that can be 0")
    for task in TASKS:
        gradient = float(found[f"loss of {task}"])
        rule, remedy = "less loss of a task is less loss of all", "weigh it by a positive number"
        require(gradient > 0, balancer, rule, f"{task} has gradient {gradient}", remedy)


def _check_repeatable(build: Build) -> None:
    balancer = build(TASKS)
    first, again = (_run(balancer, LOSSES, LABELS) for _ in range(2))
    good = bool(first[0] == again[0]) and all(torch.equal(first[1][n], again[1][n]) for n in first[1])
    rule, remedy = "the same call gives the same numbers", "keep no memory, and draw no random numbers"
    require(good, balancer, rule, "they differ", remedy)


def _check_nothing(build: Build) -> None:
    """A global batch without a single label."""
    loss, found = _run(build(TASKS), dict.fromkeys(TASKS, 0.0), dict.fromkeys(TASKS, 0.0))
    rule, remedy = "without a label anywhere all is finite and the loss is 0", "divide by no number of labels"
    good = bool(loss == 0) and finite(found)
    require(good, build(TASKS), rule, f"{float(loss)} came", remedy)


def _check_precision(build: Build) -> None:
    balancer = build(TASKS).float()
    losses = {task: torch.tensor(value) for task, value in LOSSES.items()}
    loss = balancer(losses, LABELS, 1.0)
    rule, remedy = "float32 losses give a float32 loss", "follow the losses' dtype"
    require(loss.dtype == torch.float32, balancer, rule, f"{loss.dtype} came", remedy)


def _check_parts(build: Build) -> None:
    """Micro-batches of a global batch add up to it."""
    whole, expected = _run(build(TASKS), LOSSES, LABELS)
    shares = (0.25, 0.75)
    parts = [{task: share * loss for task, loss in LOSSES.items()} for share in shares]
    runs = [_run(build(TASKS), part, LABELS, share) for part, share in zip(parts, shares, strict=True)]
    rule = "the losses of micro-batches add up to that of their global batch"
    remedy = "keep it linear in the losses, and multiply what enters once a step by `share`"
    balancer = build(TASKS)
    require_close(torch.stack([loss for loss, _ in runs]).sum(), whole, balancer, rule, remedy)
    for name in expected:
        if name.startswith("loss of "):
            continue  # each part's loss gets the same factor
        total = torch.stack([found[name] for _, found in runs]).sum(0)
        require_close(total, expected[name], balancer, f"{rule} (gradient of {name})", remedy)


def _check_task_without_labels(build: Build) -> None:
    """A task without a label in the global batch is as if it were not there."""
    without = {task: loss for task, loss in LOSSES.items() if task != "delay"}
    expected, _ = _run(build({task: TASKS[task] for task in without}), without, LABELS)
    loss, _ = _run(build(TASKS), {**LOSSES, "delay": 0.0}, {**LABELS, "delay": 0.0})
    rule = "a task without a label in the global batch adds nothing, constants included"
    require_close(loss, expected, build(TASKS), rule, "look at `weights`, and leave its constant out")


def _check_weight_of_zero(build: Build) -> None:
    """A configured weight of 0 takes a task out."""
    tasks = {**TASKS, "delay": 0.0}
    loss, found = _run(build(tasks), LOSSES, LABELS)
    other, _ = _run(build(tasks), {**LOSSES, "delay": 99.0}, LABELS)
    good = bool(loss == other) and not bool(found["loss of delay"])
    rule, remedy = "a task of weight 0 adds nothing", "multiply its loss by its weight"
    require(good, build(tasks), rule, f"{float(loss)} and {float(other)}", remedy)


def _see(balancer: Balancer, steps: range) -> None:
    """Shows it some steps, in the middle one of which a task has no label and another no gradient."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        there = torch.tensor([True, step % 3 != 1, True])
        losses = torch.rand(3, generator=generator, dtype=torch.float64) * there
        directions = torch.randn(3, 4, generator=generator, dtype=torch.float64) * there[:, None]
        directions[2] *= step % 3 != 1
        whole = Whole(losses, there, directions @ directions.T, step)
        if balancer.reads != "nothing":
            balancer.look(replace(whole, gram=whole.gram if balancer.reads == "gradients" else None))
        if balancer.rereads:
            balancer.judge(replace(whole, losses=losses * 0.9, gram=None))
        if balancer.watches:
            balancer.took(replace(whole, gram=None), step // 3)


def _need_memory(balancer: Balancer) -> None:
    if balancer.reads == "nothing" and not balancer.rereads and not balancer.watches:
        raise DoesNotApply("it looks at nothing but the losses of the call")


def _check_seeing(build: Build) -> None:
    balancer = build(TASKS)
    _need_memory(balancer)
    for step in range(9):
        _see(balancer, range(step, step + 1))
        loss, found = _run(balancer, LOSSES, LABELS)
        rule = "after a step in which a task had no label or no gradient, loss and gradients are finite"
        good = bool(loss.isfinite()) and finite(found)
        require(good, balancer, rule, "inf or NaN came", "divide by no norm and no count that can be 0")
    quiet = build({**TASKS, "delay": 0.0})
    _see(quiet, range(9))
    loss, _ = _run(quiet, LOSSES, LABELS)
    other, _ = _run(quiet, {**LOSSES, "delay": 99.0}, LABELS)
    rule = "a task of weight 0 adds nothing, whatever was seen"
    require(bool(loss == other), quiet, rule, f"{loss} and {other}", "multiply its loss by its weight")


def _check_saving(build: Build) -> None:
    """What it has learned of training is in its state dict, and goes on from there to the last bit."""
    balancer, other = build(TASKS), build(TASKS)
    _need_memory(balancer)
    _see(balancer, range(7))
    loaded = saved(balancer.state_dict(), balancer)
    other.load_state_dict(loaded)
    for one in (balancer, other):
        _see(one, range(7, 12))
    losses = [_run(one, LOSSES, LABELS)[0] for one in (balancer, other)]
    rule = "one that was saved and loaded goes on the same, to the last bit"
    remedy = "register what it remembers as buffers"
    require(bool(losses[0] == losses[1]), balancer, rule, f"{losses[0]} and {losses[1]}", remedy)


CONTRACT: Contract[Build] = (
    Check("outcome", "one finite number, which falls as any task's loss falls", _check_outcome),
    Check("repeatable", "the same call gives the same numbers", _check_repeatable),
    Check("precision", "float32 losses give a float32 loss", _check_precision),
    Check("sums", "micro-batches add up to their global batch, gradients too", _check_parts),
    Check(
        "absent task", "a task without a label adds nothing, constants included", _check_task_without_labels
    ),
    Check("empty", "a batch without any label gives 0, with finite gradients", _check_nothing),
    Check("weight of zero", "a task of weight 0 adds nothing", _check_weight_of_zero),
    Check("seeing", "all is finite after steps without a label or a gradient of a task", _check_seeing),
    Check("saving", "one that was saved and loaded goes on the same, to the last bit", _check_saving),
)
