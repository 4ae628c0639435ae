from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import Target
from mmseq.errors import ConfigError
from mmseq.heads import Upcoming, fill_unobserved
from mmseq.heads.next_step import NextStepConfig, NextStepHead, NextStepSpec
from mmseq.modalities import Part
from mmseq.random import Draws
from mmseq.testing.head_examples import NextParts, next_target

CONFIG = NextStepConfig(kind="next_step", modality="flights")


def _head(**options: Any) -> NextStepHead:
    torch.manual_seed(0)
    return NextStepHead(NextStepHead.fit(CONFIG, Upcoming(NextParts(), np.ones(0))), 4, 8, **options)


class Silent:
    def next_parts(self) -> None:
        return None


class Nothing:
    def next_parts(self) -> list[Part]:
        return []


class Waits:
    def next_parts(self) -> list[Part]:
        spec = {"classes": ["a", "b"], "counts": [1, 1]}
        return [Part(name="wait", kind="classification", spec=spec, options={}, first=0, last=1)]


def test_a_modality_without_a_likelihood_learns_by_contrast() -> None:
    spec = NextStepHead.fit(CONFIG, Upcoming(Silent(), np.ones(0)))
    assert spec.parts is None
    assert NextStepSpec.model_validate_json(spec.model_dump_json()) == spec
    head = NextStepHead(spec, 4, 8, time=True, negatives=5, temperature=0.2)
    waits = [f"wait.{name}" for name in head.heads[-1].metrics()]
    assert head.negatives == 5 and [*head.metrics()] == ["loss", "accuracy", *waits]
    parameters = head(torch.zeros(3, 4)).detach()  # with nothing to compare with
    assert [*head.decode(parameters)] == ["wait", "wait.scale"]
    with pytest.raises(ConfigError, match="NextStepHead: predicts no distribution"):
        head.sample(parameters, Draws(torch.arange(3)))
    assert (NextStepHead(spec, 4, 8).negatives, _head().negatives) == (16, 0)


@pytest.mark.parametrize("option", [{"negatives": 16}, {"temperature": 0.1}])
def test_options_of_the_contrast_need_a_modality_without_a_likelihood(option: dict[str, Any]) -> None:
    config = NextStepConfig(kind="next_step", modality="flights", **option)
    (name,) = option
    with pytest.raises(ConfigError, match=f"'{name}' is for a modality whose next event has no likelihood"):
        NextStepHead.fit(config, Upcoming(NextParts(), np.ones(0)))
    NextStepHead.fit(config, Upcoming(Silent(), np.ones(0)))


def test_modality_without_a_column_to_predict() -> None:
    with pytest.raises(ConfigError, match="modality 'flights' has no column whose next value could be"):
        NextStepHead.fit(CONFIG, Upcoming(Nothing(), np.ones(0)))


def test_column_with_the_name_of_the_time() -> None:
    (part,) = NextStepHead.fit(CONFIG, Upcoming(Waits(), np.ones(0))).parts or ()
    assert part.name == "wait"
    with pytest.raises(ConfigError, match="'flights' has a column 'wait'"):
        NextStepHead.fit(CONFIG.model_copy(update={"time": True}), Upcoming(Waits(), np.ones(0)))


def test_predictions_are_named_by_part() -> None:
    columns = _head(time=True).decode(torch.zeros(2, 4 + 3 + 2))
    assert [*columns] == [
        *("a", "a.scale", "b", "b.scale", "c", "c.p_x", "c.p_y", "c.p_z", "wait", "wait.scale")
    ]


def test_parts_survive_the_bundle() -> None:
    spec = NextStepHead.fit(CONFIG, Upcoming(NextParts(), np.ones(3)))
    assert spec.parts == NextParts().next_parts()
    assert NextStepSpec.model_validate_json(spec.model_dump_json()) == spec


def test_loss_is_that_of_the_parts_side_by_side() -> None:
    head, target = _head(time=True), next_target()
    parameters = head(torch.randn(len(target), 4))
    numbers, category, wait = head.heads
    loss, weights = head.loss(parameters, target), head.weights(target)
    assert loss.shape == weights.shape == (len(target), 4)
    first = numbers.loss(parameters[:, :4], Target(target.where, target.value[:, :2]))
    second = category.loss(parameters[:, 4:7], Target(target.where, target.value[:, 2].long()))
    assert target.wait is not None
    third = wait.loss(parameters[:, 7:], Target(target.where, target.wait[:, None]))
    torch.testing.assert_close(loss, torch.cat([first, second[:, None], third], 1))
    assert target.observed is not None
    assert torch.equal(weights[:, :3], target.observed.float()) and bool((weights[:, 3] == 1).all())
    assert head.weights(replace(target, observed=None)).sum() == 4 * len(target)


