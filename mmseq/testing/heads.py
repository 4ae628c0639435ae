"""The contract of a head."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mmseq.batch import Target
from mmseq.heads import HeadConfig, Labels
from mmseq.testing.compare import finite, gradients, require, require_close, require_same
from mmseq.testing.head_examples import Example, example

HIDDEN = 32
STEPS = 100


def check_head(config: HeadConfig, labels: Labels | None = None, *, seed: int = 0) -> None:
    """Checks that a head keeps what every other part relies on.

    Args:
        config: what it is built from; its columns are made up.
        labels: some to learn, where neither three classes nor zeros and ones are labels for it.
        seed: of the inputs that are tried.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
    """
    rules: Sequence[Callable[[_Trial], None]] = (
        _check_specification,
        _check_parameters,
        _check_loss,
        _check_split,
        _check_rows,
        _check_gradients,
        _check_nothing,
        _check_unobserved,
        _check_prediction,
        _check_metrics,
        _check_learning,
    )
    given = example(config, labels, seed=seed)
    for rule in rules:
        rule(_Trial(given, seed))


class _Trial:
    """A fresh head in float64, hidden vectors, and labels for them."""

    def __init__(self, given: Example, seed: int) -> None:
        torch.manual_seed(seed)
        self.given = given
        self.head = copy.deepcopy(given.build(HIDDEN)).double()
        generator = torch.Generator().manual_seed(seed)
        self.target = given.target
        self.hidden = torch.randn(len(self.target), HIDDEN, generator=generator, dtype=torch.float64)

    def learn(self, parts: Sequence[tuple[Tensor, Target]]) -> dict[str, Tensor]:
        """Sums of loss and weight over parts, and the gradients of the loss."""
        hiddens = [hidden.clone().requires_grad_() for hidden, _ in parts]
        targets = [target for _, target in parts]
        losses = [self.head.loss_sum(self.head(h), t) for h, t in zip(hiddens, targets, strict=True)]
        total = torch.stack(losses).sum()
        total.backward()
        weight = torch.stack([self.head.weights(target).double().sum() for target in targets]).sum()
        own = torch.cat([torch.zeros(0, HIDDEN) if h.grad is None else h.grad for h in hiddens])
        weights = {f"gradient of {name}": grad for name, grad in gradients(self.head).items()}
        return {
            "loss": total.detach(),
            "weight": weight,
            "gradient of hidden": own,
            **weights,
        }

    def part(self, rows: slice | Tensor) -> tuple[Tensor, Target]:
        return self.hidden[rows], take(self.target, rows)


def take(target: Target, rows: slice | Tensor) -> Target:
    """Some of the labels."""
    values = {field.name: getattr(target, field.name) for field in fields(target)}
    return replace(target, **{name: value[rows] for name, value in values.items() if value is not None})


def _check_specification(trial: _Trial) -> None:
    head, spec, config = trial.head, trial.given.spec, trial.given.config
    rule, remedy = "facts and config survive JSON", "keep plain numbers, strings and lists"
    again = type(head).Spec.model_validate_json(spec.model_dump_json())
    require(again == spec, head, rule, f"{again} for {spec}", remedy)
    loaded = type(config).model_validate_json(config.model_dump_json())
    require(loaded == config, head, rule, f"{loaded} for {config}", remedy)


def _check_parameters(trial: _Trial) -> None:
    """Each query's parameters depend on its own hidden vector alone."""
    head, order = trial.head, torch.arange(len(trial.hidden) - 1, -1, -1)
    with torch.no_grad():
        whole, back = head(trial.hidden), head(trial.hidden[order])
        alone = torch.cat([head(row[None]) for row in trial.hidden])
    good = whole.ndim == 2 and len(whole) == len(trial.hidden) and whole.dtype == torch.float64
    require(good, head, "parameters are (query, parameter)", f"{tuple(whole.shape)} {whole.dtype}", "fix")
    rule, remedy = "parameters depend on the query's own hidden alone", "let no row look at another"
    require_close(back[order], whole, head, rule, remedy)
    require_close(alone, whole, head, rule, remedy)


