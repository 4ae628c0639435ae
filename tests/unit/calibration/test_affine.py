"""What scale and bias are found, from labels that were drawn with known ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmseq.calibration.affine import Affine, fit_affine
from mmseq.calibration.measures import negative_log_likelihood


def drawn(n: int, scale: list[float], bias: list[float], seed: int = 0) -> tuple[Tensor, Tensor]:
    """log p of a model, and classes drawn from what the map makes of it."""
    generator = torch.Generator().manual_seed(seed)
    log_p = (2 * torch.randn(n, len(bias), generator=generator, dtype=torch.float64)).log_softmax(1)
    p = (log_p * torch.tensor(scale).double() + torch.tensor(bias).double()).softmax(1)
    return log_p, torch.multinomial(p, 1, generator=generator)[:, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("n_classes", [2, 6])
def test_temperature_is_found(temperature: float, n_classes: int) -> None:
    log_p, truth = drawn(6_000, [1 / temperature], [0.0] * n_classes)
    found = fit_affine(log_p, truth, "temperature")
    assert len(found.scale) == 1 and found.bias == [0.0]
    assert 1 / found.scale[0] == pytest.approx(temperature, rel=0.08)


def test_vector_is_found() -> None:
    """Biases but for what all have in common."""
    scale, bias = [0.6, 1.0, 1.5], [1.0, -1.0, 0.0]
    found = fit_affine(*drawn(40_000, scale, bias), "vector")
    assert found.scale == pytest.approx(scale, rel=0.06)
    assert [b - found.bias[2] for b in found.bias] == pytest.approx(bias, abs=0.15)


def test_of_two_classes_it_is_platt_scaling() -> None:
    """Logit → 0.7·logit + 1.5."""
    found = fit_affine(*drawn(40_000, [0.7], [0.0, 1.5]), "vector")
    assert found.scale == pytest.approx([0.7], rel=0.05)
    assert found.bias[1] - found.bias[0] == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_it_is_the_least_of_its_neighbours(method: str) -> None:
    """Cost by hand: Σ −log p + ½(Σ log² scale + Σ bias²). Caught: the mean for the sum; no prior."""
    log_p, truth = drawn(60, [1.4], [0.5, 0.0, -0.5])
    found = fit_affine(log_p, truth, method)

    def cost(affine: Affine) -> float:
        free = torch.cat([torch.tensor(affine.scale).double().log(), torch.tensor(affine.bias).double()])
        return len(truth) * negative_log_likelihood(affine(log_p), truth) + float(free.square().sum()) / 2

    least = cost(found)
    for i in range(len(found.scale)):
        for by in (0.98, 1.02):
            scale = [s * by if i == j else s for j, s in enumerate(found.scale)]
            assert cost(Affine(scale=scale, bias=found.bias)) > least
    for i in range(3 if method == "vector" else 0):
        for by in (-0.02, 0.02):
            bias = [b + by if i == j else b for j, b in enumerate(found.bias)]
            assert cost(Affine(scale=found.scale, bias=bias)) > least


def test_temperature_keeps_the_order_of_classes() -> None:
    """Also of a model that is worse than chance. Caught: a scale that may fall below 0."""
    log_p, truth = drawn(300, [-1.0], [0.0] * 4)
    found = fit_affine(log_p, truth, "temperature")
    assert 0 < found.scale[0] < 0.3
    assert torch.equal(found(log_p).argsort(1), log_p.argsort(1))


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_without_an_error_it_stays_finite(method: str) -> None:
    """All right, one class never seen; or no label at all, which changes nothing."""
    log_p = torch.eye(4, dtype=torch.float64)[[0, 1, 2, 0, 1, 2]].mul(3).log_softmax(1)
    found = fit_affine(log_p, log_p.argmax(1), method)
    assert max(found.scale) < 10 and max(map(abs, found.bias)) < 10
    assert bool(found(log_p).exp().sum(1).isclose(torch.ones(6, dtype=torch.float64)).all())
    assert fit_affine(log_p[:0], log_p[:0].argmax(1), method).is_identity


def test_inside_inference_mode() -> None:
    log_p, truth = drawn(50, [2.0], [0.0, 0.0])
    with torch.inference_mode():
        assert fit_affine(log_p.clone(), truth, "temperature") == fit_affine(log_p, truth, "temperature")