def test_unobserved_cells_may_hold_anything() -> None:
    head, target = _head(), next_target()
    parameters = head(torch.randn(len(target), 4)).detach().requires_grad_()
    assert target.observed is not None
    filled = replace(target, value=target.value.masked_fill(~target.observed, math.nan))
    head.loss_sum(parameters, filled).backward()
    assert parameters.grad is not None
    hidden_class = ~target.observed[:, 2]
    assert not parameters.grad[hidden_class, 4:].any() and parameters.grad[~hidden_class, 4:].any()
    assert not parameters.grad[:, 0][~target.observed[:, 0]].any()


def test_unobserved_cells_are_filled_once_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    fills = []

    def fill(target: Target) -> Target:
        fills.append(target)
        return fill_unobserved(target)

    for module in ("mmseq.heads", "mmseq.heads.next_step"):
        monkeypatch.setattr(f"{module}.fill_unobserved", fill)
    head, target = _head(), next_target()
    head.loss_sum(head(torch.randn(len(target), 4)), target)
    assert len(fills) == 1


def test_baseline_is_the_last_value() -> None:
    head = _head(time=True)
    value = torch.tensor([[3.0, -1.0, 0.0]] * 2)
    previous = torch.tensor([[5.0, math.nan, 1.0], [math.nan, 2.0, math.nan]])
    target = Target(torch.arange(2), value, previous=previous, wait=torch.tensor([1.0, 1.0]))
    columns = head.decode(head.baseline(target))
    assert columns["a"] == pytest.approx([5, 1]) and columns["b"] == pytest.approx([-2, 2])
    assert columns["c"].tolist() == ["y", "x"]
    assert columns["wait"] == pytest.approx([0, 0])  # e⁰ − 1, the mean of its facts


def test_codes_as_whole_numbers_and_several_events_a_step() -> None:
    labels = {"columns": ["x", "y"], "rates": [0.5, 0.5]}
    classes = {"classes": ["x", "y", "z"], "counts": [1, 1, 1]}
    spec = NextStepSpec(
        parts=[
            Part(name="c", kind="classification", spec=classes, options={}, first=0, last=1),
            Part(name="d", kind="multilabel", spec=labels, options={}, first=1, last=3),
        ]
    )
    head = NextStepHead(spec, 4, 8)
    target = Target(torch.arange(2), torch.tensor([[2, 0, 1], [1, 1, 1]]))
    loss = head.loss(torch.zeros(2, 5), target)
    expected = torch.tensor([[math.log(3), math.log(2), math.log(2)]] * 2)
    torch.testing.assert_close(loss, expected)


def test_metrics_leave_out_what_a_part_does_not_observe() -> None:
    head = _head()
    value = torch.tensor([[1.0, -2.0, math.nan], [math.nan, math.nan, 1.0]])
    observed = torch.tensor([[True, True, False], [False, False, True]])
    parameters = torch.zeros(2, 7)
    parameters[:, 5] = 9.0
    metrics = head.metrics()
    head.score(metrics, parameters, Target(torch.arange(2), value, observed))
    assert float(metrics["c.accuracy"].compute()) == 1.0
    assert [float(metrics[f"mae.{name}"].compute()) for name in ("a", "b")] == [0.0, 0.0]
    gaussian = math.log(2 * math.pi) / 2
    near_zero = -float(torch.tensor([0.0, 9.0, 0.0]).log_softmax(0)[1])
    assert float(metrics["loss"].compute()) == pytest.approx((2 * gaussian + near_zero) / 3)


def test_time_needs_the_wait() -> None:
    target = replace(next_target(), wait=None)
    with pytest.raises(ValueError, match="the target has no wait"):
        _head(time=True).weights(target)


def test_the_wait_is_standardised_over_the_training_split() -> None:
    waits = np.array([0.0, 1.0, 7.0])
    spec = NextStepHead.fit(CONFIG, Upcoming(NextParts(), waits))
    assert (spec.wait_mean, spec.wait_std) == (np.log1p(waits).mean(), np.log1p(waits).std())
    assert NextStepHead.fit(CONFIG, Upcoming(NextParts(), np.ones(3))).wait_std == 1
    nearly = np.array([0.3 - 0.2, 0.1, 0.1])  # alike but for rounding
    assert NextStepHead.fit(CONFIG, Upcoming(NextParts(), nearly)).wait_std == 1


