"""Rows of numbers: what a modality that makes features of them need not write."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch

from mmseq.errors import DataError
from mmseq.modalities import ModalityConfig
from mmseq.modalities.numbers import NumbersModality, NumbersSpec
from mmseq.sources import Reading
from mmseq.testing.events import TIME_SCALE, stored


class DoubleConfig(ModalityConfig):
    kind: Literal["double"]


class Doubles(NumbersModality):
    features = ("x", "y", "product")

    @classmethod
    def reading(cls, config: Any) -> Reading:
        return Reading(config.table, config.time, numbers=("x", "y"))


CONFIG = DoubleConfig(kind="double", table="t", time="when")
ROWS = np.array([[1.0, 10.0], [3.0, np.nan], [np.nan, 10.0]])


def fitted(rows: np.ndarray) -> NumbersSpec:
    spec = Doubles.fit(CONFIG, stored(Doubles.reading(CONFIG), [{"values": rows[:1]}, {"values": rows[1:]}]))
    assert isinstance(spec, NumbersSpec)
    return spec


def test_mean_and_spread_are_of_what_is_read_and_columns_are_features() -> None:
    spec = fitted(ROWS)
    assert (spec.columns, spec.read) == (["x", "y", "product"], ["x", "y"])
    assert (spec.mean, spec.std) == ([2.0, 10.0], [1.0, 1.0])  # y never varies
    assert spec.missing == pytest.approx([1 / 3, 1 / 3])
    assert (spec.time_scale, spec.static) == (TIME_SCALE, False)


def test_without_features_they_are_the_columns() -> None:
    class Plain(Doubles):
        features = ()

    assert Plain.fit(CONFIG, stored(Doubles.reading(CONFIG), [{"values": ROWS}])).columns == ["x", "y"]


def test_a_split_without_events_is_told() -> None:
    with pytest.raises(DataError, match="t: the modality needs events in the training split"):
        fitted(ROWS[:0])


def test_a_program_gives_what_a_store_gives() -> None:
    modality, step = Doubles(fitted(ROWS)), torch.arange(3)
    from_store = modality.events(step, {"values": ROWS}, ())
    parsed = modality.parse(step, [[1, 10], {"x": 3}, {"y": 10, "x": None}])
    assert torch.equal(parsed.values, from_store.values)
    assert torch.equal(parsed.observed, from_store.observed)
    assert from_store.values[~from_store.observed].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([1], "needs one value a column, x, y; 1 came"),
        ({"z": 1}, "must be one of the modality's columns"),
        (["a", 1], "a value must be a finite number"),
    ],
)
def test_a_value_of_another_form_is_told(value: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        Doubles(fitted(ROWS)).parse(torch.arange(1), [value])
