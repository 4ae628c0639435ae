"""Categories: vocabularies of the training split, an explicit unknown, sets as next events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import CategoryEvents
from mmseq.errors import DataError
from mmseq.modalities import Stored
from mmseq.modalities.category import CategoryConfig, CategoryModality, CategorySpec

WORDS = ("ash", "elm", "fir", "oak")


def config(**options: Any) -> CategoryConfig:
    return CategoryConfig(**{"kind": "category", "table": "t.csv", "time": "t", "column": "c"} | options)


def fit(codes: list[int], shared_steps: bool = False, **options: Any) -> CategorySpec:
    arrays = [{"code": np.array(part, np.int32).reshape(-1, 1)} for part in (codes[:3], codes[3:])]
    stored = Stored(("c",), (WORDS,), lambda: iter(arrays), len(codes), shared_steps, 1.0)
    return CategoryModality.fit(config(**options), stored)


def test_fit_counts_the_words_of_the_training_split() -> None:
    found = fit([1, 1, -1, 3, 1, -1, 3, 0])
    assert found.vocabularies == [["ash", "elm", "oak"]] and found.counts == [[1, 3, 2]]
    assert found.missing == [0.25] and found.columns == ["c"]


def test_rare_words_are_unknown() -> None:
    found = fit([1, 1, 3, 1, 0], min_count=2)
    assert found.vocabularies == [["elm"]]
    modality = CategoryModality(found)
    events = modality.events(torch.arange(4), {"code": np.array([[1], [3], [-1], [2]])}, (WORDS,))
    assert events.code.tolist() == [[2], [1], [0], [1]]
    assert modality.unknown(events) == {"c": 2}


def test_fit_without_events_names_the_table() -> None:
    with pytest.raises(DataError, match=r"t\.csv: the modality needs events in the training split"):
        fit([])


def test_words_decide_not_the_stores_codes() -> None:
    modality = CategoryModality(fit([0, 1, 2, 3]))
    other = ("yew", "oak", "ash")
    events = modality.events(torch.arange(4), {"code": np.array([[2], [1], [0], [-1]])}, (other,))
    assert events.code.tolist() == [[2], [5], [1], [0]]
    again = modality.events(torch.arange(1), {"code": np.array([[2]])}, (WORDS,))
    assert again.code.tolist() == [[4]]


def test_nothing_unknown_is_nothing_to_report() -> None:
    modality = CategoryModality(fit([0, 1]))
    assert modality.unknown(CategoryEvents(torch.arange(2), torch.tensor([[0], [2]]))) == {}


def spec(shared: bool, vocabularies: list[list[str]] | None = None) -> CategorySpec:
    vocabularies = vocabularies or [["x", "y", "z"], ["u", "v"]]
    return CategorySpec(
        columns=["c", "d"], vocabularies=vocabularies, counts=[[3] * len(v) for v in vocabularies],
        missing=[0.0, 0.0], shared_steps=shared,
    )  # fmt: skip


def test_next_event_where_events_stand_alone() -> None:
    modality = CategoryModality(spec(shared=False))
    merged = modality.next_event(
        CategoryEvents(torch.tensor([0, 4]), torch.tensor([[2, 0], [1, 3]])), np.array([0, 1])
    )
    assert merged.observed is not None
    assert merged.observed.tolist() == [[True, False], [False, True]]
    assert merged.value[merged.observed].tolist() == [0, 1]
    kinds = [(part.kind, part.name, part.first, part.last) for part in modality.next_parts()]
    assert kinds == [("classification", "c", 0, 1), ("classification", "d", 1, 2)]


def test_next_event_where_events_share_steps_is_a_set() -> None:
    modality = CategoryModality(spec(shared=True))
    code = torch.tensor([[2, 3], [4, 3], [1, 0], [3, 1], [1, 0]])
    merged = modality.next_event(CategoryEvents(torch.tensor([0, 0, 5, 6, 6]), code), np.array([0, 2, 3]))
    assert merged.value.tolist() == [[1, 0, 1, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]]
    assert merged.observed is not None
    assert merged.observed.tolist() == [[True] * 5, [False] * 5, [True] * 3 + [False] * 2]
    kinds = [(part.kind, part.name, part.first, part.last) for part in modality.next_parts()]
    assert kinds == [("multilabel", "c", 0, 3), ("multilabel", "d", 3, 5)]


@pytest.mark.parametrize("shared", [False, True])
def test_column_without_any_word_is_not_predicted(shared: bool) -> None:
    modality = CategoryModality(spec(shared, [[], ["u", "v"]]))
    merged = modality.next_event(CategoryEvents(torch.tensor([0]), torch.tensor([[1, 3]])), np.array([0]))
    (part,) = modality.next_parts()
    assert part.name == "d" and merged.value.shape == (1, part.last)
    none = CategoryModality(spec(shared, [[], []]))
    assert none.next_parts() == []


@pytest.mark.parametrize("options", [{"column": None}, {"columns": ["c", "d"]}])
def test_one_column_or_several(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="set `column` or `columns`, one of them"):
        config(**options)


def test_a_column_named_twice() -> None:
    with pytest.raises(ValueError, match="columns: each may be named once; got c, c"):
        config(column=None, columns=["c", "c"])
