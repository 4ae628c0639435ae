"""GradNorm, against its formula."""

from __future__ import annotations

import torch

from mmseq.balancers import Whole
from mmseq.balancers.gradnorm import GradnormBalancer


def whole(losses: list[float], norms: list[float], there: list[bool] | None = None) -> Whole:
    gram = torch.diag(torch.tensor(norms, dtype=torch.float64).square())
    present = torch.tensor(there or [True] * len(losses))
    return Whole(torch.tensor(losses, dtype=torch.float64), present, gram)


def test_one_step_by_hand() -> None:
    """Norms 3 and 1, equal rates: both aim at 2, so the first falls by lr·3/2 and the other grows by
    lr·1/2."""
    balancer = GradnormBalancer({"a": 1.0, "b": 1.0}, alpha=1.5, lr=0.1)
    balancer.look(whole([2.0, 5.0], [3.0, 1.0]))
    moved = torch.tensor([1 - 0.15, 1 + 0.05], dtype=torch.float64)
    torch.testing.assert_close(balancer.factor, moved * 2 / moved.sum())
    assert balancer.first.tolist() == [2.0, 5.0]


def test_a_task_that_lags_behind_aims_higher() -> None:
    """Equal norms; b's loss has not fallen: r = (0.5, 1) / 0.75, and only b is to grow."""
    balancer = GradnormBalancer({"a": 1.0, "b": 1.0}, alpha=1.0, lr=0.1)
    balancer.first.copy_(torch.tensor([2.0, 5.0]))
    balancer.look(whole([1.0, 5.0], [1.0, 1.0]))
    torch.testing.assert_close(balancer.factor, torch.tensor([0.9, 1.1], dtype=torch.float64))


def test_norms_settle_alike() -> None:
    balancer = GradnormBalancer({"a": 1.0, "b": 2.0, "c": 1.0}, alpha=0.0, lr=0.02)
    norms = [4.0, 0.5, 1.0]
    for _ in range(2_000):
        balancer.look(whole([1.0, 1.0, 1.0], norms))
    found = torch.tensor([*balancer.told().values()]) * torch.tensor(norms)
    assert float(found.max() / found.min()) < 1.2
    assert abs(float(balancer.factor.sum()) - 3) < 1e-9


def test_absent_tasks_and_bad_numbers_change_nothing() -> None:
    balancer = GradnormBalancer({"a": 1.0, "b": 1.0, "c": 1.0}, alpha=1.0, lr=0.1)
    balancer.look(whole([1.0, 0.0, 1.0], [3.0, 0.0, 1.0], [True, False, True]))
    assert balancer.factor[1] == 1 and balancer.first[1] == 0 and balancer.factor[0] < 1
    before = balancer.factor.clone()
    balancer.look(whole([1.0, 1.0, float("nan")], [3.0, 1.0, 1.0]))
    assert torch.equal(balancer.factor, before)
