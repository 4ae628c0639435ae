"""Measurements: each number on its own code's scale, what is rare or new, and codes as next events."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import MeasurementEvents, Timeline
from mmseq.errors import DataError
from mmseq.modalities import Stored
from mmseq.modalities.measured import MeasurementSpec
from mmseq.modalities.measurement import MeasurementConfig, MeasurementModality

WORDS = ("GLU", "K", "NA", "RARE", "TEST")
TEXTS = ("negative", "positive", "turbid")
NAN = math.nan


def config(**options: Any) -> MeasurementConfig:
    names = {"kind": "measurement", "table": "t.csv", "time": "t", "code": "code", "value": "value"}
    return MeasurementConfig(**names | options)


def stored(rows: list[tuple[int, ...]], shared_steps: bool = False, n_chunks: int = 2) -> Stored:
    """Rows of a code, a number, and perhaps a text."""
    cells = np.array([(*row, -1)[:3] for row in rows], np.float64).reshape(-1, 3)
    arrays = [
        {"code": part[:, [0, 2]].astype(np.int32), "values": part[:, 1:2].astype(np.float32)}
        for part in np.array_split(cells, n_chunks)
    ]
    return Stored(("value",), (WORDS, TEXTS), lambda: iter(arrays), len(rows), shared_steps, 1.0)


def fit(rows: list[tuple[Any, ...]], shared_steps: bool = False, **options: Any) -> MeasurementSpec:
    options = {"text": "text", "min_count": 2, "clip": None} | options
    return MeasurementModality.fit(config(**options), stored(rows, shared_steps))


ROWS: list[tuple[Any, ...]] = [
    (0, 100), (1, 4), (0, 200), (1, 6), (2, NAN, 0), (2, NAN, 0), (4, 7, 1), (4, NAN, 0), (3, 9), (-1, 5)
]  # fmt: skip


def test_fit_knows_codes_and_their_scales() -> None:
    found = fit(ROWS)
    assert found.columns == ["code", "value", "text"]
    assert found.codes == ["GLU", "K", "NA", "TEST"] and found.counts == [2, 2, 2, 2]
    assert found.rare == ["RARE"] and found.texts == ["negative"]
    assert found.numbers == [1, 2, 2, 0, 1]  # of the rare code first; a number without a code is nobody's
    assert found.mean == [8, 150, 5, 8, 8] and found.std == [1, 50, 1, 1, 1]
    assert (found.low, found.high) == (None, None)


def test_codes_with_few_numbers_share_a_scale() -> None:
    """The rare code's 9, and the 7 of a code that has a vector, but too few numbers."""
    found = fit(ROWS)
    assert found.mean[0] == found.mean[4] == np.mean([9, 7]) and found.std[4] == np.std([9, 7])


def test_fit_clips_each_code_at_its_own_percentiles() -> None:
    rng = np.random.default_rng(0)
    values = {0: rng.normal(100, 20, 300), 1: rng.normal(4, 0.5, 200), 2: np.zeros(150), 4: np.full(99, 3.0)}
    values[0][7], values[1][3], values[2][3] = 1e6, -1e5, 1
    rows = [(code, float(np.float32(v))) for code, those in values.items() for v in those]
    rng.shuffle(rows)
    rows = [(int(code), value) for code, value in rows]
    found = fit(rows, clip=[1, 99])
    assert found.codes == ["GLU", "K", "NA", "TEST"]
    assert found.low is not None and found.high is not None
    for i, code in enumerate((0, 1)):
        own = values[code].astype(np.float32).astype(np.float64)
        low, high = np.percentile(own, [1, 99])
        assert found.low[i + 1] == pytest.approx(low) and found.high[i + 1] == pytest.approx(high)
        assert found.mean[i + 1] == pytest.approx(own.clip(low, high).mean())
        assert found.std[i + 1] == pytest.approx(own.clip(low, high).std())
    assert found.high[3] > 1e38 and found.mean[3] == pytest.approx(1 / 150)  # a flag that is rarely set
    assert (found.low[4], found.high[4]) == (3, 3) and found.std[4] == 1  # a constant stays one
    assert found.low[0] < -1e38  # nothing is rare


