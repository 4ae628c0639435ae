"""What weights a model would have, before there is memory for them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmseq.outline import check_weights, outline

WEIGHTS = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}


def test_shapes_without_memory() -> None:
    huge = outline(nn.Linear, 1 << 24, 1 << 20)  # 64 TB
    assert huge is not None and huge["weight"] == (torch.Size([1 << 20, 1 << 24]), torch.float32)


def test_none_where_a_component_needs_its_numbers() -> None:
    def build() -> nn.Module:
        return nn.Linear(int(torch.ones(1).item()), 1)

    assert outline(build) is None
    check_weights(WEIGHTS, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_good_weights(dtype: torch.dtype) -> None:
    check_weights({name: value.to(dtype) for name, value in WEIGHTS.items()}, outline(nn.Linear, 3, 2))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"weight": torch.zeros(3, 2)},
            r"must be torch.float32 \(2, 3\); came torch.float32 \(3, 2\)",
        ),
        ({"weight": torch.zeros(2, 3, dtype=torch.int64)}, r"'weight' must be .* came torch.int64"),
        ({"weight": torch.zeros(2, 3).double()}, "all float32 or all float64"),
        ({"weight": torch.zeros(2, 3).half()}, "all float32 or all float64"),
        ({"more": torch.zeros(1)}, "'more' is missing, or the model has none of that name"),
    ],
)
def test_other_weights(change: dict[str, Tensor], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_weights({**WEIGHTS, **change}, outline(nn.Linear, 3, 2))


def test_a_weight_less() -> None:
    with pytest.raises(ValueError, match="'bias' is missing"):
        check_weights({"weight": WEIGHTS["weight"]}, outline(nn.Linear, 3, 2))
