"""Long short-term memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmseq.cores import lstm
from mmseq.cores.lstm import LstmConfig, LstmCore
from mmseq.testing.build import random_timeline


def test_formula() -> None:
    core = LstmCore(3, hidden=4).double()
    w, u, b, b2 = core.rnn.all_weights[0]
    torch.nn.init.normal_(b)
    torch.nn.init.normal_(b2)
    x, h = torch.randn(5, 3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    c = h
    outputs, _ = core(x, random_timeline([5], torch.Generator()))
    for t in range(5):
        i, f, g, o = (w @ x[t] + b + u @ h + b2).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        assert torch.allclose(outputs[t], h, rtol=0, atol=1e-12)


@pytest.mark.parametrize("value", [1.0, -0.5])
def test_forget_bias_is_the_total_of_both_vectors(value: float) -> None:
    core = LstmCore(3, hidden=4, layers=2, forget_bias=value)
    for layer in range(2):
        total = getattr(core.rnn, f"bias_ih_l{layer}") + getattr(core.rnn, f"bias_hh_l{layer}")
        assert total.tolist() == [0.0] * 4 + [value] * 4 + [0.0] * 8


def test_forget_bias_is_one_unless_chosen() -> None:
    assert LstmConfig(kind="lstm").forget_bias is None
    assert LstmCore(3).rnn.bias_ih_l0[64:128].tolist() == [1.0] * 64


def kernel_calls(
    core: LstmCore, lengths: list[int], continues: bool, monkeypatch: pytest.MonkeyPatch
) -> list[Any]:
    seen, kernel = [], torch._VF.lstm

    def counted(x: torch.Tensor, *rest: Any) -> Any:
        seen.append(tuple(x.shape[:2]))
        return kernel(x, *rest)

    monkeypatch.setattr(LstmCore, "kernel", staticmethod(counted))
    timeline = random_timeline(lengths, torch.Generator(), continues=continues)
    core(torch.randn(timeline.n_steps, 3), timeline)
    return seen


def test_staircase_calls_anew_when_a_quarter_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [100, 100, 100, 100, 90, 80, 40, 30]
    assert kernel_calls(LstmCore(3), lengths, False, monkeypatch) == [(40, 8), (60, 6)]


def test_staircase_is_cut_at_each_length_where_the_cell_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [10, 10, 10, 10, 9, 8, 4, 3]
    calls = [(3, 8), (1, 7), (4, 6), (1, 5), (1, 4)]
    assert kernel_calls(LstmCore(3), lengths, True, monkeypatch) == calls


def test_staircase_calls_anew_before_a_block_grows_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caught: the limit in slots instead of in slots times units; wide layers cut."""
    monkeypatch.setattr(lstm, "_KEPT", 64 * 200)
    monkeypatch.setattr(lstm, "_WIDEST", 128)
    assert kernel_calls(LstmCore(3, hidden=64), [100, 100, 30], False, monkeypatch) == [(30, 3), (70, 2)]
    assert kernel_calls(LstmCore(3, hidden=128), [100, 100, 30], False, monkeypatch)[:2] == [(30, 3), (35, 2)]
    assert kernel_calls(LstmCore(3, hidden=129), [100, 100], False, monkeypatch) == [(100, 2)]
