"""Padded arrays as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.errors import DataError
from mmseq.sources import Reading
from mmseq.sources.memory import MemorySource, padded
from mmseq.store import Plan, prepare

VALUES = np.arange(24.0).reshape(3, 4, 2)
LENGTHS = np.array([4, 0, 2])


@pytest.mark.parametrize("way", [{"lengths": LENGTHS}, {"mask": np.arange(4) < LENGTHS[:, None]}])
def test_only_real_steps_are_rows(way: dict[str, Any], tmp_path: Path) -> None:
    tables = padded(VALUES, **way, labels={"y": ["a", "b", "a"], "z": np.eye(3)})
    plan = Plan(
        {"signal": Reading("signal", "time", ("signal_0", "signal_1"))},
        {"y": Reading("labels", codes=("y",)), "z": Reading("labels", numbers=("z_0", "z_1", "z_2"))},
    )
    batch = (store := prepare(plan, MemorySource(tables, id="id", group=None), tmp_path)).gather(np.arange(3))
    assert store.lengths.tolist() == [4, 1, 2]
    want = np.concatenate([VALUES[0], VALUES[2, :2]])
    np.testing.assert_array_equal(batch.events["signal"].arrays["values"], want)
    assert batch.time.tolist() == [0, 1, 2, 3, 0, 0, 1]
    np.testing.assert_array_equal(batch.targets["z"].arrays["values"], np.eye(3))


def test_several_modalities_with_times_names_and_step_labels() -> None:
    tables = padded(
        {"a": VALUES, "b": VALUES[:, :2, 0]},
        lengths={"a": LENGTHS},
        times={"a": [0.0, 0.5, 2.0, 9.0]},
        columns={"a": ["x", "y"]},
        step_labels={"s": VALUES[:, :, 0]},
        ids=["p", "q", "r"],
    )
    assert tables["a"].to_pydict() == {
        "id": ["p"] * 4 + ["r"] * 2,
        "time": [0.0, 0.5, 2.0, 9.0, 0.0, 0.5],
        "x": [0.0, 2.0, 4.0, 6.0, 16.0, 18.0],
        "y": [1.0, 3.0, 5.0, 7.0, 17.0, 19.0],
    }
    assert tables["b"].to_pydict() == {
        "id": ["p", "p", "q", "q", "r", "r"],
        "time": [0.0, 1.0] * 3,
        "b_0": [0.0, 2.0, 8.0, 10.0, 16.0, 18.0],
    }
    assert tables["step_labels"]["s"].to_pylist() == [0.0, 2.0, 4.0, 6.0, 16.0, 18.0]
    assert tables["samples"].to_pydict() == {"id": ["p", "q", "r"]}


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "both": (
        VALUES,
        {"lengths": LENGTHS, "mask": VALUES[:, :, 0] > 0},
        "takes `lengths` or `mask`; both",
    ),
    "long": (VALUES, {"lengths": [5, 1, 1]}, "needs 3 whole lengths from 0 to 4"),
    "few": (VALUES, {"lengths": [1, 1]}, "needs 3 whole lengths from 0 to 4"),
    "mask": (
        VALUES,
        {"mask": np.ones((3, 4))},
        "needs a boolean mask of shape (3, 4); float64 of (3, 4)",
    ),
    "rank": (VALUES[0, 0], {}, "needs (sample, step, feature) or (sample, step); (2,) came"),
    "samples": ({"a": VALUES, "b": VALUES[:2]}, {}, "padded 'b': needs 3 samples, as 'a' has; 2 came"),
    "ids": (VALUES, {"ids": [1]}, "padded 'ids': needs one for each of 3 samples; 1 came"),
    "names": (VALUES, {"columns": {"signal": ["x"]}}, "needs a name for each of 2 features; ['x'] came"),
    "labels": (VALUES, {"labels": {"y": [1]}}, "padded 'y': needs 3 labels; (1,) came"),
    "times": (VALUES, {"times": [0, 1]}, "needs times of shape (3, 4) or (4,); (2,) came"),
    "step labels": (VALUES, {"step_labels": {"s": [1]}}, "padded 's': needs shape (3, 4); (1,) came"),
}


@pytest.mark.parametrize("case", WRONG)
def test_shapes_that_disagree(case: str) -> None:
    values, options, message = WRONG[case]
    with pytest.raises(DataError) as caught:
        padded(values, **options)
    assert message in str(caught.value)


NAMES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a feature twice": (VALUES, {"columns": {"signal": ["x", "x"]}}, "table 'signal': a column must have a"),
    "a feature as the clock": (VALUES, {"columns": {"signal": ["time", "x"]}}, "['time'] come twice"),
    "a feature as the id": (VALUES, {"columns": {"signal": ["x", "id"]}}, "['id'] come twice; rename one"),
    "labels as the id": (VALUES, {"labels": {"id": [1, 2, 3]}}, "table 'labels': a column must have a name"),
    "labels as others": (VALUES, {"labels": {"y": np.eye(3), "y_0": [1, 2, 3]}}, "['y_0'] come twice"),
    "step labels as the clock": (
        VALUES,
        {"step_labels": {"time": VALUES[:, :, 0]}},
        "table 'step_labels': a",
    ),
    "a modality as the samples": (
        {"samples": VALUES},
        {},
        "a table must have a name of its own; ['samples']",
    ),
    "a modality as the labels": (
        {"labels": VALUES},
        {"labels": {"y": [1, 2, 3]}},
        "['labels'] come twice; name the modality otherwise",
    ),
    "lengths of nobody": (
        VALUES,
        {"lengths": {"sginal": LENGTHS}},
        "padded 'sginal': an option must be for a modality that is given, signal; there is no such one; "
        "did you mean 'signal'?; correct the name",
    ),
    "columns of nobody": (VALUES, {"columns": {"b": ["x", "y"]}}, "padded 'b': an option must be for"),
    "columns of all": (VALUES, {"columns": ["x", "y"]}, "padded 'columns': needs names by modality, a dict"),
    "nothing": ({}, {}, "padded 'values': needs an array of at least one modality; none came"),
    "a number": (3.0, {}, "padded 'signal': needs an array with a value for each sample; 3.0 came"),
    "rows of two lengths": (
        [[1.0, 2.0], [1.0]],
        {},
        "padded 'signal': needs an array, all of whose rows are of one length; setting an array element",
    ),
    "a label for all": (VALUES, {"labels": {"y": 1}}, "padded 'y': needs an array with a value for each"),
    "labels without a task": (VALUES, {"labels": [1, 2, 3]}, "'labels': needs arrays by task, a dict; list"),
    "ids in a table": (VALUES, {"ids": np.eye(3)}, "table 'samples', column 'id': needs one value a row"),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_and_forms_are_checked(case: str, unchecked: None) -> None:
    """Caught: a feature called `time` took the clock's place; `lengths` of a misspelt name did nothing."""
    values, options, message = NAMES[case]
    with pytest.raises(DataError) as caught:
        padded(values, **options)
    assert message in str(caught.value)


def test_ids_and_labels_of_any_sort() -> None:
    """Caught: what is of several sorts ended in an error of Arrow; ids that are a tensor were `tensor(0)`."""
    assert padded(VALUES, ids=torch.arange(3))["samples"].column("id").to_pylist() == [0, 1, 2]
    tables = padded(VALUES, ids=["a", 1, 2], labels={"y": np.array(["u", 1, None], object)})
    assert tables["labels"].to_pydict() == {"id": ["a", "1", "2"], "y": ["u", "1", None]}
    assert tables["signal"].column("id").to_pylist() == [i for i in ["a", "1", "2"] for _ in range(4)]
