"""What is generated: fed back it is a prefix like any other, and it depends on nothing but its own sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.errors import ConfigError
from mmseq.fit import fit
from mmseq.inference.generate import check_ending, generate, lines
from mmseq.inference.predict import predict
from mmseq.model import Model

Tables = dict[str, dict[str, list[Any]]]
MakeModel = Callable[..., Model]

IDS = [f"p{i}" for i in range(6)]
MODALITIES: dict[str, Any] = {
    "vitals": {
        "kind": "numeric",
        "table": "vitals",
        "time": "t",
        "columns": ["a", "b"],
        "fill": "decay",
        "extremes": True,
    },
    "pulse": {"kind": "numeric", "table": "pulse", "time": "t", "columns": ["rate"]},
    "drug": {"kind": "category", "table": "drugs", "time": "t", "column": "drug"},
    "codes": {"kind": "category", "table": "codes", "time": "t", "columns": ["c", "d"]},
    "lab": {"kind": "numeric", "table": "labs", "time": "t", "columns": ["x"]},
    "ward": {"kind": "category", "table": "samples", "column": "ward"},
}
TASKS: dict[str, Any] = {
    "next_vitals": {"kind": "next_step", "modality": "vitals", "time": True},
    "next_pulse": {"kind": "next_step", "modality": "pulse", "time": True, "at": "own"},
    "next_drug": {"kind": "next_step", "modality": "drug", "time": True},
    "next_codes": {"kind": "next_step", "modality": "codes", "time": True, "wait_components": 2},
    "next_lab": {"kind": "next_step", "modality": "lab"},
    "sick": {"kind": "classification", "table": "samples", "column": "sick"},
}


def _tables(ids: list[str] = IDS) -> Tables:
    """Codes share steps, vitals have gaps; the last sample has nothing timed."""
    columns = {"vitals": "ab", "pulse": ["rate"], "drugs": ["drug"], "codes": "cd", "labs": "x"}
    tables: Tables = {name: {c: [] for c in ("id", "t", *own)} for name, own in columns.items()}
    tables["samples"] = {"id": [], "ward": [], "sick": []}
    for id in ids:
        i = IDS.index(id)
        random = np.random.default_rng(i)
        _add(tables["samples"], id=id, ward="ns"[i % 2], sick="yn"[i // 2 % 2])
        for t in () if i == 5 else np.round(random.exponential(1, 6).cumsum(), 3).tolist():
            _add(tables["vitals"], id=id, t=t, a=random.normal(), b=[None, random.normal(5)][int(t) % 2])
            _add(tables["pulse"], id=id, t=t + 0.25, rate=random.normal(70, 9))
            _add(tables["drugs"], id=id, t=t + 0.5, drug="xyz"[random.integers(3)])
            for _ in range(1 + i % 2):
                _add(tables["codes"], id=id, t=t, c="pqr"[random.integers(3)], d="uv"[random.integers(2)])
            _add(tables["labs"], id=id, t=t + 0.1, x=random.normal())
    return tables


def _add(table: dict[str, list[Any]], **row: Any) -> None:
    for name, value in row.items():
        table.setdefault(name, []).append(value)


@pytest.fixture(scope="module")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Fitted on the tables, with random weights, in float64."""
    folder = tmp_path_factory.mktemp("stores")

    def make(tasks: dict[str, Any] = TASKS, tables: Tables | None = None, **changes: Any) -> Model:
        tree: dict[str, Any] = {
            "name": "drawn",
            "data": {"source": {"kind": "memory"}, "samples": "samples", "store": str(folder)},
            "modalities": MODALITIES,
            "core": {"kind": "lstm", "hidden": 5},
            "tasks": tasks,
        }
        if tasks is TASKS:  # the others are of steps alone, and read the core
            tree["readout"] = [{"kind": "mean"}, {"kind": "attention"}]
        experiment = Experiment.model_validate(tree | changes)
        facts = fit(experiment, prepare(experiment, tables or _tables()), np.arange(len(IDS)))
        torch.manual_seed(0)
        return Model(experiment, facts).double().eval()

    return make


@pytest.fixture(scope="module")
def model(make_model: MakeModel) -> Model:
    return make_model()


