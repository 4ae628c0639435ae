"""What labels are refused for is told wherever they came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.errors import DataError
from mmseq.fit import fit


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, "labels: task 'y', column y: has no label in the training split; drop it, or divide"),
        (-1, "labels, sample 'a': task 'y', column y: "),
    ],
)
def test_a_prepared_store_of_tables_that_are_not_given(label: object, message: str, tmp_path: Path) -> None:
    """Caught: instead it was told that tables are passed from Python."""
    tables = {"v": {"id": ["a", "b"], "t": [0, 1], "x": [1.0, 2.0]}, "labels": {"id": ["a"], "y": [label]}}
    data = {"source": {"kind": "memory"}, "store": str(tmp_path)}
    tree = {
        "name": "ready",
        "data": data,
        "modalities": {"v": {"kind": "numeric", "table": "v", "time": "t", "columns": ["x"]}},
        "core": {"kind": "gru", "hidden": 2},
        "tasks": {"y": {"kind": "count", "table": "labels", "column": "y"}},
    }
    store = prepare(Experiment.model_validate(tree), tables)
    ready = Experiment.model_validate(tree | {"data": data | {"prepared": str(store.path)}})
    with pytest.raises(DataError, match=message):
        fit(ready, prepare(ready), np.arange(2))
