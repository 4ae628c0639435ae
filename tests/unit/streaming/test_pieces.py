"""Sound that comes piece by piece gives the numbers of the whole recording."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.errors import DataError
from mmseq.fit import fit
from mmseq.model import Model
from mmseq.streaming.lines import answer
from mmseq.streaming.stream import Stream

Build = Callable[..., Model]

RATE = 100
STARTS = {"a": 0.0, "b": 0.7, "c": 3.0, "d": 0.25}
LENGTHS = {"a": 540, "b": 231, "c": 395, "d": 60}
NUMBERS = {"a": [1.0, 2.35], "b": [0.9, 2.2], "c": [3.5, 5.05], "d": [0.31]}


def samples_of(id: str) -> np.ndarray:
    return np.random.default_rng(ord(id)).normal(2, 3, LENGTHS[id])


def tables() -> dict[str, Any]:
    return {
        "sounds": {"id": list(STARTS), "t": list(STARTS.values()), "x": [samples_of(id) for id in STARTS]},
        "numbers": {
            "id": [id for id, times in NUMBERS.items() for _ in times],
            "t": [t for times in NUMBERS.values() for t in times],
            "y": [t * 2 for times in NUMBERS.values() for t in times],
        },
        "samples": {"id": list(STARTS), "age": [1.0, 2.0, 3.0, 4.0], "k": list("pqpq")},
    }


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A model on the tables, with options of their sound; one for the same options."""
    folder = tmp_path_factory.mktemp("stores")
    made: dict[str, Model] = {}

    def build(**options: Any) -> Model:
        if (key := str(options)) not in made:
            made[key] = make(folder, **options)
        return made[key]

    return build


def make(folder: Path, *, timeline: dict[str, Any] | None = None, **options: Any) -> Model:
    sound = {"kind": "waveform", "table": "sounds", "time": "t", "column": "x", "rate": RATE, "length": 0.5}
    experiment = Experiment.model_validate(
        {
            "name": "sounds",
            "data": {"source": {"kind": "memory"}, "store": str(folder / "stores")},
            "timeline": timeline or {},
            "modalities": {
                "sound": {**sound, "hop": 0.2, "encoder": {"kind": "conv", "channels": 4}, **options},
                "numbers": {"kind": "numeric", "table": "numbers", "time": "t", "columns": ["y"]},
                "age": {"kind": "numeric", "table": "samples", "columns": ["age"]},
            },
            "core": {"kind": "gru", "hidden": 6},
            "tasks": {"k": {"kind": "classification", "table": "samples", "column": "k"}},
        }
    )
    store = prepare(experiment, tables())
    torch.manual_seed(0)
    return Model(experiment, fit(experiment, store, np.arange(len(store)))).double().eval()


