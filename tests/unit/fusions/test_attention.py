"""Attention over modalities: the formula by loops, exact zeros, and what is left where nothing is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mmseq.fusions import Seen
from mmseq.fusions.attention import AttentionConfig, AttentionFusion

NAMES = ("values", "b", "c")  # the first is a word that a torch module has as an attribute, too
N = 5


def build(over: Any = "known", heads: int = 2) -> AttentionFusion:
    torch.manual_seed(0)
    return AttentionFusion(NAMES, 2, width=4, heads=heads, over=over).double()


def some() -> tuple[dict[str, Seen], Tensor]:
    """At step 0 nothing is known; at others some modalities are, and some of these present."""
    generator = torch.Generator().manual_seed(1)
    present = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)
    known = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1], [1, 0, 1]], dtype=torch.bool)
    seen = {}
    for m, name in enumerate(NAMES):
        values = torch.randn(N, 4, generator=generator, dtype=torch.float64) * known[:, m : m + 1]
        age = torch.where(present[:, m], 0.0, torch.rand(N, generator=generator, dtype=torch.float64))
        seen[name] = Seen(values, present[:, m], torch.where(known[:, m], age, -1.0))
    return seen, torch.randn(N, 2, generator=generator, dtype=torch.float64)


def there(over: str, one: Seen, step: int) -> bool:
    return bool(one.present[step]) or (over == "known" and bool(one.age[step] >= 0))


@pytest.mark.parametrize("over", ["known", "present"])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_formula(over: str, heads: int) -> None:
    fusion, (seen, clock) = build(over, heads), some()
    key, value = fusion.keys_and_values.weight.chunk(2)
    size = 4 // heads
    for step in range(N):
        marks = [mark for one in seen.values() for mark in (one.present[step].double(), one.age[step])]
        told = torch.cat([clock[step], torch.stack(marks)])
        query = fusion.query.weight @ told + fusion.query.bias
        said = {name: seen[name].values[step] + fusion.names[m] for m, name in enumerate(NAMES)}
        read = []
        for h in range(heads):
            mine = slice(h * size, (h + 1) * size)
            weight = {
                name: (query[mine] @ (key @ u)[mine] / math.sqrt(size)).exp()
                for name, u in said.items()
                if there(over, seen[name], step)
            }
            total = 1 + sum(weight.values())
            vectors = [w / total * (value @ said[name])[mine] for name, w in weight.items()]
            read.append(sum(vectors, torch.zeros(size, dtype=torch.float64)))
        expected = fusion.output.weight @ torch.cat(read) + fusion.output.bias
        expected = expected + fusion.step.weight @ told
        torch.testing.assert_close(fusion(seen, clock)[step], expected)


@pytest.mark.parametrize("over", ["known", "present"])
def test_what_is_not_there_has_no_weight_at_all(over: str) -> None:
    fusion, (seen, clock) = build(over), some()
    weights, *_ = fusion.read(seen, clock)
    for m, name in enumerate(NAMES):
        for step in range(N):
            assert bool((weights[step, :, m] > 0).all()) == there(over, seen[name], step)
    expected = fusion(seen, clock)
    for name in NAMES:  # whatever it says, to the last bit
        hidden = torch.tensor([not there(over, seen[name], step) for step in range(N)])
        values = torch.where(hidden[:, None], 1e6, seen[name].values)
        other = {**seen, name: Seen(values, seen[name].present, seen[name].age)}
        assert torch.equal(fusion(other, clock), expected)


def test_where_nothing_is_known_there_is_the_step_itself() -> None:
    fusion, (seen, clock) = build(), some()
    told = torch.cat([clock[0], torch.tensor([0.0, -1.0] * 3)])
    torch.testing.assert_close(fusion(seen, clock)[0], fusion.step(told) + fusion.output.bias)


def test_over_known_keeps_reading_what_is_no_longer_present() -> None:
    (seen, clock), known, present = some(), build("known"), build("present")
    assert not torch.equal(known(seen, clock)[3], present(seen, clock)[3])
    assert torch.equal(known(seen, clock)[1:3], present(seen, clock)[1:3])  # all that is known is present


@pytest.mark.parametrize("over", ["known", "present"])
def test_age_and_presence_are_told(over: str) -> None:
    fusion, (seen, clock) = build(over), some()
    one, step = seen["b"], 3
    older = Seen(one.values, one.present, one.age.index_fill(0, torch.tensor([step]), 2.0))
    carried = Seen(one.values, one.present.index_fill(0, torch.tensor([step]), False), one.age)
    for other in (older, carried):
        assert not torch.equal(fusion({**seen, "b": other}, clock)[step], fusion(seen, clock)[step])


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads: must divide width, 30; got 4"):
        AttentionConfig(kind="attention", width=30)
    assert AttentionConfig(kind="attention", width=30, heads=5).heads == 5
