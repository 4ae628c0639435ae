"""A head of one layer: what its base class does for it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmseq.batch import Target
from mmseq.errors import DataError, PluginError
from mmseq.heads import Labels
from mmseq.heads.config import ColumnsConfig
from mmseq.heads.linear import LinearHead, LinearSpec

NAN = math.nan


class SquaredHead(LinearHead):
    """The mean of each column, and its spread, which nothing reads."""

    @classmethod
    def constant(cls, config: Any, values: Any) -> list[float]:
        return [float(values.mean()), float(values.std())]

    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        return (self.predicted(parameters) - target.value).square()

    def predicted(self, parameters: Tensor) -> Tensor:
        return parameters[:, ::2]

    def decode(self, parameters: Tensor) -> dict[str, np.ndarray]:
        return self.named({"": self.predicted(parameters), "std": parameters[:, 1::2]})


def labels(*rows: tuple[float, ...]) -> Labels:
    names = ("a", "b")[: len(rows[0])]
    return Labels(names, np.array(rows, np.float64), np.zeros(0, np.int32), task="t")


def config(**fields: Any) -> ColumnsConfig:
    return ColumnsConfig(kind="x", table="t", **fields)


def test_it_reads_the_columns_that_the_config_names() -> None:
    assert SquaredHead.reading(config(column="a")).numbers == ("a",)
    assert SquaredHead.reading(config(columns=["a", "b"], time="when")).numbers == ("a", "b")


def test_constants_are_fitted_column_by_column() -> None:
    spec = SquaredHead.fit(config(columns=["a", "b"]), labels((1, 10), (3, NAN), (NAN, 20)))
    assert spec == LinearSpec(columns=["a", "b"], start=[2.0, 1.0, 15.0, 5.0])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (((NAN, 1.0), (NAN, 2.0)), "task 't', column a: has no label in the training split"),
        (((1.0, 1.0), (2.0, math.inf)), "task 't', column b: labels must be finite, or missing; got inf"),
    ],
)
def test_what_cannot_be_learned_is_told(rows: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        SquaredHead.fit(config(columns=["a", "b"]), labels(*rows))


def test_it_begins_as_its_baseline() -> None:
    head = SquaredHead(LinearSpec(columns=["a"], start=[2.0, 1.0]), 3)
    baseline = head.baseline(Target(torch.arange(2), torch.zeros(2, 1)))
    assert baseline.tolist() == [[2.0, 1.0], [2.0, 1.0]]
    assert torch.equal(head(torch.zeros(2, 3)), baseline)


def test_columns_are_named_after_what_is_told() -> None:
    one, two = (LinearSpec(columns=names, start=[0.0] * 2 * len(names)) for names in (["a"], ["a", "b"]))
    assert [*SquaredHead(one, 1).decode(torch.zeros(1, 2))] == ["", "std"]
    assert [*SquaredHead(two, 1).decode(torch.zeros(1, 4))] == ["a", "a.std", "b", "b.std"]


def test_scores_are_means_over_what_was_observed() -> None:
    """Caught: a cell that was not observed, whatever it holds, is no error of 100."""
    head = SquaredHead(LinearSpec(columns=["a", "b"], start=[0.0] * 4), 1)
    observed = torch.tensor([[True, False], [True, True]])
    target = Target(torch.arange(2), torch.tensor([[1.0, 100.0], [2.0, 6.0]]), observed)
    metrics = head.metrics()
    head.score(metrics, torch.zeros(2, 4), target)
    assert float(metrics["mae"].compute()) == 3
    assert SquaredHead.metric_names(config(columns=["a", "b"])) == ("mae",)


def test_scores_that_nobody_named_are_told() -> None:
    class Other(SquaredHead):
        scored = ("mae", "rmse")

    head = Other(LinearSpec(columns=["a"], start=[0.0, 0.0]), 1)
    target = Target(torch.arange(1), torch.zeros(1, 1))
    with pytest.raises(PluginError, match="Other: `scores` tells what `scored` names, mae, rmse; mae came"):
        head.score(head.metrics(), torch.zeros(1, 2), target)


class ForgetsBoth(LinearHead):
    loss = SquaredHead.loss


def test_a_parameter_is_the_number_where_nothing_else_is_said() -> None:
    head = ForgetsBoth(LinearSpec(columns=["a", "b"], start=[0.0, 0.0]), 1)
    parameters, target = torch.tensor([[3.0, 1.0]]), Target(torch.arange(1), torch.tensor([[1.0, 2.0]]))
    assert {name: told.tolist() for name, told in head.decode(parameters).items()} == {"a": [3.0], "b": [1.0]}
    assert head.scores(parameters, target)["mae"].tolist() == [[2.0, 1.0]]


def test_what_is_not_written_is_told() -> None:
    """Of a head without its constant, and of one whose config names no columns."""
    labels = Labels(("a",), np.zeros((2, 1)), np.zeros(0), task="t")
    with pytest.raises(PluginError, match="ForgetsBoth: must have `constant` or a `fit`"):
        ForgetsBoth.fit(None, labels)
    with pytest.raises(PluginError, match="SquaredHead: must have `reading`, or a config that names columns"):
        SquaredHead.reading(object())
