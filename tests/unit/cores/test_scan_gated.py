"""The gated scan against its formula under autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmseq.cores.scan import cut, scan
from mmseq.cores.scan_gated import gated_scan
from mmseq.testing.build import LENGTHS, random_timeline


def plain(gates: Tensor, elapsed: Tensor, power: Tensor, begin: Tensor | None, where: object) -> Tensor:
    f, v = gates.chunk(2, 1)
    a = torch.sigmoid(f - elapsed[:, None] * power)
    g = torch.where(v >= 0, v + 0.5, v.sigmoid())
    return scan(a, (1 - a) * g, begin, where)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("lengths", [LENGTHS, (1, 0, 1), (400, 200), (), (6,)])
def test_values_and_gradients(lengths: tuple[int, ...], known: bool) -> None:
    torch.manual_seed(0)
    timeline = random_timeline(lengths, torch.Generator())
    where, n = cut(timeline, 300), timeline.n_steps
    gates = (8 * torch.randn(n, 600, dtype=torch.float64)).requires_grad_()
    elapsed, loss = torch.randn(n, dtype=torch.float64), torch.randn(n, 300, dtype=torch.float64)
    power = torch.rand(300, dtype=torch.float64, requires_grad=True)
    begin = torch.randn(len(where.first), 300, dtype=torch.float64, requires_grad=True) if known else None
    given = [gates, power] if begin is None else [gates, power, begin]
    outputs = gated_scan(gates.clone(), elapsed, power, begin, where)
    expected = plain(gates, elapsed, power, begin, where)
    assert torch.allclose(outputs, expected, rtol=0, atol=1e-12)
    got, want = (torch.autograd.grad(y, given, loss) for y in (outputs, expected))
    for mine, theirs in zip(got, want, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2])
def test_candidate_at_the_kink_has_the_slope_above_it(length: int) -> None:
    timeline = random_timeline([length] * 2, torch.Generator())
    gates = torch.zeros(2 * length, 2, dtype=torch.float64, requires_grad=True)
    nothing = torch.zeros(2 * length, dtype=torch.float64)
    outputs = gated_scan(gates.clone(), nothing, nothing[:1], None, cut(timeline, 1))
    outputs[timeline.last].sum().backward()
    assert gates.grad is not None
    assert gates.grad[timeline.last, 1].tolist() == [0.5, 0.5]


def test_gradcheck() -> None:
    torch.manual_seed(0)
    timeline = random_timeline((3, 0, 1, 4), torch.Generator())
    where = cut(timeline, 2)
    elapsed = torch.randn(8, dtype=torch.float64)
    given = [torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in ((8, 4), (2,), (3, 2))]

    def run(gates: Tensor, power: Tensor, begin: Tensor) -> Tensor:
        return gated_scan(gates.clone(), elapsed, power, begin, where)

    assert torch.autograd.gradcheck(run, given)


def test_gates_near_zero_and_one_in_single_precision() -> None:
    torch.manual_seed(0)
    timeline = random_timeline((700, 1, 90), torch.Generator())
    where, n = cut(timeline, 4), timeline.n_steps
    gates = torch.randn(n, 8)
    gates[:, :4] = torch.where(torch.rand(n, 4) < 0.3, -27.6, 3 + gates[:, :4])  # σ(-27.6) is 1e-12
    elapsed, power, loss = torch.zeros(n), torch.zeros(4), torch.randn(n, 4)
    rough, exact = gates.requires_grad_(), gates.detach().double().requires_grad_()
    outputs = gated_scan(rough.clone(), elapsed, power, None, where)
    expected = plain(exact, elapsed.double(), power.double(), None, where)
    got, want = (
        torch.autograd.grad(y, x, loss.to(y.dtype))[0] for y, x in ((outputs, rough), (expected, exact))
    )
    for mine, theirs in ((outputs, expected), (got, want)):
        assert float((mine - theirs).detach().abs().max()) <= 1e-6 * float(theirs.detach().abs().max())