def pushes_of(
    id: str, rng: np.random.Generator, rate: float = RATE, most: int = 120
) -> Iterator[tuple[float, dict[str, Any]]]:
    """Pieces of any length; one ends at each time of a number, and comes with it."""
    signal, start = samples_of(id), STARTS[id]
    bounds = {round((t - start) * rate): t for t in NUMBERS[id]}
    ends = sorted({*rng.integers(1, len(signal), len(signal) // most * 2 + 1).tolist(), *bounds, len(signal)})
    first = 0
    for end in ends:
        if end <= len(signal):
            time = bounds.get(end, start + end / rate)
            values: dict[str, Any] = (
                {"sound": signal[first:end]} if first else {"sound": signal[:end].tolist()}
            )
            yield (
                time,
                values
                | ({"numbers": {"y": time * 2}} if end in bounds else {})
                | ({"age": tables()["samples"]["age"]["abcd".index(id)]} if not first else {}),
            )
            first = end
    for time in (t for end, t in bounds.items() if end > len(signal)):
        yield time, {"numbers": {"y": time * 2}}


def whole(model: Model) -> dict[str, list[dict[str, Any]]]:
    rows = model.predict(tables(), every_step=True).to_pylist()
    return {id: [row for row in rows if row["id"] == id] for id in STARTS}


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected) > 0
    for row, other in zip(found, expected, strict=True):
        assert row.keys() == other.keys()
        for name, value in other.items():
            same = row[name] == value if not isinstance(value, float) else abs(row[name] - value) < 1e-10
            assert same, (name, row, other)


WAYS: list[dict[str, Any]] = [
    {},
    {"begin": "silence"},
    {"hop": 0.7},
    {"given_rate": RATE, "rate": 160},
    {"given_rate": RATE, "rate": 40, "begin": "silence"},
    {"timeline": {"resolution": "1s"}},
    {"timeline": {"anchor": "sound"}},
    {"timeline": {"anchor": "numbers"}},
]


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("saving", [False, True], ids=["", "saved and loaded"])
def test_pieces_give_what_the_whole_gives(
    tmp_path: Path, build: Build, options: dict[str, Any], saving: bool
) -> None:
    """Whatever their lengths; several windows may close in one push; amid it all saved and loaded."""
    model = build(**options)
    expected = whole(model)
    assert sum(map(len, expected.values())) > 5
    for id in STARTS:
        for seed in range(1 if saving else 3):
            stream, found = Stream(model), []
            for time, values in pushes_of(id, np.random.default_rng(seed), most=120):
                found += stream.rows(id, time, values)
                if saving:
                    stream.save(tmp_path / "live")
                    stream = Stream.load(tmp_path / "live", model)
            last = stream.flush(id)
            assert_same([*found, *([last] if last else [])], expected[id])


def test_all_samples_in_one_call(build: Build) -> None:
    """A table with a row for each step that has closed, by sample, then in time."""
    model = build()
    expected, stream, found = whole(model), Stream(model), []
    waves: list[list[Any]] = []
    for id in STARTS:
        for i, (time, values) in enumerate(pushes_of(id, np.random.default_rng(1), most=200)):
            waves += [[]] * (i == len(waves))
            waves[i] = [*waves[i], (id, time, values)]
    for wave in waves:
        rows = stream.push(*map(list, zip(*wave, strict=True))).to_pylist()
        assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
        found += rows
    for id in STARTS:
        assert_same([row for row in found if row["id"] == id], expected[id])


def test_one_push_of_one_sample_gives_its_last_row(build: Build) -> None:
    model = build()
    signal = samples_of("a")
    rows = Stream(model).rows("a", 2.0, {"sound": signal[:200], "age": 1.0})
    assert [row["time"] for row in rows] == pytest.approx([0.5, 0.7, 0.9, 1.1, 1.3, 1.5, 1.7, 1.9])
    stream = Stream(model)
    assert stream.push("a", 2.0, {"sound": signal[:200], "age": 1.0}) == rows[-1]
    assert stream.push("a", 2.05, {"sound": signal[200:205]}) is None
    assert stream.push("a", 2.1, {"sound": signal[205:210]}) is not None


def test_a_line_is_answered_by_a_line_for_each_step(build: Build) -> None:
    model = build()
    stream, signal = Stream(model), samples_of("a").tolist()
    line = {"id": "a", "time": 1.0, "values": {"sound": signal[:100]}}
    told = answer(stream, json.dumps(line).encode())
    assert told is not None
    assert [json.loads(row)["time"] for row in told.splitlines()] == pytest.approx([0.5, 0.7, 0.9])
    line = {"id": "a", "time": 1.05, "values": {"sound": signal[100:105]}}
    assert answer(stream, json.dumps(line).encode()) is None


def test_a_static_value_without_a_window_waits(tmp_path: Path, build: Build) -> None:
    """It is known at the first step, as in a table. caught: a step at the time of the push; losing it."""
    model, signal = build(), samples_of("a")
    stream, other = Stream(model), Stream(model)
    assert stream.push("a", 0.1, {"sound": signal[:10], "age": 9.0}) is None
    stream.save(tmp_path / "live")
    row = Stream.load(tmp_path / "live", model).push("a", 0.5, {"sound": signal[10:50]})
    assert row == other.push("a", 0.5, {"sound": signal[:50], "age": 9.0})
    assert row != Stream(model).push("a", 0.5, {"sound": signal[:50]})


def test_another_rate(build: Build) -> None:
    """A piece may say its rate; then windows are those of a recording of that rate."""
    model = build(rate=160, given_rate=100)
    fine = build(rate=160, given_rate=80)
    signal = samples_of("a")
    for said, used in (({"samples": signal[:80], "rate": 80}, model), (signal[:80], fine)):
        rows = Stream(used).rows("a", 1.0, {"sound": said})
        assert [row["time"] for row in rows] == pytest.approx([0.5, 0.7, 0.9])
    first, _ = Stream(model).listener.take("a", 1.0, {"sound": [{"samples": signal[:80], "rate": 80}]})
    second, _ = Stream(fine).listener.take("a", 1.0, {"sound": [signal[:80]]})
    for one, other in zip(first.values(), second.values(), strict=True):
        np.testing.assert_array_equal(one["sound"][0], other["sound"][0])


def test_a_new_recording(build: Build) -> None:
    """It begins with its own piece; what was left of the one before is no window."""
    model, signal = build(), samples_of("a")
    stream = Stream(model)
    stream.push("a", 0.6, {"sound": signal[:60]})
    with pytest.raises(
        DataError, match=r"sample 'a', sound: .*of 30 samples, ends at 0\.9; 2\.0 came; correct it, or"
    ):
        stream.push("a", 2.0, {"sound": signal[60:90]})
    rows = stream.rows("a", 2.0, {"sound": {"samples": signal[60:90], "new": True}})
    assert not rows
    rows = stream.rows("a", 2.3, {"sound": signal[90:120]})
    assert [row["time"] for row in rows] == pytest.approx([2.2])
    stream.forget("a")
    assert not stream.listener.heard


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"sound": "absent.wav"}, "sample 'a', sound: .*there is no file absent.wav; correct it"),
        ({"sound": [1.0, float("nan")]}, "finite numbers"),
        ({"sound": {"samples": [1.0], "rate": 0}}, "rate: samples a second are a number above 0; 0 came"),
        ({"sound": {"samples": [1.0], "rate": "fast"}}, "rate: samples a second"),
        ({"sound": {"samples": [1.0], "new": 1}}, "new: true where a recording begins; 1 came"),
        ({"sound": {"sample": [1.0]}}, "'sample': must be one of the modality's columns"),
        ({"sound": {"samples": [0.0] * 50, "rate": 50}}, "has the rate of its recording, 100 Hz; 50 Hz came"),
        ({"sound": [0.0] * 100, "numbers": {"y": "high"}}, "sample 'a', numbers: 'high'"),
    ],
)
def test_bad_pieces_change_nothing(build: Build, values: Any, told: str) -> None:
    model, signal = build(), samples_of("a")
    stream, other = Stream(model), Stream(model)
    for one in (stream, other):
        one.push("a", 0.7, {"sound": signal[:70]})
    with pytest.raises(DataError, match=told):
        stream.push("a", 1.7, values)
    for one in (stream, other):
        one.push("a", 1.0, {"sound": signal[70:100]})
    last = {"sound": signal[100:140]}
    assert stream.rows("a", 1.4, last) == other.rows("a", 1.4, last)


def test_sound_that_comes_later_than_what_was_heard(build: Build) -> None:
    """A window of before a number that was answered cannot be a step any more."""
    model, signal = build(), samples_of("a")
    stream = Stream(model)
    stream.push("a", 0.4, {"sound": signal[:40]})
    stream.push("a", 0.8, {"numbers": {"y": 1.0}})
    with pytest.raises(
        DataError, match=r"must end later than the sample's last time, 0\.8; it ends at 0\.5; push"
    ):
        stream.push("a", 1.0, {"sound": signal[40:100]})
    assert stream.push("a", 0.9, {"sound": None, "numbers": {"y": 1.0}}) is not None
    assert stream.push("a", 0.95, {"sound": None}) is None


def test_what_is_kept_is_no_more_than_windows_need(build: Build) -> None:
    for options, most in (({}, 50), ({"hop": 0.7}, 50), ({"rate": 160, "given_rate": RATE}, 250)):
        stream = Stream(build(**options))
        for i in range(40):
            stream.push("a", (i + 1) * 0.25, {"sound": samples_of("a")[:25]})
            assert len(stream.listener.heard["a"]["sound"].kept) <= most
