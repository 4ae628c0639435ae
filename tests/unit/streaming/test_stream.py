"""A stream gives, event by event, the numbers that the whole sequence gives at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.errors import CheckpointError, ConfigError, DataError
from mmseq.fit import fit
from mmseq.inference.predict import predict
from mmseq.model import Model
from mmseq.store import Store
from mmseq.streaming.stream import Stream

MakeExperiment = Callable[..., Experiment]
Push = tuple[str, Any, dict[str, Any]]


def build(experiment: Experiment, store: Store) -> Model:
    torch.manual_seed(0)
    return Model(experiment, fit(experiment, store, np.arange(len(store)))).double().eval()


def pushes_of(experiment: Experiment) -> list[Push]:
    """All timed events of the tables, as they would come in: by time, all samples among one another."""
    root = Path(experiment.data.source.root)  # type: ignore[attr-defined]
    steps: dict[tuple[float, str], dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    static: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, config in experiment.modalities.items():
        columns = list(getattr(config, "columns", None) or [config.column])  # type: ignore[attr-defined]
        for row in pd.read_csv(root / config.table).to_dict("records"):
            value = {column: None if pd.isna(row[column]) else row[column] for column in columns}
            if config.time is None:
                static[row["id"]][name] = value
            else:
                steps[row[config.time], row["id"]][name].append(value)
    seen: set[str] = set()
    pushes = []
    for (time, id), values in sorted(steps.items()):
        pushes.append((id, time, {**values, **({} if id in seen else static[id])}))
        seen.add(id)
    return pushes


def rows_of(model: Model) -> dict[tuple[str, Any], dict[str, Any]]:
    """What the whole tables give, a row a step."""
    root = model.experiment.data.source.root  # type: ignore[attr-defined]
    table = predict(model, root, every_step=True).table
    return {(row["id"], row["time"]): row for row in table.to_pylist()}


def assert_same(row: dict[str, Any], expected: dict[str, Any]) -> None:
    assert row.keys() == expected.keys()
    for name, value in expected.items():
        same = row[name] == value if not isinstance(value, float) else abs(row[name] - value) < 1e-9
        assert same, (name, row[name], value)


@pytest.fixture(scope="module")
def model(experiment: Experiment, store: Store) -> Model:
    return build(experiment, store)


def test_one_event_at_a_time_gives_what_the_whole_gives(model: Model) -> None:
    expected, stream, n = rows_of(model), Stream(model), 0
    for id, time, values in pushes_of(model.experiment):
        row = stream.push(id, time, values)
        assert isinstance(row, dict)
        assert_same(row, expected[id, time])
        n += 1
    assert n > 150 and n == len(expected) - sum(i % 9 == 4 for i in range(36))  # those have nothing timed


def test_many_in_one_call_are_what_each_is_alone(model: Model) -> None:
    alone, together = Stream(model), Stream(model)
    waves: list[list[Push]] = []
    for push in pushes_of(model.experiment):  # each wave has a sample once
        wave = next((w for w in waves if all(push[0] != other[0] for other in w)), None)
        waves.append([push]) if wave is None else wave.append(push)
    waves = [wave for wave in waves if wave]
    for wave in waves:
        table = together.push(*zip(*wave, strict=True))
        expected = [alone.push(*push) for push in wave]
        assert table.num_rows == len(wave)
        for row, other in zip(table.to_pylist(), expected, strict=True):
            assert_same(row, other)
    assert len(together) == len(alone) > 25


def test_saved_and_loaded_it_goes_on_with_the_same_numbers(model: Model, tmp_path: Path) -> None:
    pushes = pushes_of(model.experiment)
    stream = Stream(model)
    for push in pushes[:80]:
        stream.push(*push)
    stream.save(tmp_path / "states")
    other = Stream.load(tmp_path / "states", model)
    assert len(other) == len(stream)
    for push in pushes[80:150]:  # of most samples
        assert other.push(*push) == stream.push(*push)


def test_a_stream_of_another_model_is_refused(
    model: Model, experiment: Experiment, store: Store, tmp_path: Path
) -> None:
    stream = Stream(model)
    stream.push("p", 1.0, {"vitals": {"a": 1.0}})
    stream.save(tmp_path / "states")
    other = build(experiment, store)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    with pytest.raises(CheckpointError, match="another model"):
        Stream.load(tmp_path / "states", other)
    path = tmp_path / "states" / "states.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"states\.safetensors"):
        Stream.load(tmp_path / "states", model)


def test_a_forgotten_sample_begins_anew(model: Model) -> None:
    stream, fresh = Stream(model), Stream(model)
    first = {"vitals": {"a": 1.0, "b": 2.0}}
    stream.push("p", 5.0, {"vitals": {"a": 9.0}})
    stream.push("q", 1.0, first)
    stream.forget("p")
    assert len(stream) == 1
    assert stream.push("p", 2.0, first) == fresh.push("p", 2.0, first)
    with pytest.raises(DataError, match="'r': no such sample"):
        stream.forget("r")


@pytest.mark.parametrize("time", [3.0, 2.0])
def test_late_and_equal_times_are_refused_and_change_nothing(model: Model, time: float) -> None:
    stream, other = Stream(model), Stream(model)
    for one in (stream, other):
        one.push("p", 3.0, {"vitals": {"a": 1.0}})
    with pytest.raises(DataError, match=rf"sample 'p', time {time}: must be later than its last, 3\.0"):
        stream.push(["q", "p"], [1.0, time], [{"vitals": {"a": 4.0}}] * 2)
    assert len(stream) == 1
    assert stream.push("p", 4.0, {"codes": {"c": "p"}}) == other.push("p", 4.0, {"codes": {"c": "p"}})


@pytest.mark.parametrize(
    ("push", "message"),
    [
        (("p", 1.0, {"vital": 1}), "'vital' is no modality of the model; did you mean 'vitals'"),
        (
            ("p", 1.0, {"vitals": {"aa": 1}}),
            "sample 'p', vitals: 'aa': must be one of the modality's columns",
        ),
        (
            ("p", 1.0, {"vitals": {"a": "high"}}),
            "sample 'p', vitals: 'high': a value must be a finite number",
        ),
        (("p", 1.0, {"vitals": [1.0]}), "needs one value a column, a, b; 1 came"),
        (("p", 1.0, {"codes": {"c": ["p"]}}), "a category is a word"),
        (("p", 1.0, {"age": 3}), "a push is a step, and needs a value of vitals or codes or visits"),
        (("p", 1.0, 3), "values come by modality"),
        ((3, 1.0, {"vitals": {"a": 1}}), "an id is text; came 3, a int"),
        (([3], [1.0], [{"vitals": {"a": 1}}]), "an id is text; came 3, a int"),
        (("p", 1.0, {"vitals": {"a": 1}, "age": [3, 4]}), "age: a static modality has one value; 2 came"),
        (("p", "noon", {"vitals": {"a": 1}}), "a time is a finite number"),
        (("p", 10**400, {"vitals": {"a": 1}}), "a time is a finite number"),
        (("p", 1.0, {"vitals": {"a": 10**400}}), "a value must be a finite number"),
        (("p", 1.0, {"vitals": {"a": -1e141}}), "'-1e.141': a value must lie within ±1e140, for sums of"),
        (("p", 1.0, {"vitals": {"a": True}}), "a value must be a finite number"),
        (("p", float("nan"), {"vitals": {"a": 1}}), "a time is a finite number"),
        ((["p", "p"], [1, 2], [{"vitals": {"a": 1}}] * 2), "sample 'p' came twice"),
        (
            (["p", "q"], [1], [{"vitals": {"a": 1}}] * 2),
            "2 ids, 1 times and 2 values came; as many",
        ),
        ((["p", "q"], [1, 1], [{"vitals": {"a": 1}}, {"vitals": {"a": "x"}}]), "sample 'q', vitals: 'x'"),
        ((["p"], 1.0, [{"vitals": {"a": 1}}]), "`time` is a list, with one for each id; came '1.0', a float"),
        ((["p"], "noon", [{"vitals": {"a": 1}}]), "`time` is a list, .* came 'noon', a str"),
        ((["p"], np.array(1.0), [{"vitals": {"a": 1}}]), "`time` is a list, .* came '1.0', a ndarray"),
        ((["p"], [1.0], {"vitals": {"a": 1}}), "`values` is a list, .*, a dict; give a list, or one id"),
        (({"p": 1}, [1.0], [{"vitals": {"a": 1}}]), "`id` is a list"),
        ((b"p", 1.0, {"vitals": {"a": 1}}), "an id is text; came b'p', a bytes"),
        (("p", [1.0], {"vitals": {"a": 1}}), r"a time is a finite number, .* came '\[1.0\]'"),
        (("p", 1.0, [{"vitals": {"a": 1}}]), "values come by modality, as a dict; came \\["),
    ],
)
def test_bad_pushes_say_what_is_wrong(model: Model, push: Any, message: str) -> None:
    stream = Stream(model)
    with pytest.raises(DataError, match=message):
        stream.push(*push)
    assert len(stream) == 0


@pytest.mark.parametrize("extremes", [False, True])
def test_bins_close_when_a_later_one_comes(make_experiment: MakeExperiment, extremes: bool) -> None:
    """Caught: the least and greatest values of the bin alone, as if none had been before."""
    experiment = make_experiment(timeline={"resolution": "2s"})
    vitals = experiment.modalities["vitals"].model_copy(update={"extremes": extremes})
    experiment = make_experiment(
        timeline={"resolution": "2s"}, modalities={**experiment.modalities, "vitals": vitals}
    )
    model = build(experiment, prepare(experiment))
    expected, stream, found = rows_of(model), Stream(model), {}
    last: dict[str, float] = {}
    for id, time, values in pushes_of(experiment):
        row = stream.push(id, time, values)
        if row is not None:
            assert row["time"] < time
            found[id, row["time"]] = row
        last[id] = time
    for id in last:
        row = stream.flush(id)
        assert row is not None and row["time"] >= last[id]
        assert stream.flush(id) is None
        found[id, row["time"]] = row
    assert len(found) > 80
    for key, row in found.items():
        assert_same(row, expected[key])
    assert len(found) == len(expected) - sum(i % 9 == 4 for i in range(36))


def test_a_bin_that_was_flushed_is_over(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(timeline={"resolution": "10s"})
    stream = Stream(build(experiment, prepare(experiment)))
    stream.push("p", 3.0, {"vitals": {"a": 1.0}})
    row = stream.flush("p")
    assert row is not None and row["time"] == 10
    for time in (5.0, 10.0):
        with pytest.raises(DataError, match=r"must be later than its last, 10\.0"):
            stream.push("p", time, {"vitals": {"a": 1.0}})
    assert stream.push("p", 10.5, {"vitals": {"a": 1.0}}) is None
    with pytest.raises(DataError, match="'q': no such sample"):
        stream.flush("q")


def test_what_waits_is_saved_whatever_it_was_told_in(make_experiment: MakeExperiment, tmp_path: Path) -> None:
    experiment = make_experiment(timeline={"resolution": "10s"})
    model = build(experiment, prepare(experiment))
    stream = Stream(model)
    value = {"a": np.float32(1.5), "b": float("nan")}
    stream.push(
        "p", np.int64(3), {"vitals": value, "codes": [{"c": "p", "d": np.str_("u")}], "age": np.int64(40)}
    )
    stream.push("p", 4.0, {"vitals": np.array([1.0, 2.0]), "age": 41})
    stream.save(tmp_path / "states")
    other = Stream.load(tmp_path / "states", model)
    assert other.push("p", 12.0, {"vitals": value}) is not None
    other.flush("p")
    stream.push("p", 12.0, {"vitals": value})
    assert other.push("p", 31.0, {"vitals": value}) is None and stream.flush("p") is not None


def test_bad_value_in_a_bin_is_told_when_it_comes(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(timeline={"resolution": "2s"})
    stream = Stream(build(experiment, prepare(experiment)))
    with pytest.raises(DataError, match="'high': a value must be"):
        stream.push("p", 1.0, {"vitals": {"a": "high"}})
    assert len(stream) == 0 and not stream.waiting


def test_only_the_anchor_makes_steps(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(timeline={"anchor": "vitals"})
    model = build(experiment, prepare(experiment))
    expected, stream, found = rows_of(model), Stream(model), {}
    pushes = pushes_of(experiment)
    anchored = {(id, time) for id, time, values in pushes if "vitals" in values}
    for id, time, values in pushes:
        row = stream.push(id, time, values)
        assert (row is not None) == ((id, time) in anchored)
        if row is not None:
            found[id, time] = row
    assert len(found) > 60
    for key, row in found.items():
        assert_same(row, expected[key])


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> Model:
    rng, begin = np.random.default_rng(0), datetime(2024, 3, 1, tzinfo=UTC)
    rows = [
        {"id": f"s{i}", "when": begin + timedelta(hours=i, minutes=float(t)), "x": float(rng.normal())}
        for i in range(12)
        for t in rng.exponential(9, 5).cumsum().round(2)
    ]
    labels = [{"id": f"s{i}", "k": "ab"[i % 2]} for i in range(12)]
    folder = tmp_path_factory.mktemp("dated")
    pd.DataFrame(rows).to_csv(folder / "x.csv", index=False)
    pd.DataFrame(labels).to_csv(folder / "labels.csv", index=False)
    experiment = Experiment.model_validate(
        {
            "name": "dated",
            "data": {
                "source": {"kind": "tables", "root": str(folder), "id": "id"},
                "store": str(folder / "stores"),
            },
            "timeline": {"unit": "minutes"},
            "modalities": {"x": {"kind": "numeric", "table": "x.csv", "time": "when", "columns": ["x"]}},
            "core": {"kind": "gru", "hidden": 4},
            "tasks": {"k": {"kind": "classification", "table": "labels.csv", "column": "k"}},
        }
    )
    return build(experiment, prepare(experiment))


@pytest.mark.parametrize("how", ["text", "datetime", "offset"])
def test_dates_are_counted_from_the_first(dated: Model, how: str) -> None:
    expected, stream = rows_of(dated), Stream(dated)
    table = pd.read_csv(Path(dated.experiment.data.source.root) / "x.csv")  # type: ignore[attr-defined]
    table["when"] = pd.to_datetime(table["when"], format="ISO8601")
    for row in table.sort_values("when").to_dict("records"):
        when = row["when"].to_pydatetime()
        shown = {
            "text": when.isoformat(),
            "datetime": when,
            "offset": when.isoformat().replace("+00:00", "Z"),
        }
        came = stream.push(row["id"], shown[how], {"x": row["x"]})
        assert_same(came, expected[row["id"], when])


def test_numbers_are_no_dates(dated: Model) -> None:
    with pytest.raises(DataError, match="a time is a date and time, as in training"):
        Stream(dated).push("s", 3.0, {"x": 1.0})
    with pytest.raises(DataError, match="came 'soon'"):
        Stream(dated).push("s", "soon", {"x": 1.0})


def test_not_a_time_is_no_date(dated: Model) -> None:
    with pytest.raises(DataError, match="a time is a date and time"):
        Stream(dated).push("s", pd.NaT, {"x": 1.0})


def test_what_stands_for_missing_in_the_source_does_so_live(make_experiment: MakeExperiment) -> None:
    source = make_experiment().data.source.model_dump(mode="json")
    data = {**make_experiment().data.model_dump(mode="json"), "source": {**source, "missing": ["", "-999"]}}
    experiment = make_experiment(data=data)
    model = build(experiment, prepare(experiment))
    missing = Stream(model).push("p", 1.0, {"vitals": {"a": None, "b": 2.0}, "codes": {"c": None, "d": "u"}})
    for marker in (-999, -999.0, "-999", np.float64(-999)):
        values = {"vitals": {"a": marker, "b": 2.0}, "codes": {"c": marker, "d": "u"}}
        assert Stream(model).push("p", 1.0, values) == missing


def test_unknown_words_are_counted(model: Model) -> None:
    stream = Stream(model)
    stream.push("p", 1.0, {"codes": [{"c": "zzz"}, {"c": "yyy", "d": "u"}]})
    assert stream.unknown == {"codes.c": 2}


def test_a_core_that_looks_ahead_cannot_stream(make_experiment: MakeExperiment, store: Store) -> None:
    model = build(make_experiment(), store)
    model.core.causal = False
    with pytest.raises(ConfigError, match="only a causal one"):
        Stream(model)
