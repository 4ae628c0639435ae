"""The contract of a head."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from mmseq.heads import HeadConfig, Labels
from mmseq.testing.compare import finite, require, require_close, require_same
from mmseq.testing.configs import require_read
from mmseq.testing.contract import Case, Check, Contract, DoesNotApply
from mmseq.testing.head_certainty import CERTAINTY
from mmseq.testing.head_examples import example, example_config
from mmseq.testing.head_trial import HIDDEN, HeadTrial, take

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
    for case in _ways(config, labels, seed):
        case.require()


def cases(kind: str, options: Mapping[str, Any], seed: int = 0) -> list[Case[Any]]:
    """A kind with these options, over labels of its class's own `example_labels` or made-up ones."""
    return _ways(example_config(kind, **options), None, seed)


def _ways(config: HeadConfig, labels: Labels | None, seed: int) -> list[Case[Any]]:
    return [Case(CONTRACT, lambda: HeadTrial(example(config, labels, seed=seed), seed))]


def _check_facts(trial: HeadTrial) -> None:
    head, spec = trial.head, trial.given.spec
    rule, remedy = "facts survive JSON", "keep plain numbers, strings and lists"
    again = type(head).Spec.model_validate_json(spec.model_dump_json())
    require(again == spec, head, rule, f"{again} for {spec}", remedy)


def _check_options(trial: HeadTrial) -> None:
    config, labels = trial.given.config, trial.given.labels

    def use(config: HeadConfig) -> None:
        example(config, labels).build(HIDDEN)

    require_read(config, trial.head, use, lambda: example_config(config.kind))


def _check_training_split(trial: HeadTrial) -> None:
    """What is fitted comes from the training split's labels, and stays as it is when others come."""
    head, labels = trial.head, trial.given.labels
    if labels is None:
        raise DoesNotApply("its targets are the inputs themselves; their modality is held to it")
    if labels.code.size:
        wider = replace(labels, vocabulary=(*labels.vocabulary, "only in test"))
        rule = "fitting does not see words that the training split lacks"
        good = type(head).fit(trial.given.config, wider) == trial.given.spec
        remedy = "count the codes that are there; the vocabulary is of all splits"
        require(good, head, rule, "another spec came", remedy)
    before = trial.learn([trial.part(slice(None))])
    other = labels_but(labels, slice(None, None, -1))
    head.encode(other)
    metrics, hidden, target = head.metrics(), *trial.part(slice(0, 5))
    with torch.no_grad():
        head.score(metrics, head(hidden), target)
        head.decode(head(hidden))
    rule = "labels that are encoded, predicted and scored change nothing that was fitted"
    remedy = "fit in `fit` alone, and keep what it finds in the spec"
    require_same(trial.learn([trial.part(slice(None))]), before, head, rule, remedy)


def labels_but(labels: Labels, rows: slice) -> Labels:
    """Some of the raw labels."""
    return replace(labels, values=labels.values[rows], code=labels.code[rows])


def _check_repeatable(trial: HeadTrial) -> None:
    first, again = (trial.learn([trial.part(slice(None))]) for _ in range(2))
    good = all(torch.equal(again[name], value) for name, value in first.items())
    rule, remedy = "the same call gives the same numbers", "keep no memory, and draw no random numbers"
    require(good, trial.head, rule, "they differ", remedy)


def _check_inputs(trial: HeadTrial) -> None:
    hidden, target = trial.hidden.clone(), take(trial.target, slice(None))
    target = replace(target, value=target.value.clone())
    with torch.no_grad():
        trial.head.loss(trial.predict(trial.hidden, trial.target), trial.target)
    good = torch.equal(hidden, trial.hidden) and torch.equal(target.value, trial.target.value)
    require(good, trial.head, "hidden and target are left as they are", "they changed", "work on a copy")


def _check_precision(trial: HeadTrial) -> None:
    single = copy.deepcopy(trial.head).float()
    with torch.no_grad():
        parameters = trial.given.predict(single, trial.hidden.float(), trial.target)
        loss = single.loss_sum(parameters, trial.target)
        exact = trial.head.loss_sum(trial.predict(trial.hidden, trial.target), trial.target)
    rule, remedy = "float32 hidden and weights give float32 parameters", "follow the dtype of the weights"
    require(parameters.dtype == torch.float32, trial.head, rule, f"{parameters.dtype} came", remedy)
    rule, remedy = "the loss in float32 agrees with float64 to 1e-3", "look for cancellation or overflow"
    require_close(loss.double(), exact.double(), trial.head, rule, remedy, 1e-3)


