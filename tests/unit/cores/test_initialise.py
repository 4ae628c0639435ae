"""How recurrent weights begin."""

from __future__ import annotations

import math

import pytest
import torch

from mmseq.batch import Timeline
from mmseq.cores import cores
from mmseq.cores.lstm import LstmConfig
from mmseq.cores.recurrent import RecurrentCore

GATED = ["lstm", "gru", "decay_gru"]


def build(kind: str, hidden: int = 1000, **options: int) -> RecurrentCore:
    torch.manual_seed(0)
    return cores.build(cores.config_class(kind)(kind=kind, hidden=hidden, layers=2, **options), 3)


@pytest.mark.parametrize("kind", GATED)
def test_chrono_spreads_time_constants_up_to_the_longest_dependency(kind: str) -> None:
    core = build(kind, chrono=50)
    for layer in range(2):
        first, keep, *rest = getattr(core.rnn, f"bias_ih_l{layer}").detach().chunk(core.n_gates)
        constant = 1 / (1 - keep.sigmoid())
        assert 2 <= float(constant.min()) < 2.2 and 49.8 < float(constant.max()) <= 50.001
        assert float(constant.mean()) == pytest.approx(26, rel=0.05)
        assert float(constant.std()) == pytest.approx(48 / math.sqrt(12), rel=0.05)
        assert torch.equal(first, -keep) if kind == "lstm" else not first.any()
        assert not any(bool(part.any()) for part in rest)
        assert not getattr(core.rnn, f"bias_hh_l{layer}").any()


@pytest.mark.parametrize("kind", GATED)
def test_chrono_lets_a_state_last(kind: str) -> None:
    """After a hundred steps that bring nothing, most of the state is left; without chrono, none."""
    time = torch.arange(100, dtype=torch.float64)
    timeline = Timeline(torch.tensor([0, 100]), time, torch.zeros(100), continues=True)
    for options, least, most in (({}, 0.0, 1e-6), ({"chrono": 1000}, 0.6, 0.8)):
        core = build(kind, hidden=300, **options)
        for name, weight in core.rnn.named_parameters():
            if name.startswith("weight"):
                torch.nn.init.zeros_(weight)
        begin = {part: torch.ones(1, 2, core.hidden) for part in core.parts}
        end = core(torch.zeros(100, 3), timeline, begin)[1][core.parts[-1]]
        assert least <= float(end.detach().mean()) <= most


@pytest.mark.parametrize("kind", GATED)
def test_chrono_without_any_span_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        cores.config_class(kind)(kind=kind, chrono=1)


def test_chrono_and_forget_bias_contradict() -> None:
    with pytest.raises(
        ValueError, match=r"both set the forget gate's first bias \(got 1 and 90\); leave one"
    ):
        LstmConfig(kind="lstm", chrono=90, forget_bias=1.0)
