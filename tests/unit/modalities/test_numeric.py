"""Numbers: percentiles, moments, filling and ageing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import NumericEvents, Timeline
from mmseq.errors import DataError
from mmseq.modalities import Stored, modalities
from mmseq.modalities.numeric import NumericConfig, NumericModality, NumericSpec


def config(**options: Any) -> NumericConfig:
    return NumericConfig(
        **{"kind": "numeric", "table": "t.csv", "time": "t", "columns": ["a", "b"]} | options
    )


def fit(*chunks: list[list[float]], **options: Any) -> NumericSpec:
    arrays = [{"values": np.array(chunk, np.float32).reshape(-1, 2)} for chunk in chunks]
    n = sum(len(chunk) for chunk in chunks)
    stored = Stored(("a", "b"), (), lambda: iter(arrays), n, False, 2.0)
    return NumericModality.fit(config(**options), stored)


def spec(**changes: Any) -> NumericSpec:
    plain = {
        "columns": ["a", "b"], "mean": [1.0, 0.0], "std": [2.0, 1.0], "low": [0.0, -5.0], "high": [5.0, 5.0],
        "missing": [0.0, 0.0], "time_scale": 2.0, "static": False,
    }  # fmt: skip
    return NumericSpec(**plain | changes)


NAN = math.nan


def test_fit_without_clipping() -> None:
    found = fit([[1, NAN], [3, 10]], [[5, 30], [NAN, NAN]], clip=None)
    assert found.mean == [3, 20] and found.std == pytest.approx([math.sqrt(8 / 3), 10])
    assert (found.low, found.high) == (None, None)
    assert found.missing == [0.25, 0.5]
    assert found.time_scale == 2.0 and not found.static


def test_fit_clips_outliers_at_percentiles() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 2))
    values[7, 0] = 1e6
    found = fit(values[:300].tolist(), values[300:].tolist(), clip=[1, 99])
    stored = values.astype(np.float32).astype(np.float64)
    low, high = np.percentile(stored, [1, 99], axis=0)
    assert found.low == pytest.approx(low.tolist()) and found.high == pytest.approx(high.tolist())
    assert found.mean == pytest.approx(stored.clip(low, high).mean(0).tolist())
    assert found.std == pytest.approx(stored.clip(low, high).std(0).tolist())
    assert abs(found.mean[0]) < 0.1


def test_fit_of_a_constant_and_of_an_empty_column() -> None:
    found = fit([[7, NAN], [7, NAN]])
    assert found.mean == [7, 0] and found.std == [1, 1] and found.missing == [0, 1]
    assert found.low is not None and found.low[1] < -1e38


def test_fit_leaves_rare_flags_alone() -> None:
    values = np.zeros((1000, 2))
    values[[1, 500, 900], 0] = 1
    found = fit(values[:300].tolist(), values[300:].tolist())
    assert found.mean[0] == pytest.approx(0.003) and found.std[0] == pytest.approx(math.sqrt(0.003 * 0.997))
    assert found.low is not None and found.high is not None
    assert found.low[0] < -1e38 and found.high[0] > 1e38
    assert (found.low[1], found.high[1]) == (0, 0)  # a constant stays one, whatever comes later


def test_fit_keeps_digits_of_large_numbers() -> None:
    arrays = [{"values": np.array([[1.7e9 + i, 0.0] for i in range(100)])}]
    stored = Stored(("a", "b"), (), lambda: iter(arrays), 100, False, 1.0)
    found = NumericModality.fit(config(clip=None), stored)
    assert found.std[0] == pytest.approx(np.arange(100).std(), rel=1e-9)
    for dtype in (torch.float32, torch.float64):
        modality = NumericModality(found, fill="last").to(dtype)
        ready = modality.normalise(torch.tensor([[1.7e9, 0.0], [1.7e9 + 99, 0.0]], dtype=torch.float64))
        assert ready.dtype == dtype
        assert float(ready[1, 0] - ready[0, 0]) == pytest.approx(99 / np.arange(100).std(), rel=1e-5)


def test_fit_without_events_names_the_table() -> None:
    with pytest.raises(DataError, match=r"t\.csv: the modality needs events in the training split"):
        fit([])


def test_normalises_and_clips() -> None:
    found = NumericModality(spec(), fill="last").normalise(torch.tensor([[3.0, 9.0], [-7.0, 0.5]]))
    assert found.tolist() == [[1.0, 5.0], [-0.5, 0.5]]


def test_raw_cells_become_events() -> None:
    arrays = {"values": np.array([[1, np.nan], [np.nan, np.nan]], np.float32)}
    events = NumericModality(spec(), fill="last").events(torch.tensor([0, 3]), arrays, ())
    assert events.observed.tolist() == [[True, False], [False, False]]
    assert events.values.tolist() == [[1, 0], [0, 0]] and events.step.tolist() == [0, 3]


def timeline() -> Timeline:
    time = torch.tensor([0.0, 2.0, 8.0, 0.0, 1.0], dtype=torch.float64)
    return Timeline(torch.tensor([0, 3, 5]), time, torch.tensor([0.0, 2.0, 6.0, 0.0, 1.0]))


def raw() -> NumericEvents:
    values = torch.tensor([[3.0, 1.0], [9.0, 9.0], [0.0, 2.0], [0.0, 0.0]])
    observed = torch.tensor([[True, True], [False, False], [False, True], [False, False]])
    return NumericEvents(torch.arange(4), values, observed)


@pytest.mark.parametrize(("fill", "filled"), [("last", [1.0, 1.0]), ("mean", [0.0, 0.0])])
def test_fills_and_ages(fill: Any, filled: list[float]) -> None:
    ready, _ = NumericModality(spec(), fill=fill)(raw(), timeline())
    a_filled = filled[0]
    assert ready.values.tolist() == [[1, 1], filled, [a_filled, 2], [0, 0]]
    ages = [[0, 0], [math.log(2)] * 2, [math.log(5), 0], [-1, -1]]
    torch.testing.assert_close(ready.age, torch.tensor(ages))
    assert torch.equal(ready.observed, raw().observed)


@pytest.mark.parametrize("fill", ["mean", "last", "decay"])
def test_hidden_values_are_never_read(fill: Any) -> None:
    """Whatever stands where nothing was observed, NaN even, makes no difference."""
    spoiled = NumericEvents(raw().step, torch.where(raw().observed, raw().values, NAN), raw().observed)
    modality = NumericModality(spec(), fill=fill)
    assert torch.equal(modality(spoiled, timeline())[0].values, modality(raw(), timeline())[0].values)


def decaying(weight: list[float], bias: list[float]) -> NumericModality:
    modality = NumericModality(spec(), fill="decay").double()
    with torch.no_grad():
        modality.decay_weight.copy_(torch.tensor(weight))
        modality.decay_bias.copy_(torch.tensor(bias))
    return modality


def test_decay_sinks_from_the_last_value_to_the_mean() -> None:
    """Values are as old as 2 and 8, in steps of typically 2: 1 + δ / scale is 2 and 5."""
    modality = decaying([2.0, 0.5], [0.0, 0.25])
    ready, _ = modality(raw(), timeline())
    second = [2.0**-2, 2.0**-0.5 * math.exp(-0.25)]
    expected = [[1, 1], second, [5.0**-2, 2], [0, 0]]
    torch.testing.assert_close(ready.values, torch.tensor(expected, dtype=torch.float64))
    ready.values[1:].sum().backward()
    last, logs = torch.tensor(second), torch.tensor([math.log(2)] * 2)
    weight, bias = -last * logs, -last
    weight[0] -= math.log(5) / 25
    bias[0] -= 1 / 25
    torch.testing.assert_close(modality.decay_weight.grad, weight.double())
    torch.testing.assert_close(modality.decay_bias.grad, bias.double())


def test_without_decay_the_last_value_stays() -> None:
    """Where what enters the maximum is negative, to the last bit."""
    (ready, _), (last, _) = (
        modality(raw(), timeline())
        for modality in (decaying([0.5, 0.0], [-1.0, 0.0]), NumericModality(spec(), fill="last").double())
    )
    assert torch.equal(ready.values, last.values)


def test_decay_begins_mild_and_with_a_gradient() -> None:
    modality = NumericModality(spec(), fill="decay")
    ready, _ = modality(raw(), timeline())
    assert 0.8 < float(ready.values[2, 0].detach()) < float(ready.values[1, 0].detach()) < 1
    ready.values.sum().backward()
    for parameter in modality.parameters():
        assert parameter.grad is not None and bool((parameter.grad < 0).all())


def test_decay_of_what_is_all_observed_learns_nothing_but_has_gradients() -> None:
    modality = NumericModality(spec(), fill="decay")
    full = NumericEvents(raw().step, raw().values, torch.ones(4, 2, dtype=torch.bool))
    ready, _ = modality(full, timeline())
    assert torch.equal(ready.values, NumericModality(spec(), fill="last")(full, timeline())[0].values)
    ready.values.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in modality.parameters())


def test_decay_of_static_values_is_the_mean() -> None:
    modality = NumericModality(spec(static=True), fill="decay")
    assert not [*modality.parameters()]
    mean = NumericModality(spec(static=True), fill="mean")
    assert torch.equal(modality(raw(), timeline())[0].values, mean(raw(), timeline())[0].values)


def test_static_values_have_no_past() -> None:
    ready, state = NumericModality(spec(static=True), fill="last")(raw(), timeline())
    assert ready.values.tolist() == [[1, 1], [0, 0], [0, 2], [0, 0]]
    assert ready.age is not None and ready.age.tolist() == [[0, 0], [-1, -1], [-1, 0], [-1, -1]]
    assert state == {}


@pytest.mark.parametrize("static", [False, True])
def test_feature_that_training_never_observed_is_observed_nowhere(static: bool) -> None:
    modality = NumericModality(spec(static=static, missing=[0.0, 1.0]), fill="last")
    hidden = NumericEvents(raw().step, raw().values, raw().observed & torch.tensor([True, False]))
    (ready, _), (expected, _) = modality(raw(), timeline()), modality(hidden, timeline())
    for name in ("values", "observed", "age"):
        assert torch.equal(getattr(ready, name), getattr(expected, name))
    assert not ready.observed[:, 1].any() and not ready.values[:, 1].any()
    merged = modality.next_event(raw(), np.arange(4))
    assert merged.observed is not None and merged.observed.tolist() == hidden.observed.tolist()
    assert modality.unknown(raw()) == {"b": 2} and modality.unknown(hidden) == {}
    assert NumericModality(spec(), fill="last").unknown(raw()) == {}


def test_next_event_is_the_mean_of_what_was_observed() -> None:
    step = torch.tensor([0, 0, 0, 2])
    values = torch.tensor([[1.0, 7.0], [3.0, 9.0], [99.0, 99.0], [4.0, 4.0]])
    observed = torch.tensor([[True, False], [True, False], [False, False], [False, True]])
    merged = NumericModality(spec(), fill="last").next_event(
        NumericEvents(step, values, observed), np.array([0, 3])
    )
    assert merged.observed is not None
    assert merged.observed.tolist() == [[True, False], [False, True]]
    assert merged.value[merged.observed].tolist() == [2.0, 4.0]


def test_next_event_is_clipped_before_it_is_averaged() -> None:
    events = NumericEvents(
        torch.tensor([0, 0, 1]),
        torch.tensor([[1e6, 1.0], [1.0, -1e6], [4.0, 4.0]]),
        torch.ones(3, 2, dtype=torch.bool),
    )
    merged = NumericModality(spec(), fill="last").next_event(events, np.array([0, 2]))
    assert merged.value.tolist() == [[3, -2], [4, 4]]
    alone = NumericModality(spec(), fill="last").next_event(events, np.arange(3))
    assert alone.value.tolist() == [[5, 1], [1, -5], [4, 4]]
    free = NumericModality(spec(low=None, high=None), fill="last").next_event(events, np.arange(3))
    assert free.value.tolist() == events.values.tolist()


def test_next_event_is_a_gaussian_in_the_columns_own_units() -> None:
    (part,) = NumericModality(spec(), fill="last").next_parts()
    assert (part.kind, part.first, part.last) == ("regression", 0, 2)
    assert part.spec == {"columns": ["a", "b"], "mean": [1.0, 0.0], "std": [2.0, 1.0]}
    assert part.options["loss"] == "gaussian"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": []}, "set `columns`, or `pivot`"),
        ({"columns": ["a", "b", "a"]}, "columns: each may be named once; got a, b, a"),
        ({"clip": [99, 1]}, "lower percentile of `clip` must be below"),
        ({"clip": [1]}, "at least 2 items"),
        ({"clip": [0, 101]}, "less than or equal to 100"),
    ],
)
def test_config_that_breaks_a_rule(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**options)


def test_registered() -> None:
    assert modalities.component_class("numeric") is NumericModality
