"""What a head promises to calibration."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmseq.batch import Target
from mmseq.heads.certainty import PredictsClasses, PredictsRanges
from mmseq.testing.compare import finite, require, require_close, require_same
from mmseq.testing.contract import Check, Contract, DoesNotApply
from mmseq.testing.head_trial import HeadTrial


def _check_certainty(trial: HeadTrial) -> None:
    """What a head promises to calibration: probabilities of classes that can be put back, or ranges."""
    with torch.no_grad():
        parameters = trial.predict(trial.hidden, trial.target)
        if isinstance(trial.head, PredictsClasses):
            _check_classes(trial.head, parameters, trial.target)
        elif isinstance(trial.head, PredictsRanges):
            _check_ranges(trial.head, parameters, trial.target)
        else:
            raise DoesNotApply("it promises neither probabilities of classes nor ranges of numbers")


def _check_classes(head: Any, parameters: Tensor, target: Target) -> None:
    names, log_p, truth = head.choices(), head.log_classes(parameters), head.true_classes(target)
    expected = [(len(parameters), len(names), len(own)) for own in names.values()]
    rule, remedy = "log_classes has shape (query, column, class)", "give as many as `choices` names"
    require(set(expected) == {tuple(log_p.shape)}, head, rule, f"{tuple(log_p.shape)} for {names}", remedy)
    total = log_p.exp().sum(2)
    rule, remedy = "probabilities of classes add up to 1, and none is 0", "return a log_softmax"
    require(finite({"log p": log_p}), head, rule, "a logarithm is not finite", remedy)
    require_close(total, torch.ones_like(total), head, rule, remedy)
    seen = truth if target.observed is None else truth[target.observed]
    good = truth.shape == log_p.shape[:2] and bool(((seen >= 0) & (seen < log_p.shape[2])).all())
    rule, remedy = "true_classes are places in `choices`, (label, column)", "give what `log_classes` orders"
    require(good, head, rule, f"{tuple(truth.shape)}, {seen.unique().tolist()}", remedy)
    there, back = (
        {name: torch.from_numpy(own) for name, own in head.decode(told).items() if own.dtype != object}
        for told in (parameters, head.from_log_classes(log_p))
    )
    rule, remedy = "from_log_classes undoes log_classes", "return parameters that decode to the same"
    require_same(back, there, head, rule, remedy)


def _check_ranges(head: Any, parameters: Tensor, target: Target) -> None:
    told, less = head.ranges(parameters, 0.9), head.ranges(parameters, 0.5)
    shape = (len(parameters), len(head.numbers()))
    for name, value in vars(told).items():
        good = tuple(value.shape) == shape and value.dtype == torch.float64
        rule, came = f"`{name}` of a range is float64 of {shape}", f"{tuple(value.shape)} of {value.dtype}"
        require(good, head, rule, came, "give one of each query and number")
    good = finite(vars(told)) and bool((told.low <= told.high).all()) and bool((told.unit > 0).all())
    rule, remedy = "a range is finite, low ≤ high, unit > 0", "order the ends, and bound the unit"
    require(good, head, rule, str(told), remedy)
    good = bool((told.high - told.low >= less.high - less.low).all())
    rule, remedy = "a range of a greater coverage is not narrower", "widen it with its coverage"
    require(good, head, rule, "one is", remedy)
    seen = torch.ones_like(target.value, dtype=torch.bool) if target.observed is None else target.observed
    labels = target.value.double()[seen]
    back = head.untransform(head.transform_labels(torch.where(seen, target.value, 0)))[seen]
    rule, remedy = "untransform undoes transform_labels", "let both be of the scale of `ranges`"
    require_close(back, labels, head, rule, remedy)


CERTAINTY: Contract[HeadTrial] = (
    Check(
        "certainty",
        "what it gives to calibration is of its labels and predictions, and can be put back",
        _check_certainty,
    ),
)