def _check_parameters(trial: HeadTrial) -> None:
    """Each query's parameters depend on its own hidden vector alone."""
    head = trial.head
    with torch.no_grad():
        whole = head(trial.hidden)
        alone = torch.cat([head(row[None]) for row in trial.hidden])
    good = whole.ndim == 2 and len(whole) == len(trial.hidden) and whole.dtype == torch.float64
    came = f"{tuple(whole.shape)} of {whole.dtype}"
    rule = "parameters have shape (query, parameter) and the dtype of the weights, float64"
    require(good, head, rule, came, "return one row a query")
    rule, remedy = "parameters depend on the query's own hidden alone", "let no row look at another"
    require_close(alone, whole, head, rule, remedy)


def _check_weights(trial: HeadTrial) -> None:
    head, target = trial.head, trial.target
    loss, weights = head.loss(trial.predict(trial.hidden, target), target), head.weights(target)
    good = loss.shape == weights.shape and len(loss) == len(target)
    came = f"{tuple(loss.shape)} and {tuple(weights.shape)}"
    rule, remedy = "loss and weights have one shape, (label, …)", "reduce nothing, and weigh each column"
    require(good, head, rule, came, remedy)
    values = {"loss": loss.detach(), "weights": weights}
    require(finite(values), head, "losses are finite", "inf or NaN came", "bound them")
    good = bool((weights >= 0).all()) and bool(weights.any())
    require(good, head, "weights are 0 or more, and some are more", str(weights.tolist()), "mend `weights`")
    half = replace(target, weight=torch.full((len(target),), 0.5))
    rule, remedy = "a label of half the weight counts half", "multiply by `target.weight`"
    require_close(head.weights(half).double(), weights.double() / 2, head, rule, remedy)


