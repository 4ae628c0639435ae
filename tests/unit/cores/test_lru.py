"""The linear recurrent unit."""

from __future__ import annotations

import math

import pytest
import torch

from mmseq.cores.lru import LruConfig, LruCore, _Decay
from mmseq.testing.build import random_timeline


def test_formula() -> None:
    torch.manual_seed(0)
    core = LruCore(3, hidden=4).double()
    layer = core.layers[0]
    torch.nn.init.normal_(layer.delta_power)
    x, h = torch.randn(9, 3, dtype=torch.float64), torch.zeros(4, dtype=torch.complex128)
    timeline = random_timeline([9], torch.Generator(), continues=True)
    outputs, state = core(x, timeline)
    enter, leave = torch.complex(*layer.enter.unbind(1)), torch.complex(*layer.leave.unbind(2)).conj()
    for t in range(9):
        delta = timeline.delta[t].double() if t else torch.ones((), dtype=torch.float64)
        time = delta**layer.delta_power
        decay = torch.exp(time * torch.complex(-layer.log_rate.exp(), layer.log_phase.exp()))
        h = decay * h + layer.log_scale.exp() * (enter @ x[t].to(h.dtype))
        y = torch.nn.functional.gelu((leave @ h).real + layer.skip(x[t]))
        assert torch.allclose(outputs[t], y, rtol=0, atol=1e-12)
    assert torch.allclose(torch.complex(state["real"], state["imaginary"])[0, 0], h, rtol=0, atol=1e-12)


def test_decays_have_the_gradients_of_their_formula() -> None:
    torch.manual_seed(0)
    elapsed = torch.randn(600, dtype=torch.float64)
    given = [torch.rand(100, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    power, rate, phase = given
    time = (elapsed[:, None] * power).exp()
    expected = (time * torch.complex(-rate, phase)).exp()
    decay = _Decay.apply(elapsed, *given)
    loss = torch.randn_like(expected)
    assert torch.allclose(decay, expected, rtol=0, atol=1e-13)
    got, want = (torch.autograd.grad(y, given, loss) for y in (decay, expected))
    for mine, theirs in zip(got, want, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-11, atol=1e-11)


def test_first_rates_phases_and_scales() -> None:
    torch.manual_seed(0)
    layer = LruCore(3, hidden=2000, r_min=0.4, r_max=0.8, max_phase=1.0).layers[0]
    size = (-layer.log_rate.exp()).exp().detach()
    assert 0.4 <= float(size.min()) < 0.42 and 0.79 < float(size.max()) <= 0.8
    assert float((size**2).mean()) == pytest.approx((0.4**2 + 0.8**2) / 2, abs=0.02), "even over the ring"
    phase = layer.log_phase.exp().detach()
    assert 0 < float(phase.min()) < 0.01 and 0.99 < float(phase.max()) <= 1.0
    assert torch.allclose(layer.log_scale.exp() ** 2, 1 - size**2, atol=1e-5)


def test_states_of_white_noise_have_one_size_at_first() -> None:
    torch.manual_seed(0)
    core = LruCore(8, hidden=64, delta_power=0.0)
    with torch.no_grad():
        _, state = core(
            torch.randn(30_000, 8), random_timeline([1000] * 30, torch.Generator(), continues=True)
        )
    assert 0.5 < float(state["real"].square().mean() + state["imaginary"].square().mean()) < 2


@pytest.mark.parametrize("field", [{"r_min": -0.1}, {"r_max": 1.0}, {"max_phase": 0.0}, {"max_phase": 7.0}])
def test_config_refuses(field: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        LruConfig(kind="lru", **field)


def test_ring_needs_its_radii_in_order() -> None:
    with pytest.raises(ValueError, match=r"r_min must be below r_max; got 0.9 and 0.5"):
        LruConfig(kind="lru", r_min=0.9, r_max=0.5)
    assert LruConfig(kind="lru", max_phase=2 * math.pi).max_phase == 2 * math.pi
