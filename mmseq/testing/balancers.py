"""The contract of a balancer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mmseq.balancers import Balancer
from mmseq.testing.compare import gradients, require, require_close

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
    for rule in (_check_outcome, _check_parts, _check_task_without_labels, _check_weight_of_zero):
        rule(build)


def _run(
    balancer: Balancer, losses: Mapping[str, float], labels: Mapping[str, float], share: float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and the gradients that it sends to the tasks and to the balancer's own parameters."""
    leaves = {
        task: torch.tensor(value, dtype=torch.float64, requires_grad=True) for task, value in losses.items()
    }
    loss = balancer.double()(leaves, labels, share)
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
    good = loss.ndim == 0 and bool(loss.isfinite())
    require(good, balancer, "the loss is one finite number", str(loss), "sum over tasks")
    for task in TASKS:
        gradient = float(found[f"loss of {task}"])
        rule, remedy = "less loss of a task is less loss of all", "weigh it by a positive number"
        require(gradient > 0, balancer, rule, f"{task} has gradient {gradient}", remedy)


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
