from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from mmseq.batch import Target
from mmseq.heads.classification import ClassificationHead, ClassSpec
from mmseq.heads.regression import RegressionHead, RegressionSpec
from mmseq.inference.evaluator import Evaluator

LEVEL = ClassificationHead(ClassSpec(classes=["a", "b"], counts=[3, 1]), 4)
DELAY = RegressionHead(RegressionSpec(columns=["y"], mean=[10.0], std=[2.0]), 4)


def test_metrics_beside_the_baseline() -> None:
    evaluator = Evaluator({"level": LEVEL, "delay": DELAY})
    level = Target(torch.arange(2), torch.tensor([0, 1]), weight=torch.tensor([1.0, 0.5]))
    logits = torch.tensor([[-1.0], [2.0]], requires_grad=True)
    evaluator.update({"level": logits}, {"level": level})
    for values, parameters in (([8.0], [-1.0]), ([14.0], [0.0])):
        target = Target(torch.arange(1), torch.tensor([values]))
        evaluator.update({"delay": torch.tensor([parameters])}, {"delay": target})
    found = evaluator.compute()
    assert found["level"]["metrics"]["accuracy"] == 1 and found["level"]["baseline"]["accuracy"] == 0.5
    assert found["level"]["labels"] == 2
    expected = (math.log1p(math.exp(-1)) + 0.5 * math.log1p(math.exp(-2))) / 1.5
    assert found["level"]["loss"] == pytest.approx(expected)
    assert found["delay"]["metrics"]["mae"] == 2 and found["delay"]["baseline"]["mae"] == 3
    assert found["delay"]["metrics"]["r2"] == pytest.approx(1 - 16 / 18)
    json.dumps(found, allow_nan=False)


def test_task_without_labels_is_nan() -> None:
    evaluator = Evaluator({"level": LEVEL, "delay": DELAY})
    nothing = Target(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    evaluator.update({"level": torch.zeros(0, 1)}, {"level": nothing})
    for task in evaluator.compute().values():
        assert task["labels"] == 0 and math.isnan(task["loss"])
        assert all(math.isnan(value) for value in (*task["metrics"].values(), *task["baseline"].values()))


PROCESS = """
import torch
from mmseq.batch import Target
from mmseq.heads.classification import ClassificationHead, ClassSpec
from mmseq.inference.evaluator import Evaluator
from mmseq.processes import together
head = ClassificationHead(ClassSpec(classes=["a", "b", "c"], counts=[3, 1, 1]), 4)
with together() as processes:
    evaluator = Evaluator({"level": head, "other": head}, processes=processes)
    if not processes.leads:
        torch.manual_seed(0)
        target = Target(torch.arange(30), torch.arange(30) % 3)
        evaluator.update({"level": torch.randn(30, 3)}, {"level": target})
    print(evaluator.compute())
"""


def test_process_without_any_label_joins_in(in_processes: Any) -> None:
    """Caught: torchmetrics' own way, in which all wait for ever for a process that scored nothing."""
    first, second = in_processes(PROCESS, 2)
    assert first == second and "'labels': 30" in first.out