def test_draws_have_the_names_and_values_of_the_parts() -> None:
    head = _head(time=True)
    parameters = torch.zeros(2, 4 + 3 + 2)
    parameters[:, 5] = 1.0
    drawn = head.sample(parameters, Draws(torch.arange(2)), temperature=0.0)
    columns = head.decode(parameters)
    assert [*drawn] == ["a", "b", "c"]
    for name, values in drawn.items():
        assert values == pytest.approx(columns[name]) if name != "c" else values == columns[name].tolist()
    spread = head.sample(parameters, Draws(torch.arange(2)))
    assert spread["a"][0] != spread["a"][1] != drawn["a"][0]
    lone = head.sample(parameters[1:], Draws(torch.arange(1, 2)))
    assert lone == {name: values[1:] for name, values in spread.items()}


def test_waits_follow_log_normal_above_what_has_passed() -> None:
    waits = np.array([0.5, 1.0, 7.0])
    spec = NextStepHead.fit(CONFIG, Upcoming(NextParts(), waits))
    head = NextStepHead(spec, 4, 8, time=True)
    parameters = torch.zeros(20_000, 9)
    none = torch.zeros(20_000, dtype=torch.float64)
    drawn = head.sample_wait(parameters, Draws(torch.arange(20_000)), none)
    normal = torch.distributions.Normal(spec.wait_mean, spec.wait_std)
    below = normal.cdf(torch.zeros(()))
    for at in (0.5, 2.0, 6.0):
        expected = (normal.cdf(torch.tensor(math.log1p(at))) - below) / (1 - below)
        assert float((drawn < at).double().mean()) == pytest.approx(float(expected), abs=0.015)
    later = head.sample_wait(parameters, Draws(torch.arange(20_000)), none + 3)
    assert float(later.min()) >= 3
    mode = head.sample_wait(parameters, Draws(torch.arange(20_000)), none, temperature=0.0)
    torch.testing.assert_close(mode, torch.full_like(mode, math.expm1(spec.wait_mean)))
    with pytest.raises(ValueError, match="needs a head with time"):
        _head().sample_wait(parameters[:, :7], Draws(torch.arange(20_000)), none)


def _mixed(waits: np.ndarray, components: int) -> NextStepHead:
    config = CONFIG.model_copy(update={"time": True, "wait_components": components})
    spec = NextStepHead.fit(config, Upcoming(NextParts(), waits))
    assert NextStepSpec.model_validate_json(spec.model_dump_json()) == spec
    return NextStepHead(spec, 4, 8, time=True, wait_components=components)


def test_waits_of_two_kinds_are_drawn_as_the_mixture_above_what_has_passed() -> None:
    """Half of the waits are about a minute, half about an hour: after five minutes only an hour is left."""
    rng = np.random.default_rng(0)
    waits = np.exp(rng.normal(np.log([1.0, 60.0]), 0.05, (500, 2))).ravel()
    head = _mixed(waits, 2)
    n = 20_000
    target = replace(next_target(), wait=torch.ones(24))
    parameters = head.baseline(target)[:1].expand(n, -1)
    none = torch.zeros(n, dtype=torch.float64)
    drawn = head.sample_wait(parameters, Draws(torch.arange(n)), none).numpy()
    assert (drawn < 5).mean() == pytest.approx(0.5, abs=0.015)
    assert np.median(drawn[drawn < 5]) == pytest.approx(1, rel=0.05)
    later = head.sample_wait(parameters, Draws(torch.arange(n)), none + 5).numpy()
    assert later.min() >= 5 and np.median(later) == pytest.approx(60, rel=0.05)
    assert (later < 30).mean() < 0.01
    cold = head.sample_wait(parameters, Draws(torch.arange(n)), none + 5, temperature=0.0)
    assert cold.tolist() == pytest.approx([60] * n, rel=0.05)


def test_a_mixture_tells_waits_of_two_kinds_better_than_one_log_normal() -> None:
    waits = np.array([1.0] * 50 + [60.0] * 50)
    target = replace(next_target().take(torch.arange(2)), wait=torch.tensor([1.0, 60.0]))
    single, double = (_mixed(waits, n) for n in (1, 2))
    losses = [float(head.loss(head.baseline(target), target)[:, -1].sum()) for head in (single, double)]
    assert losses[1] < losses[0] - 2
    assert [*double.decode(double.baseline(target))][-2:] == ["wait", "wait.mean"]


def test_without_any_wait_a_mixture_is_one_normal() -> None:
    head = _mixed(np.ones(0), 3)
    told = head.decode(head.baseline(replace(next_target(), wait=torch.ones(24)))[:1])
    assert float(told["wait"][0]) == pytest.approx(0)


def test_components_need_a_wait() -> None:
    with pytest.raises(ValueError, match="wait_components: does nothing where time is false; set time: true"):
        NextStepConfig(kind="next_step", modality="flights", wait_components=2)