def _check_split(trial: HeadTrial) -> None:
    """However a global batch is divided, its loss, weight and gradients add up to the same."""
    n = len(trial.target)
    whole = trial.learn([trial.part(slice(0, n))])
    cuts = {"in parts of one": [*range(n + 1)], "in unequal parts": [0, 0, 1, n // 2, n - 2, n, n]}
    for how, cut in cuts.items():
        parts = [trial.part(slice(a, b)) for a, b in pairwise(cut)]
        remedy = "return sums, never means, and let no label's loss depend on another's"
        rule = f"a batch {how} sums to what it is as a whole"
        require_same(trial.learn(parts), whole, trial.head, rule, remedy)


def _check_company(trial: HeadTrial) -> None:
    """What a label's loss is does not depend on which others stand beside it."""
    parts = [trial.part(slice(i, i + 1)) for i in range(len(trial.target))]
    with torch.no_grad():
        there = trial.head.loss(trial.predict(trial.hidden, trial.target), trial.target)
        alone = [trial.head.loss(trial.predict(hidden, target), target) for hidden, target in parts]
    rule, remedy = "a label's loss depends on no other label", "compute it row by row"
    require_close(torch.cat(alone), there, trial.head, rule, remedy)


def _check_gradients(trial: HeadTrial) -> None:
    found = trial.learn([trial.part(slice(None))])
    require(finite(found), trial.head, "gradients are finite", "inf or NaN came", "bound exponentials")
    for name, value in found.items():
        rule, remedy = "every parameter matters for the loss", "drop the parameter, or use it"
        require(bool(value.any()), trial.head, rule, f"the {name} is zero", remedy)


def _check_empty(trial: HeadTrial) -> None:
    """Zero labels: a loss of 0 on the graph, zero gradients, and metrics that take it."""
    found = trial.learn([trial.part(slice(0, 0))])
    for name, value in found.items():
        rule, remedy = "without labels loss, weight and gradients are 0", "sum; divide by no count"
        require(not bool(value.any()), trial.head, rule, f"{name} is {value.tolist()}", remedy)
    metrics = trial.head.metrics()
    hidden, target = trial.part(slice(0, 0))
    with torch.no_grad():
        trial.head.score(metrics, trial.predict(hidden, target), target)
    for name, metric in metrics.items():
        score = float(metric.compute())
        rule, remedy = "a metric of no labels is NaN", "divide sums by their count"
        require(math.isnan(score), trial.head, rule, f"{name} is {score}", remedy)


def _check_unobserved(trial: HeadTrial) -> None:
    """A cell that is not real changes nothing, whatever it holds."""
    target = trial.target
    if target.observed is None:
        raise DoesNotApply("all its labels have all cells")
    expected = trial.learn([(trial.hidden, target)])
    for filling in (math.nan, 1e30):
        filled = target.value.masked_fill(~target.observed, filling)
        found = trial.learn([(trial.hidden, replace(target, value=filled))])
        rule = f"a cell that is not observed changes nothing, even where it holds {filling}"
        remedy = "weigh it by 0, and keep its value out of the loss"
        require_same(found, expected, trial.head, rule, remedy)
    parameters = trial.predict(trial.hidden, target).detach().requires_grad_()
    nothing = replace(target, observed=torch.zeros_like(target.observed), wait=None)
    if target.wait is None:
        trial.head.loss_sum(parameters, nothing).backward()
        gradient = torch.zeros(()) if parameters.grad is None else parameters.grad
        rule, remedy = "without an observed cell no gradient flows", "weigh it by 0"
        require(not bool(gradient.any()), trial.head, rule, "some does", remedy)


def _check_prediction(trial: HeadTrial) -> None:
    """Columns of a table, one row a query, the same with and without the others."""
    with torch.no_grad():
        parameters = trial.head(trial.hidden)
    columns = trial.head.decode(parameters)
    good = bool(columns) or bool(trial.head.negatives)  # told apart from others, of which there are none here
    require(good, trial.head, "a prediction has a column", "none came", 'return {"": numbers}')
    for name, column in columns.items():
        good = isinstance(column, np.ndarray) and len(column) == len(trial.hidden)
        came, remedy = f"{name!r} is {type(column).__name__}", "return NumPy arrays with a row a query"
        require(good, trial.head, "a column is an array with a row a query", came, remedy)
        good = column.dtype == object or bool(np.isfinite(column).all())
        require(good, trial.head, "predicted numbers are finite", f"{name} has others", "bound them")
    for rows in (slice(0, 0), slice(3, 4)):
        part = trial.head.decode(parameters[rows])
        good = part.keys() == columns.keys()
        good = good and all(np.array_equal(part[name], columns[name][rows]) for name in columns)
        rule, remedy = "a query is decoded alone as among others", "decode row by row"
        require(good, trial.head, rule, f"{part}", remedy)


def _check_metrics(trial: HeadTrial) -> None:
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
                head.score(metrics, trial.predict(hidden, target), target)
        values.append({name: torch.as_tensor(metric.compute()) for name, metric in metrics.items()})
    wrong = [name for name, value in values[0].items() if not bool(value.isfinite())]
    remedy = "divide by nothing that can be 0"
    require(not wrong, head, "metrics of varied labels are finite", f"{wrong} are not", remedy)
    rule, remedy = "metrics over batches are those over all labels", "keep sums, not means of batches"
    require_same(values[1], values[0], head, rule, remedy)


def _check_learning(trial: HeadTrial) -> None:
    """From hidden vectors that tell the labels apart, a head learns them better than its baseline."""
    head, target = trial.head, trial.target
    baseline = head.baseline(target)
    shape = trial.predict(trial.hidden, target).shape
    came = f"{tuple(baseline.shape)} for {tuple(shape)}"
    rule, remedy = "a baseline has the shape of parameters", "return what `forward` would, of every label"
    require(baseline.shape == shape, head, rule, came, remedy)
    chance = float(head.loss_sum(baseline.double(), target))
    require(math.isfinite(chance), head, "the baseline's loss is finite", str(chance), "smooth it")
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = head.loss_sum(trial.predict(trial.hidden, target), target)
        loss.backward()
        optimizer.step()
        schedule.step()
    came = f"loss {float(loss.detach()):.3g} after {STEPS} steps, the baseline {chance:.3g}"
    remedy = "look at the loss and at what its parameters start from"
    require(float(loss.detach()) < 0.5 * chance, head, "a head learns its own labels", came, remedy)


CONTRACT: Contract[HeadTrial] = (
    Check("facts", "facts survive JSON", _check_facts),
    Check("options", "every field of its config is read", _check_options),
    Check("parameters", "a query's parameters depend on its own hidden vector alone", _check_parameters),
    Check(
        "weights",
        "loss and weights are finite, of one shape, (label, …); weights are 0 or more",
        _check_weights,
    ),
    Check("inputs", "leaves hidden and target as they are", _check_inputs),
    Check("gradients", "every parameter gets a finite gradient, not zero for all labels", _check_gradients),
    Check("repeatable", "the same call gives the same numbers", _check_repeatable),
    Check(
        "training split",
        "only `fit` learns from data, and only from the training split",
        _check_training_split,
    ),
    Check("empty", "no labels give a loss of 0 with zero gradients, and metrics of NaN", _check_empty),
    Check(
        "sums", "losses, weights and gradients of parts add up to those of the whole: no means", _check_split
    ),
    Check("company", "a label's loss depends on no other label", _check_company),
    Check("precision", "float32 stays float32, and its loss agrees with float64 to 1e-3", _check_precision),
    Check("unobserved", "a cell that is not observed changes nothing, whatever it holds", _check_unobserved),
    Check(
        "prediction",
        "decodes to finite columns, a row a query, each alone as among others",
        _check_prediction,
    ),
    Check(
        "metrics", "metrics over batches are those over all labels, under the names it tells", _check_metrics
    ),
    *CERTAINTY,
    Check("learning", "has a finite baseline, and learns its own labels twice as well", _check_learning),
)