def _same(actual: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(actual) == len(expected)
    for row, wanted in zip(actual, expected, strict=True):
        flat, flat_wanted = pa.Table.from_pylist([row]), pa.Table.from_pylist([wanted])
        for name, value in flat.flatten().to_pylist()[0].items():
            other = flat_wanted.flatten().to_pylist()[0][name]
            assert value == (pytest.approx(other, abs=1e-9) if isinstance(other, float) else other), name


def _rows(table: pa.Table | list[dict[str, Any]], **where: Any) -> list[dict[str, Any]]:
    rows = table if isinstance(table, list) else table.to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in where.items())]


def _feed_back(tables: Tables, rows: list[dict[str, Any]]) -> Tables:
    """The tables, and what was generated after them."""
    for row in rows:
        for name, config in MODALITIES.items():
            value = row.get(name)
            if value is not None:
                for event in value if isinstance(value, list) else [value]:
                    event = event if isinstance(event, dict) else {config.get("column", "rate"): event}
                    _add(tables[config["table"]], id=row["id"], t=row["time"], **event)
    for name, table in tables.items():
        if name != "samples":
            order = sorted(range(len(table["id"])), key=lambda i: (table["id"][i], table["t"][i]))
            tables[name] = {column: [values[i] for i in order] for column, values in table.items()}
    return tables


