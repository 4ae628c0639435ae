"""Gradients of tasks at the shared representation, and what goes back through the trunk."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from mmseq.balancers import FactorBalancer, Whole
from mmseq.processes import ALONE
from mmseq.training.shared import SharedGradients, cosines, whole_batch

TASKS = {"a": 2.0, "b": 1.0, "c": 0.5}


class Factors(FactorBalancer):
    reads = "gradients"


@pytest.fixture
def parts() -> tuple[nn.Module, dict[str, nn.Module], Tensor]:
    """A trunk, heads on its outputs (one of which looks at half of the steps), and inputs."""
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Linear(3, 4), nn.Tanh()).double()
    return trunk, {task: nn.Linear(4, 1).double() for task in TASKS}, torch.randn(6, 3).double()


def losses_of(heads: Mapping[str, nn.Module], hidden: Tensor) -> dict[str, Tensor]:
    losses = {task: (head(hidden) - i).square().mean() for i, (task, head) in enumerate(heads.items())}
    losses["c"] = heads["c"](hidden[:0]).sum()  # a task without labels here
    return losses


def gradients(*modules: nn.Module) -> list[Tensor]:
    found = [p.grad for module in modules for p in module.parameters()]
    return [torch.zeros(()) if grad is None else grad.clone() for grad in found]


def test_factors_of_one_are_the_sum_of_losses(parts: tuple[nn.Module, dict[str, nn.Module], Tensor]) -> None:
    trunk, heads, inputs = parts
    balancer, shared = Factors(TASKS), SharedGradients()
    losses = losses_of(heads, shared(trunk(inputs)))
    shared.gram([*losses.values()])
    loss = shared.loss(balancer, losses)
    loss.backward()
    found = gradients(trunk, *heads.values())
    for module in (trunk, *heads.values()):
        module.zero_grad()
    losses = losses_of(heads, trunk(inputs))
    plain = sum(weight * losses[task] for task, weight in TASKS.items())
    assert isinstance(plain, Tensor)
    plain.backward()
    torch.testing.assert_close(loss.detach(), plain.detach())
    torch.testing.assert_close(found, gradients(trunk, *heads.values()))


def test_factors_are_of_the_trunk_alone(parts: tuple[nn.Module, dict[str, nn.Module], Tensor]) -> None:
    trunk, heads, inputs = parts
    balancer, shared = Factors(TASKS), SharedGradients()
    balancer.factor.copy_(torch.tensor([0.3, -1.0, 1.0]))
    losses = losses_of(heads, shared(trunk(inputs)))
    gram = shared.gram([*losses.values()])
    shared.loss(balancer, losses).backward()
    found, of_heads = gradients(trunk), gradients(*heads.values())
    for module in (trunk, *heads.values()):
        module.zero_grad()
    hidden = trunk(inputs)
    losses = losses_of(heads, hidden)
    each = [torch.autograd.grad(losses[task], hidden, retain_graph=True)[0] for task in TASKS]
    expected = torch.tensor([[float((g * h).sum()) for h in each] for g in each], dtype=torch.float64)
    torch.testing.assert_close(gram, expected)
    hidden.backward(0.6 * each[0] - each[1], retain_graph=True)
    torch.testing.assert_close(found, gradients(trunk))
    for task, head in heads.items():
        (TASKS[task] * losses[task]).backward(inputs=[*head.parameters()], retain_graph=True)
    torch.testing.assert_close(of_heads, gradients(*heads.values()))


def test_whole_and_cosines(parts: tuple[nn.Module, dict[str, nn.Module], Tensor]) -> None:
    trunk, heads, inputs = parts
    balancer, shared = Factors(TASKS), SharedGradients()
    losses = losses_of(heads, shared(trunk(inputs)))
    whole = whole_batch(balancer, ALONE, losses, {"a": 3.0, "b": 1.0, "c": 0.0}, shared, 7)
    assert whole.there.tolist() == [True, True, False] and whole.key == 7
    torch.testing.assert_close(whole.losses[0], losses["a"].detach())
    assert whole.gram is not None
    expected = float(whole.gram[0, 1] / (whole.gram[0, 0] * whole.gram[1, 1]).sqrt())
    assert cosines(balancer, whole) == {("a", "b"): pytest.approx(expected)}
    assert cosines(balancer, None) == cosines(balancer, Whole(whole.losses, whole.there)) == {}