def test_fit_does_not_depend_on_parts() -> None:
    rng = np.random.default_rng(1)
    rows = [(int(c), float(v)) for c, v in zip(rng.integers(-1, 5, 900), rng.normal(50, 9, 900), strict=True)]
    one, many = (
        MeasurementModality.fit(config(min_count=5, text="text"), stored(rows, n_chunks=n)) for n in (1, 40)
    )
    for name in ("mean", "std", "low", "high"):
        assert getattr(one, name) == pytest.approx(getattr(many, name))
    assert one.codes == many.codes and one.numbers == many.numbers


def test_fit_without_events_names_the_table() -> None:
    with pytest.raises(DataError, match=r"t\.csv: the modality needs events in the training split"):
        fit([])


def modality(**options: Any) -> MeasurementModality:
    return MeasurementModality(fit(ROWS, **options))


def ready(raw: MeasurementEvents, own: MeasurementModality) -> MeasurementEvents:
    n = len(raw)
    timeline = Timeline(torch.tensor([0, n]), torch.arange(n, dtype=torch.float64), torch.ones(n))
    return own(raw, timeline)[0]


def parse(own: MeasurementModality, *values: Any) -> MeasurementEvents:
    return own.parse(torch.arange(len(values)), list(values))


def test_normalises_each_number_as_its_code_is() -> None:
    found = ready(parse(modality(), ("GLU", 200, None), ("K", 4, None), ("TEST", 9, "negative")), modality())
    assert found.values.tolist() == [1, -1, 1] and found.code.tolist() == [2, 3, 5]
    assert found.text is not None and found.text.tolist() == [0, 0, 2]


def test_numbers_on_no_learned_scale_are_dropped() -> None:
    """Without a code, or of a code that training has no number of."""
    raw = parse(modality(), (None, 5, None), ("NA", 140, None), ("GLU", None, None), ("GLU", 150, None))
    found = ready(raw, modality())
    assert raw.observed.tolist() == [True, True, False, True]
    assert found.observed.tolist() == [False, False, False, True]
    assert found.values.tolist() == [0, 0, 0, 0]
    assert modality().unknown(raw) == {"value": 1}


def test_what_training_never_had_is_taken_for_rare_and_counted() -> None:
    raw = parse(modality(), ("RARE", 9, None), ("new", 9, "new"), ("GLU", 100, "positive"))
    found = ready(raw, modality())
    assert raw.code.tolist() == [1, -1, 2] and found.code.tolist() == [1, 1, 2]
    assert found.values.tolist() == [1, 1, -1]
    assert modality().unknown(raw) == {"code": 1, "text": 2}  # a rare text is unknown, too
    assert modality().unknown(raw.take(torch.tensor([0]))) == {}


def test_nothing_is_known_of_new_codes_where_none_is_rare() -> None:
    own = modality(min_count=1)
    found = ready(parse(own, ("new", 9, None)), own)
    assert found.code.tolist() == [1] and found.observed.tolist() == [False]


def test_large_numbers_keep_their_digits() -> None:
    rows = [(0, 1.7e9 + i) for i in range(100)]
    cells = {"code": np.zeros((100, 1), np.int32), "values": np.array(rows)[:, 1:]}
    kept = Stored(("value",), (WORDS,), lambda: iter([cells]), 100, False, 1.0)
    spec = MeasurementModality.fit(config(clip=None), kept)
    assert spec.std[1] == pytest.approx(np.arange(100).std(), rel=1e-9)
    for dtype in (torch.float32, torch.float64):
        own = MeasurementModality(spec).to(dtype)
        found = ready(parse(own, ("GLU", 1.7e9), ("GLU", 1.7e9 + 99)), own)
        assert found.values.dtype == dtype
        step = float(found.values[1] - found.values[0])
        assert step == pytest.approx(99 / np.arange(100).std(), rel=1e-5)


