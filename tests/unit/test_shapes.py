"""The tests' own check of shapes: it sees what `mmseq` declares, and can be switched off."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from beartype.roar import BeartypeCallHintParamViolation, BeartypeCallHintReturnViolation

from mmseq.batch import CategoryEvents, Target, Timeline
from mmseq.ragged import Ragged, starts_of
from mmseq.testing.cores import check_core

FLAT, SQUARE = np.ones(4, np.int64), np.ones((2, 2), np.int64)


def test_an_argument_of_another_shape_is_refused() -> None:
    """Of a function, whose annotation is a name for a shape, and of a dataclass.

    Caught: names that stand for a shape not followed; classes left out.
    """
    assert starts_of(FLAT).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(BeartypeCallHintParamViolation, match=r"mmseq\.ragged\.starts_of"):
        starts_of(SQUARE)
    with pytest.raises(BeartypeCallHintParamViolation, match="where"):
        Target(torch.arange(4).view(2, 2), torch.arange(4))
    starts, time = torch.tensor([0, 4]), torch.arange(4.0).double()
    with pytest.raises(BeartypeCallHintParamViolation, match="delta"):
        Timeline(starts, time, torch.zeros(4, 1))


def test_a_result_of_another_shape_is_refused() -> None:
    """Caught: arguments checked alone."""
    whole = SimpleNamespace(starts=np.ones((3, 3), np.int64))
    with pytest.raises(BeartypeCallHintReturnViolation, match="counts"):
        Ragged.counts.__get__(whole)


def test_functions_without_arrays_are_left_alone() -> None:
    """Caught: each call of any function through the checker, which doubles the time of these tests."""
    assert inspect.unwrap(starts_of) is not starts_of
    assert inspect.unwrap(check_core) is check_core


def test_axes_of_one_name_are_of_one_length() -> None:
    """Of arguments and of the result; in the next call they may be of another.

    Caught: each array checked alone.
    """
    for n in (2, 3):
        events = CategoryEvents(torch.arange(n), torch.zeros(n, 1, dtype=torch.int64))
        assert len(events) == n
    with pytest.raises(BeartypeCallHintParamViolation, match="code"):
        CategoryEvents(torch.arange(2), torch.zeros(3, 1, dtype=torch.int64))