def test_fed_back_it_gives_the_parameters_of_generation(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of generation is that of the whole pass over prefix and generated events.

    The last sample is left out: that nothing was known at time 0 cannot be written down.
    """
    seen: list[tuple[list[str], dict[str, torch.Tensor]]] = []
    original = Model.predict_at

    def spy(self: Model, batch: Any, at: Any = None, state: Any = None) -> Any:
        parameters, after = original(self, batch, at, state)
        seen.append((batch.ids, parameters))
        return parameters, after

    monkeypatch.setattr(Model, "predict_at", spy)
    table = model.generate(_tables(IDS[:5]), steps=7)
    monkeypatch.undo()
    ids, parameters = seen[-1]
    assert sorted(ids) == IDS[:5] and len(table) == 7 * 5
    assert all(table[name].drop_null() for name in ("vitals", "pulse", "drug", "codes"))
    again = predict(model, _feed_back(_tables(IDS[:5]), table.to_pylist())).table.to_pylist()
    assert len(again) == 5
    for task, head in model.heads.items():
        for name, values in head.decode(parameters[task]).items():
            column = f"{task}.{name}" if name else task
            during = dict(zip(ids, values.tolist(), strict=True))
            for row in again:
                expected = row[column]
                assert during[row["id"]] == (
                    pytest.approx(expected, abs=1e-10) if isinstance(expected, float) else expected
                ), column


def test_a_path_alone_is_the_same_path_among_many(model: Model) -> None:
    lone = model.generate(_tables(), n=1, steps=5)
    many = model.generate(_tables(), n=100, steps=5)
    assert len(many) == 100 * len(lone)
    _same(_rows(many, path=0), lone.to_pylist())
    assert len({row["time"] for row in _rows(many, id="p0")}) > 400  # each path goes its own way


def test_a_sample_alone_is_the_same_among_others(model: Model) -> None:
    whole = model.generate(_tables(), n=2, steps=5)
    assert whole["id"].to_pylist() == [id for id in IDS for _ in range(10)]
    for id in ("p0", "p3", "p5"):
        _same(model.generate(_tables([id]), n=2, steps=5).to_pylist(), _rows(whole, id=id))
    other = _tables(["p0", "p1"])
    other["vitals"]["a"][-1] += 3  # of p1
    _same(_rows(model.generate(other, n=2, steps=5), id="p0"), _rows(whole, id="p0"))


def test_a_seed_draws_its_paths(model: Model) -> None:
    first = model.generate(_tables(), steps=5, seed=3)
    assert model.generate(_tables(), steps=5, seed=3).equals(first)
    assert model.generate(_tables(), steps=5, seed=4)["time"] != first["time"]


def test_without_temperature_it_is_the_mode_whatever_the_seed(model: Model) -> None:
    mode = model.generate(_tables(), steps=4, temperature=0.0).to_pylist()
    _same(model.generate(_tables(), steps=4, temperature=0.0, seed=9, n=2).to_pylist()[:4], mode[:4])
    nearly = model.generate(_tables(), steps=4, temperature=1e-12).to_pylist()
    _same(nearly, mode)


def test_the_mode_is_what_is_predicted(make_model: MakeModel) -> None:
    """One clock alone: its next event is the prediction at the last step."""
    model = make_model({"next_vitals": TASKS["next_vitals"]})
    drawn = _rows(model.generate(_tables(), steps=1, temperature=0.0))
    for row, told in zip(drawn, model.predict(_tables()).to_pylist(), strict=True):
        assert row["vitals"] == pytest.approx({"a": told["next_vitals.a"], "b": told["next_vitals.b"]})
        assert row["time"] == pytest.approx(told["time"] + told["next_vitals.wait"])


def test_top_1_takes_the_most_probable_class(make_model: MakeModel) -> None:
    model = make_model({"next_drug": TASKS["next_drug"], "next_codes": TASKS["next_codes"]})
    for row in model.generate(_tables(), steps=20, top_k=1).to_pylist():
        assert row["codes"] is None or len(row["codes"]) == 1
    one = make_model({"next_drug": TASKS["next_drug"]})
    first = one.generate(_tables(), steps=1, top_k=1, n=5)["drug"].to_pylist()
    assert first == [told for told in one.predict(_tables())["next_drug"].to_pylist() for _ in range(5)]


def test_sets_are_never_empty_and_lists_of_events(model: Model) -> None:
    drawn = [codes for codes in model.generate(_tables(), steps=9)["codes"].to_pylist() if codes]
    assert drawn
    for events in drawn:
        for column, words in (("c", "pqr"), ("d", "uv")):
            codes = [event[column] for event in events if event[column] is not None]
            assert codes and len(set(codes)) == len(codes) and set(codes) <= set(words)


def test_times_rise_until_the_steps_or_the_horizon(model: Model) -> None:
    begin = {row["id"]: row["time"] for row in model.predict(_tables()).to_pylist()}
    table = model.generate(_tables(), n=3, horizon=4.0).to_pylist()
    longer = model.generate(_tables(), n=3, horizon=6.0).to_pylist()
    for id in IDS:
        for path in range(3):
            rows = _rows(table, id=id, path=path)
            times = [begin[id], *(row["time"] for row in rows)]
            assert times == sorted(set(times)) and times[-1] <= begin[id] + 4
            later = _rows(longer, id=id, path=path)
            _same(rows, [row for row in later if row["time"] <= begin[id] + 4])
    both = model.generate(_tables(), n=3, horizon=4.0, steps=2)
    expected = [row for id in IDS for p in range(3) for row in _rows(table, id=id, path=p)[:2]]
    _same(both.to_pylist(), expected)


def test_time_passes_even_where_none_is_expected(make_model: MakeModel) -> None:
    model = make_model({"next_drug": TASKS["next_drug"]})
    with torch.no_grad():
        wait: Any = model.heads["next_drug"].heads[-1]  # type: ignore[union-attr, index]
        wait.linear.bias[0] = -1e3
    times = [0.0, *(row["time"] for row in model.generate(_tables(["p5"]), steps=9).to_pylist())]
    assert (np.diff(times) > 0).all() and times[-1] < 0.1


def test_bins_end_at_their_ends(make_model: MakeModel) -> None:
    model = make_model(timeline={"resolution": "0.5s"})
    table = model.generate(_tables(), n=2, steps=12).to_pylist()
    for id in IDS:
        for path in range(2):
            times = np.array([row["time"] for row in _rows(table, id=id, path=path)])
            assert (times * 2 == np.round(times * 2)).all() and (np.diff(times) >= 0.5).all()
    counts = [sum(row[name] is not None for name in MODALITIES if name in row) for row in table]
    assert max(counts) > 1  # those of one bin share the step


def test_nothing_known_is_a_sample_without_events(make_model: MakeModel) -> None:
    tasks = {name: task for name, task in TASKS.items() if name != "sick"}
    modalities = {name: config for name, config in MODALITIES.items() if name != "ward"}
    model = make_model(tasks, modalities=modalities)
    drawn = model.generate(steps=6, temperature=0.0).to_pylist()
    assert [row["id"] for row in drawn] == [None] * 6 and drawn[0]["time"] > 0
    known = model.generate(_tables(["p5"]), steps=6, temperature=0.0).to_pylist()
    _same(drawn, [{**row, "id": None} for row in known])


def test_statics_are_seen(model: Model) -> None:
    tables = _tables(["p5"])
    before = model.generate(tables, steps=3, temperature=0.0)
    tables["samples"]["ward"] = ["s" if tables["samples"]["ward"] == ["n"] else "n"]
    assert model.generate(tables, steps=3, temperature=0.0)["time"] != before["time"]


def test_a_modality_without_its_own_clock_is_left_as_it_is(model: Model) -> None:
    table = model.generate(_tables(), steps=3)
    assert table.column_names == ["id", "path", "time", "vitals", "pulse", "drug", "codes"]


def test_a_clock_of_own_steps_stands_until_it_comes(make_model: MakeModel) -> None:
    """Its times are later than the last step, though they were predicted before it."""
    from mmseq.batch.assemble import Assembler
    from mmseq.inference.choice import Choice
    from mmseq.inference.paths import Paths

    model = make_model()
    own = 1
    assert TASKS["next_pulse"]["at"] == "own"
    store = prepare(model.experiment, _tables())
    batch = Assembler(store, model, tasks=[]).batch(np.arange(len(IDS)))
    with torch.no_grad():
        paths = Paths(model, batch, Choice(steps=12))
        assert bool((paths.times > paths.now[:, None]).all())
        stood = 0
        before = paths.times.clone()
        for _ in paths:
            waiting = before[:, own] > paths.now
            assert torch.equal(paths.times[waiting, own], before[waiting, own])
            assert bool((paths.times[~waiting, own] > before[~waiting, own]).all())
            stood += int(waiting.sum())
            before = paths.times.clone()
    assert stood > 12


def test_a_column_that_training_never_had_is_not_told(make_model: MakeModel) -> None:
    tables = _tables()
    tables["vitals"]["b"] = [None] * len(tables["vitals"]["b"])
    tables["vitals"]["b"][0] = None
    model = make_model({"next_vitals": TASKS["next_vitals"]}, _floats(tables))
    values = [row["vitals"] for row in model.generate(_floats(tables), steps=3).to_pylist()]
    assert all(value.keys() == {"a"} for value in values)


def _floats(tables: Tables) -> Tables:
    """None in a column of numbers is NaN: a column of nothing but None has no type."""
    b = [float("nan") if value is None else value for value in tables["vitals"]["b"]]
    return {**tables, "vitals": {**tables["vitals"], "b": b}}


def test_quantiles_are_those_of_the_paths(model: Model) -> None:
    options: dict[str, Any] = {"n": 5, "horizon": 4.0, "seed": 2}
    table = model.generate(_tables(), quantiles=[0.1, 0.5, 0.9], **options)
    assert table.column_names == ["id", "time", "column", "0.1", "0.5", "0.9"]
    paths = model.generate(_tables(), **options).to_pylist()
    begin = {row["id"]: row["time"] for row in model.predict(_tables()).to_pylist()}
    tables = _tables()
    found = {
        (row["id"], row["column"], round(row["time"] - begin[row["id"]], 9)): row for row in table.to_pylist()
    }
    expected = 0
    for id in IDS:
        for name, column in (("vitals", "a"), ("vitals", "b"), ("pulse", "rate")):
            for i in range(1, 21):
                last = []
                for path in range(5):
                    own = tables[name]
                    known = [
                        v for k, v in zip(own["id"], own[column], strict=True) if k == id and v is not None
                    ]
                    for row in _rows(paths, id=id, path=path):
                        if row[name] is not None and row["time"] <= begin[id] + i * 0.2 + 1e-12:
                            known.append(row[name] if name == "pulse" else row[name][column])
                    last += known[-1:]
                if last:
                    expected += 1
                    row = found[id, f"{name}.{column}", round(i * 0.2, 9)]
                    told = [row["0.1"], row["0.5"], row["0.9"]]
                    assert told == pytest.approx(np.quantile(last, [0.1, 0.5, 0.9]).tolist(), abs=1e-9)
    assert len(table) == expected
    sparse = model.generate(_tables(), quantiles=[0.5], every=2.0, **options)
    assert len({row["time"] for row in _rows(sparse, id="p0")}) == 2


DATES = ["2024-02-28T10:00:00", "2024-02-28T11:00:00", "2024-02-28T12:30:00"]


def test_times_of_dated_data_are_dates(tmp_path: Path) -> None:
    """Caught: inputs without any event, whose times were told as numbers."""
    tables: Any = {"v": {"id": ["a"] * 3 + ["b"] * 3, "t": DATES * 2, "x": [1.0, 2.0, 3.0] * 2}}
    tables["samples"] = {"id": ["a", "b"]}
    tree = {
        "name": "dated",
        "data": {"source": {"kind": "memory"}, "samples": "samples", "store": str(tmp_path)},
        "timeline": {"unit": "hours", "resolution": "30min"},
        "modalities": {"v": {"kind": "numeric", "table": "v", "time": "t", "columns": ["x"]}},
        "core": {"kind": "gru", "hidden": 2},
        "tasks": {"next": {"kind": "next_step", "modality": "v", "time": True}},
    }
    experiment = Experiment.model_validate(tree)
    model = Model(experiment, fit(experiment, prepare(experiment, tables), np.arange(2)))
    table = model.generate(tables, horizon=5.0, n=3)
    assert table.schema.field("time").type == pa.timestamp("us", "UTC")
    told = [json.loads(line) for line in lines(table)]
    assert told and all(row["time"] > "2024-02-28T12:30:00Z" for row in told)
    assert all(row["time"][13:] in (":00:00Z", ":30:00Z") for row in told)
    assert max(row["time"] for row in told) <= "2024-02-28T17:30:00Z"
    quantiles = model.generate(tables, horizon=5.0, quantiles=[0.5], every=2.5)
    assert [json.loads(line)["time"] for line in lines(quantiles)][:2] == [
        "2024-02-28T15:00:00Z", "2024-02-28T17:30:00Z",
    ]  # fmt: skip
    columns = {"id": pa.string(), "t": pa.string(), "x": pa.float64()}
    eventless = {"v": pa.schema(columns.items()).empty_table(), "samples": pa.table({"id": ["c"]})}
    assert model.generate(eventless, steps=1).column("time").to_pylist() == [None], "as in predictions"


def test_lines_leave_out_what_is_not_there(model: Model) -> None:
    rows = [json.loads(line) for line in lines(model.generate(_tables(), steps=6))]
    for row in rows:
        assert {"id", "path", "time"} < row.keys()
        assert None not in row.values()
        assert all(None not in event.values() for event in row.get("codes", []))
    assert all(isinstance(row["pulse"], float) for row in rows if "pulse" in row)
    assert json.loads(next(lines(model.generate(steps=1))))["id"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "generate: something must say when to stop; neither came; set steps or horizon"),
        ({"steps": 0}, "steps must be at least 1; 0 came"),
        ({"steps": 1, "n": 0}, "n must be at least 1; 0 came"),
        ({"steps": 1, "top_k": 0}, "top_k must be at least 1; 0 came"),
        ({"horizon": 0.0}, "horizon must be a time above 0; 0 came"),
        ({"horizon": float("nan")}, "horizon must be a time above 0; nan came"),
        ({"steps": 1, "temperature": -0.5}, "temperature must be 0 or above; -0.5 came"),
        ({"steps": 1, "quantiles": [0.5]}, "quantiles need the time up to which they are told; set horizon"),
        ({"horizon": 1.0, "quantiles": [1.5]}, r"quantiles must be numbers from 0 to 1; 1.5 came"),
        ({"horizon": 1.0, "quantiles": []}, r"quantiles must be numbers from 0 to 1; none came"),
        ({"horizon": 1.0, "every": 0.1}, "every says how far apart quantiles are; set quantiles, too"),
        ({"horizon": 1.0, "quantiles": [0.5], "every": 2.0}, "up to the horizon, 1; 2 came"),
    ],
)
def test_options_out_of_range(model: Model, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate(model, **options)


def test_models_that_cannot(make_model: MakeModel) -> None:
    def refused(message: str, tasks: dict[str, Any] = TASKS, **changes: Any) -> None:
        with pytest.raises(ConfigError, match=message):
            make_model(tasks, **changes).generate(steps=1, **options)

    options: dict[str, Any] = {}
    refused("none of sick, next_lab does; give the run a task of kind next_step with time: true",
            {name: TASKS[name] for name in ("sick", "next_lab")})  # fmt: skip
    refused("'next_drug' and 'again' do; set time: false", {**TASKS, "again": TASKS["next_drug"]})
    refused("with timeline.anchor 'vitals' no other modality", timeline={"anchor": "vitals"})
    options = {"horizon": 1.0, "quantiles": [0.5]}
    refused("has none: drug; leave quantiles out", {"next_drug": TASKS["next_drug"]})


def test_a_core_that_looks_ahead_cannot(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(model.core), "causal", False)
    with pytest.raises(ConfigError, match="only a causal one can go on from a state"):
        model.generate(steps=1)


def test_an_anchor_alone_can(make_model: MakeModel) -> None:
    model = make_model({"next_vitals": TASKS["next_vitals"]}, timeline={"anchor": "vitals"})
    assert len(model.generate(_tables(), steps=2)) == 2 * len(IDS)


def test_other_endings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"out.csv: what is generated is written as JSON lines; name"):
        check_ending(Path("out.csv"))