def test_words_decide_not_the_stores_codes() -> None:
    own = modality()
    arrays = {
        "code": np.array([[1, 0], [0, -1], [-1, -1]], np.int32),
        "values": np.array([[150.0], [5], [7]]),
    }
    events = own.events(torch.arange(3), arrays, (("K", "GLU"), ("negative",)))
    assert events.code.tolist() == [2, 3, 0]
    again = own.events(torch.arange(3), arrays, (("RARE", "new"), ("else",)))
    assert again.code.tolist() == [-1, 1, 0] and again.text is not None and again.text.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    "value", [("K", 4.5, "negative"), {"code": "K", "value": 4.5, "text": "negative"}, ["K", 4.5, "negative"]]
)
def test_raw_values_are_tuples_or_dicts(value: Any) -> None:
    found = parse(modality(), value)
    assert found.text is not None
    assert (found.code.tolist(), found.values.tolist(), found.text.tolist()) == ([3], [4.5], [2])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (4.5, "needs one value a column, code, value, text; 1 came"),
        (("K", 4.5), "needs one value a column, code, value, text; 2 came"),
        (("K", "4.5", None), "a value must be a finite number"),
        ((["K"], 4.5, None), "a category is a word"),
        ({"code": "K", "valu": 4.5}, "'valu': must be one of the modality's columns; did you mean 'value'"),
    ],
)
def test_bad_raw_values(value: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        parse(modality(), value)


def test_next_event_where_events_stand_alone_is_the_code() -> None:
    own = modality()
    raw = parse(own, ("K", 4, None), ("RARE", 4, None), ("new", 4, None), (None, 4, None))
    merged = own.next_event(raw, np.arange(4))
    assert merged.value.tolist() == [[1], [0], [0], [0]] and merged.observed is not None
    assert merged.observed.tolist() == [[True], [False], [False], [False]]
    (part,) = own.next_parts()
    assert (part.kind, part.name, part.first, part.last) == ("classification", "", 0, 1)
    assert part.spec == {"classes": ["GLU", "K", "NA", "TEST"], "counts": [2, 2, 2, 2]}


def test_next_event_where_events_share_steps_is_a_set() -> None:
    own = modality(shared_steps=True)
    step = torch.tensor([0, 0, 0, 2, 2])
    raw = own.parse(step, [(code, 1, None) for code in ("K", "TEST", "K", "RARE", None)])
    merged = own.next_event(raw, np.array([0, 3]))
    assert merged.value.tolist() == [[0, 1, 0, 1], [0, 0, 0, 0]] and merged.observed is not None
    assert merged.observed.tolist() == [[True] * 4, [False] * 4]
    (part,) = own.next_parts()
    assert (part.kind, part.last) == ("multilabel", 4) and part.spec["rates"] == [0.25] * 4


def test_without_any_known_code_there_is_no_next_event() -> None:
    own = modality(min_count=100)
    assert own.next_parts() == [] and own.spec.codes == []
    assert own.next_event(parse(own, ("K", 1, None)), np.array([0])).value.shape == (1, 0)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"value": "code"}, "columns: each may be named once; got code, code"),
        ({"clip": [99, 1]}, "the lower percentile of `clip` must be below the upper one"),
    ],
)
def test_bad_config(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        config(**options)


def test_thousands_of_codes_are_fitted_fast() -> None:
    """5,000 codes, as often as words are, each on its own scale; about a second for a million numbers."""
    rng = np.random.default_rng(0)
    n_codes, n = 5_000, 1_000_000
    scale = rng.lognormal(0, 3, n_codes)
    code = np.minimum(rng.zipf(1.3, n) - 1, n_codes - 1)
    values = scale[code] * (1 + rng.normal(0, 0.1, n))
    parts = [
        {"code": c[:, None].astype(np.int32), "values": v[:, None].astype(np.float32)}
        for c, v in zip(np.array_split(code, 8), np.array_split(values, 8), strict=True)
    ]
    words = tuple(f"code {i}" for i in range(n_codes))
    begin = time.process_time()
    spec = MeasurementModality.fit(config(), Stored(("value",), (words,), lambda: iter(parts), n, True, 1.0))
    assert time.process_time() - begin < 10
    counts = np.bincount(code, minlength=n_codes)
    assert len(spec.codes) == (counts >= 10).sum() > 1_000
    which = np.array([int(word.split()[1]) for word in spec.codes])
    assert np.allclose(np.array(spec.mean[1:]) / scale[which], 1, atol=0.2)
    assert np.isfinite(spec.std).all() and spec.low is not None and spec.high is not None
    usual = which[counts[which] > 5_000]
    for c in usual[:5]:  # percentiles of a part of them are near those of all
        i = which.tolist().index(c) + 1
        assert spec.low[i] == pytest.approx(np.percentile(values[code == c], 0.5), rel=0.1)