def _check_loss(trial: _Trial) -> None:
    head, target = trial.head, trial.target
    loss, weights = head.loss(head(trial.hidden), target), head.weights(target)
    good = loss.shape == weights.shape and len(loss) == len(target)
    came = f"{tuple(loss.shape)} and {tuple(weights.shape)}"
    rule, remedy = "loss and weights have one shape, (label, …)", "reduce nothing, and weigh each column"
    require(good, head, rule, came, remedy)
    values = {"loss": loss.detach(), "weights": weights}
    require(finite(values), head, "losses are finite", "inf or NaN came", "bound them")
    good = bool((weights >= 0).all()) and bool(weights.any())
    require(good, head, "weights are 0 or more, and some are more", str(weights.tolist()), "fix")
    half = replace(target, weight=torch.full((len(target),), 0.5))
    rule, remedy = "a label of half the weight counts half", "multiply by `target.weight`"
    require_close(head.weights(half).double(), weights.double() / 2, head, rule, remedy)


def _check_split(trial: _Trial) -> None:
    """However a global batch is divided, its loss, weight and gradients add up to the same."""
    n = len(trial.target)
    whole = trial.learn([trial.part(slice(0, n))])
    cuts = {"in parts of one": [*range(n + 1)], "in unequal parts": [0, 0, 1, n // 2, n - 2, n, n]}
    for how, cut in cuts.items():
        parts = [trial.part(slice(a, b)) for a, b in pairwise(cut)]
        remedy = "return sums, never means, and let no label's loss depend on another's"
        rule = f"a batch {how} sums to what it is as a whole"
        require_same(trial.learn(parts), whole, trial.head, rule, remedy)


def _check_rows(trial: _Trial) -> None:
    """What a label's loss is does not depend on which others stand beside it."""
    order = torch.arange(len(trial.target) - 1, -1, -1)
    with torch.no_grad():
        there = trial.head.loss(trial.head(trial.hidden), trial.target)
        hidden, target = trial.part(order)
        back = trial.head.loss(trial.head(hidden), target)
    rule, remedy = "a label's loss depends on no other label", "compute it row by row"
    require_close(back[order], there, trial.head, rule, remedy)


def _check_gradients(trial: _Trial) -> None:
    found = trial.learn([trial.part(slice(None))])
    require(finite(found), trial.head, "gradients are finite", "inf or NaN came", "bound exponentials")
    for name, value in found.items():
        rule, remedy = "every parameter matters for the loss", "drop the parameter, or use it"
        require(bool(value.any()), trial.head, rule, f"the {name} is zero", remedy)


def _check_nothing(trial: _Trial) -> None:
    """Zero labels: a loss of 0 on the graph, zero gradients, and metrics that take it."""
    found = trial.learn([trial.part(slice(0, 0))])
    for name, value in found.items():
        rule, remedy = "without labels loss, weight and gradients are 0", "sum; divide by no count"
        require(not bool(value.any()), trial.head, rule, f"{name} is {value.tolist()}", remedy)
    metrics = trial.head.metrics()
    hidden, target = trial.part(slice(0, 0))
    with torch.no_grad():
        trial.head.score(metrics, trial.head(hidden), target)
    for name, metric in metrics.items():
        score = float(metric.compute())
        rule, remedy = "a metric of no labels is NaN", "divide sums by their count"
        require(math.isnan(score), trial.head, rule, f"{name} is {score}", remedy)


def _check_unobserved(trial: _Trial) -> None:
    """A cell that is not real changes nothing, whatever it holds."""
    target = trial.target
    if target.observed is None:
        return
    expected = trial.learn([(trial.hidden, target)])
    for filling in (math.nan, 1e30):
        filled = target.value.masked_fill(~target.observed, filling)
        found = trial.learn([(trial.hidden, replace(target, value=filled))])
        rule = f"a cell that is not observed changes nothing, even where it holds {filling}"
        remedy = "weigh it by 0, and keep its value out of the loss"
        require_same(found, expected, trial.head, rule, remedy)
    parameters = trial.head(trial.hidden).detach().requires_grad_()
    nothing = replace(target, observed=torch.zeros_like(target.observed), wait=None)
    if target.wait is None:
        trial.head.loss_sum(parameters, nothing).backward()
        gradient = torch.zeros(()) if parameters.grad is None else parameters.grad
        rule, remedy = "without an observed cell no gradient flows", "weigh it by 0"
        require(not bool(gradient.any()), trial.head, rule, "some does", remedy)


def _check_prediction(trial: _Trial) -> None:
    """Columns of a table, one row a query, the same with and without the others."""
    with torch.no_grad():
        parameters = trial.head(trial.hidden)
    columns = trial.head.decode(parameters)
    require(bool(columns), trial.head, "a prediction has at least one column", "none came", "fix")
    for name, column in columns.items():
        good = len(column) == len(trial.hidden) and isinstance(column, np.ndarray)
        require(good, trial.head, "a column has a row a query", f"{name}: {len(column)}", "fix")
        good = column.dtype == object or bool(np.isfinite(column).all())
        require(good, trial.head, "predicted numbers are finite", f"{name} has others", "bound them")
    for rows in (slice(0, 0), slice(3, 4)):
        part = trial.head.decode(parameters[rows])
        good = part.keys() == columns.keys()
        good = good and all(np.array_equal(part[name], columns[name][rows]) for name in columns)
        require(good, trial.head, "a query is decoded alone as among others", f"{part}", "fix")


def _check_metrics(trial: _Trial) -> None:
    """Over batches, some without labels, metrics are what they are over all at once."""
    head, n = trial.head, len(trial.target)
    known, names = head.metric_names(trial.given.config), head.metrics().keys()
    rule, remedy = "metrics are among the names that the config tells", "add them to `metric_names`"
    require(known is None or names <= set(known), head, rule, f"{[*names]} for {known}", remedy)
    values = []
    for cut in ([0, n], [0, 0, 3, n // 2, n // 2, n]):
        metrics = head.metrics()
        for a, b in pairwise(cut):
            hidden, target = trial.part(slice(a, b))
            with torch.no_grad():
                head.score(metrics, head(hidden), target)
        values.append({name: torch.as_tensor(metric.compute()) for name, metric in metrics.items()})
    rule, remedy = "metrics over batches are those over all labels", "keep sums, not means of batches"
    require_same(values[1], values[0], head, rule, remedy)
    wrong = [name for name, value in values[0].items() if not bool(value.isfinite())]
    require(not wrong, head, "metrics of varied labels are finite", f"{wrong} are not", "fix")


def _check_learning(trial: _Trial) -> None:
    """From hidden vectors that tell the labels apart, a head learns them better than its baseline."""
    head, target = trial.head, trial.target
    baseline = head.baseline(target)
    shape = head(trial.hidden).shape
    came = f"{tuple(baseline.shape)} for {tuple(shape)}"
    require(baseline.shape == shape, head, "a baseline has the shape of parameters", came, "fix")
    chance = float(head.loss_sum(baseline.double(), target))
    require(math.isfinite(chance), head, "the baseline's loss is finite", str(chance), "smooth it")
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = head.loss_sum(head(trial.hidden), target)
        loss.backward()
        optimizer.step()
        schedule.step()
    came = f"loss {float(loss.detach()):.3g} after {STEPS} steps, the baseline {chance:.3g}"
    remedy = "look at the loss and at what its parameters start from"
    require(float(loss.detach()) < 0.5 * chance, head, "a head learns its own labels", came, remedy)
