from __future__ import annotations

import math

import torch

from mmseq.balancers.uncertainty import UncertaintyBalancer


def _balancer() -> UncertaintyBalancer:
    balancer = UncertaintyBalancer({"a": 2.0, "b": 1.0})
    with torch.no_grad():
        balancer.raw.copy_(torch.tensor([0.7, -1.2]))
    return balancer


def test_formula() -> None:
    losses = {"a": torch.tensor(3.0), "b": torch.tensor(0.5)}
    s = [3 * math.tanh(r / 3) for r in (0.7, -1.2)]
    expected = math.exp(-s[0]) * 2 * 3 / 2 + s[0] / 2 + math.exp(-s[1]) * 0.5 / 2 + s[1] / 2
    found = _balancer()(losses, {"a": 1.0, "b": 4.0}, 1.0)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_task_without_labels_moves_nothing_of_its_own() -> None:
    balancer = _balancer()
    loss = balancer({"a": torch.tensor(3.0), "b": torch.tensor(0.0)}, {"a": 1.0, "b": 0.0}, 1.0)
    loss.backward()
    assert balancer.raw.grad is not None
    assert balancer.raw.grad[0] != 0 and balancer.raw.grad[1] == 0


def test_log_variance_settles_at_the_log_of_the_loss() -> None:
    """∂/∂s (½ e⁻ˢ L + ½ s) = 0 at s = log L, of which a task's noise is learned."""
    balancer = UncertaintyBalancer({"a": 1.0})
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        balancer({"a": torch.tensor(4.0)}, {"a": 1.0}, 1.0).backward()
        optimizer.step()
    assert abs(3 * math.tanh(balancer.raw.item() / 3) - math.log(4)) < 1e-3


def test_negative_loss_cannot_run_away() -> None:
    """A Gaussian likelihood may fall below 0; the weight of its task stays below e³ / 2."""
    balancer = UncertaintyBalancer({"a": 1.0})
    optimizer = torch.optim.Adam(balancer.parameters(), lr=1.0)
    for _ in range(200):
        optimizer.zero_grad()
        loss = balancer({"a": torch.tensor(-1.0)}, {"a": 1.0}, 1.0)
        loss.backward()
        optimizer.step()
    assert loss.item() > -math.exp(3) / 2 - 1.5 - 1e-3
