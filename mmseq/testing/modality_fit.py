"""What a modality fits on the training split."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from mmseq.errors import DataError
from mmseq.testing.compare import finite, require, require_close, require_same
from mmseq.testing.contract import Check, Contract
from mmseq.testing.events import WORDS
from mmseq.testing.modality_trial import ModalityTrial


def _check_specification(trial: ModalityTrial) -> None:
    again = trial.reread(trial.spec)
    rule, remedy = "a spec goes through JSON unchanged", "keep plain numbers, text and lists in it"
    require(again == trial.spec, trial.modality, rule, f"{again} came back", remedy)
    expected = trial.whole()
    trial.modality = trial.build(again)
    rule = "a modality built from the spec alone gives the same"
    remedy = "keep everything that was fitted in the spec, none of it on the class"
    require_same(trial.whole(), expected, trial.modality, rule, remedy)


def _check_fit(trial: ModalityTrial) -> None:
    """The training split's values decide: not how they are chunked, nor what others have."""
    rule, remedy = "fitting does not depend on how the values are chunked", "sum up over chunks"
    parts = trial.fit(trial.cut(trial.training, 7))
    _require_near(trial, parts, trial.spec, rule, remedy)
    rule = "fitting does not see words that the training split lacks"
    remedy = "count the words of the chunks; the store's vocabulary is of all splits"
    good = trial.json(trial.fit([trial.training], (*WORDS, "only in test"))) == trial.json(trial.spec)
    require(good, trial.modality, rule, "another spec came", remedy)
    if trial.reading.payload is not None and trial.reading.payload.shape is None:
        return  # of text in bytes, say, there is nothing to fit
    shifted = {k: v[:, ::-1] % 3 if k == "code" else v + 1 for k, v in trial.training.items()}
    good = trial.json(trial.fit([shifted])) != trial.json(trial.spec)
    rule, remedy = "fitting reads the chunks", "compute the spec from `stored.chunks()`"
    require(good, trial.modality, rule, "other values gave the same spec", remedy)


def _last_first(rows: Any) -> np.ndarray:
    return np.arange(len(rows))[::-1]


def _require_near(trial: ModalityTrial, spec: Any, expected: Any, rule: str, remedy: str) -> None:
    numbers, words = _leaves(json.loads(trial.json(spec)))
    expected_numbers, expected_words = _leaves(json.loads(trial.json(expected)))
    good = words == expected_words and len(numbers) == len(expected_numbers)
    require(good, trial.modality, rule, "another spec came", remedy)
    actual = torch.tensor(numbers, dtype=torch.float64)
    expected_values = torch.tensor(expected_numbers, dtype=torch.float64)
    require_close(actual, expected_values, trial.modality, rule, remedy)


def _leaves(tree: Any) -> tuple[list[float], list[str]]:
    """The numbers and the other leaves of a JSON tree, in order."""
    if isinstance(tree, dict | list):
        parts = [_leaves(value) for value in (tree.values() if isinstance(tree, dict) else tree)]
        return [n for numbers, _ in parts for n in numbers], [w for _, words in parts for w in words]
    is_number = isinstance(tree, int | float) and not isinstance(tree, bool)
    return ([float(tree)], []) if is_number else ([], [str(tree)])


def _check_nothing_to_fit(trial: ModalityTrial) -> None:
    none = {name: value[:0] for name, value in trial.training.items()}
    try:
        trial.fit([none])
    except DataError as error:
        came, good = f"the message {str(error)!r}", trial.config.table in str(error)
    except Exception as error:
        came, good = f"{type(error).__name__}: {error}", False
    else:
        came, good = "a spec came", False
    rule = "a training split without any event is a DataError that names the table"
    require(good, trial.modality, rule, came, "check `stored.n_events` first")
    if trial.reading.payload is not None:
        return  # a row without one is not there
    empty = {k: np.full_like(v, np.nan if v.dtype.kind == "f" else -1) for k, v in trial.training.items()}
    rule, remedy = "a column without any value gives finite numbers", "divide by nothing that can be 0"
    trial.modality = trial.build(trial.reread(trial.fit([empty])))
    trial.events = trial.make(trial.step, trial.arrays)
    require(finite(trial.whole()), trial.modality, rule, "inf or NaN came", remedy)


def _check_other_splits(trial: ModalityTrial) -> None:
    """What the modality sees after it was fitted, it does not learn from."""
    expected, spec = trial.whole(), trial.json(trial.spec)
    other = {k: v * -3 + 1 if v.dtype.kind == "f" else v[_last_first(v)] for k, v in trial.arrays.items()}
    trial.run(trial.make(trial.step, other), trial.timeline)
    rule = "other values that it sees change nothing that was fitted"
    remedy = "fit in `fit` alone, and keep what it finds in the spec"
    require_same(trial.whole(), expected, trial.modality, rule, remedy)
    good = trial.json(trial.modality.spec) == spec if hasattr(trial.modality, "spec") else True
    require(good, trial.modality, rule, "the spec changed", remedy)


CHECKS: Contract[ModalityTrial] = (
    Check(
        "facts",
        "facts survive JSON, and a modality built from them alone gives the same",
        _check_specification,
    ),
    Check("training split", "only the training split's values decide what is fitted", _check_fit),
    Check("other splits", "what it sees later changes nothing that was fitted", _check_other_splits),
    Check(
        "nothing to fit",
        "no events are an error that names the table; no values are no NaN",
        _check_nothing_to_fit,
    ),
)
