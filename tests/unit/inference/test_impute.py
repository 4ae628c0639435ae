"""Tables filled by a model that was not trained: every cell is where it belongs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch

from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.errors import ConfigError, DataError
from mmseq.fit import fit
from mmseq.inference.impute import impute, write_imputed
from mmseq.model import Model

WIDE = {"kind": "numeric", "table": "lab", "time": "t", "columns": ["a", "b"]}
LONG = {"kind": "numeric", "table": "long", "time": "t", "pivot": {"code": "what", "value": "value"}}


def tables() -> dict[str, Any]:
    random = np.random.default_rng(0)
    rows = [
        (f"p{i}", float(t)) for i in range(6) for t in (3, 1, 1, 2)
    ]  # two events at one time, none in order
    values = random.normal(size=(len(rows), 2)).round(3)
    cells = [[None if random.random() < 0.4 else float(v) for v in row] for row in values]
    lab = {"t": [t for _, t in rows], "id": [i for i, _ in rows], "a": [c[0] for c in cells]}
    lab |= {"kept": [f"row {i}" for i in range(len(rows))], "b": [c[1] for c in cells]}
    long = [(i, t, "ab"[f], v) for (i, t), row in zip(rows, cells, strict=True) for f, v in enumerate(row)]
    names = ("id", "t", "what", "value")
    who = pa.table({"id": [f"p{i}" for i in range(6)]})
    return {
        "who": who,
        "x": pa.table({"id": who["id"].to_pylist() * 2, "t": [1.0] * 6 + [2.0] * 6, "x": [0.5, 1.5] * 6}),
        "lab": pa.table(lab),
        "long": pa.table({n: [r[c] for r in long] for c, n in enumerate(names)}),
    }


def build(
    folder: Path, modality: dict[str, Any], given: dict[str, Any] | None = None, **more: Any
) -> tuple[Model, dict[str, Any]]:
    data = given or tables()
    tree = {
        "name": "gaps",
        "data": {"source": {"kind": "memory", "id": "id"}, "store": str(folder)},
        "modalities": {"m": modality},
        "core": {"kind": "gru", "hidden": 4},
        "tasks": {"fill": {"kind": "imputation", "modality": "m"}},
    }
    experiment = Experiment.model_validate(tree | more)
    torch.manual_seed(0)
    store = prepare(experiment, data)
    return Model(experiment, fit(experiment, store, np.arange(len(store)))).double().eval(), data


def answers(model: Model, data: dict[str, Any]) -> dict[tuple[str, float], dict[str, float]]:
    rows = model.predict(data, every_step=True).to_pylist()
    return {(r["id"], r["time"]): {f: r[f"fill.{f}"] for f in "ab"} for r in rows}


def wide(data: dict[str, Any]) -> dict[tuple[str, float], dict[str, list[float]]]:
    """The values of the long table, by id and time."""
    there: dict[tuple[str, float], dict[str, list[float]]] = {}
    for row in data["long"].to_pylist():
        if row["value"] is not None:
            there.setdefault((row["id"], row["t"]), {"a": [], "b": []})[row["what"]].append(row["value"])
    return there


@pytest.mark.parametrize("extremes", [False, True])
@pytest.mark.parametrize("window", [None, 2])
def test_each_gap_has_the_answer_of_its_step(tmp_path: Path, window: int | None, extremes: bool) -> None:
    """Caught: least and greatest values as columns to fill."""
    model, data = build(tmp_path, WIDE | {"extremes": extremes}, training={"window": window})
    imputed, said = impute(model, data), answers(model, data)
    before, after = data["lab"].to_pylist(), imputed.table.to_pylist()
    assert imputed.table.column_names == ["t", "id", "a", "kept", "b", "a_imputed", "b_imputed"]
    n = 0
    for old, new in zip(before, after, strict=True):
        assert {k: new[k] for k in ("t", "id", "kept")} == {k: old[k] for k in ("t", "id", "kept")}
        for f in "ab":
            assert new[f"{f}_imputed"] == (old[f] is None)
            expected = said[old["id"], old["t"]][f] if old[f] is None else old[f]
            assert new[f] == (pytest.approx(expected, rel=1e-9) if old[f] is None else expected)
            n += old[f] is None
    assert n == sum(imputed.filled.values()) > 10 and not imputed.notes


def test_a_long_table_comes_out_wide(tmp_path: Path) -> None:
    """A row for each time of a sample with a value, the mean of several; a row without any is none.

    Caught: least and greatest values as codes to look for.
    """
    model, data = build(tmp_path, LONG | {"extremes": True})
    imputed, said = impute(model, data).table.to_pylist(), answers(model, data)
    there = wide(data)
    assert [(r["id"], r["t"]) for r in imputed] == sorted(there)
    for row in imputed:
        for f, values in there[row["id"], row["t"]].items():
            expected = np.mean(values) if values else said[row["id"], row["t"]][f]
            assert row[f] == pytest.approx(expected, rel=1e-9) and row[f"{f}_imputed"] == (not values)


def test_rows_of_nobody_are_left_and_told(tmp_path: Path) -> None:
    source = {"kind": "memory", "id": "id"}
    model, data = build(tmp_path, WIDE, data={"source": source, "store": str(tmp_path), "samples": "who"})
    data["who"] = pa.table({"id": ["p1"]})
    imputed = impute(model, data)
    for old, new in zip(data["lab"].to_pylist(), imputed.table.to_pylist(), strict=True):
        if old["id"] != "p1":
            assert new == old | {"a_imputed": False, "b_imputed": False}
    assert any(note.startswith("20 rows were left as they are") for note in imputed.notes)


@pytest.mark.parametrize(
    ("data", "timeline", "left", "why"),
    [
        ({"samples": "who"}, {}, lambda row: row["id"] != "p1", "of ids that no sample has"),
        ({"until": 1.5}, {}, lambda row: row["t"] > 1.5, "after `data.until`"),
        ({}, {"anchor": "x"}, lambda row: row["t"] > 2, "after the last step of `timeline.anchor`"),
        (
            {"samples": "who", "until": 1.5},
            {},
            lambda row: row["id"] != "p1" or row["t"] > 1.5,
            "of ids that no sample has or after `data.until`",
        ),
    ],
)
@pytest.mark.parametrize("modality", [WIDE, LONG], ids=["wide", "long"])
def test_what_the_store_left_out_keeps_its_values(
    tmp_path: Path,
    modality: dict[str, Any],
    data: dict[str, Any],
    timeline: dict[str, Any],
    left: Callable[[dict[str, Any]], bool],
    why: str,
) -> None:
    """Caught: rows of a pivoted table that were dropped unseen; reasons that no row was left for."""
    place = {"source": {"kind": "memory", "id": "id"}, "store": str(tmp_path)}
    modalities = {"m": modality, "x": {"kind": "numeric", "table": "x", "time": "t", "columns": ["x"]}}
    model, samples = build(tmp_path, modality, modalities=modalities, data=place | data, timeline=timeline)
    if "samples" in data:
        samples["who"] = pa.table({"id": ["p1"]})
    imputed = impute(model, samples)
    kept = [row for row in imputed.table.to_pylist() if left(row)]
    assert imputed.notes[0] == f"{len(kept)} rows were left as they are: {why}"
    assert not any(row["a_imputed"] or row["b_imputed"] for row in kept)
    there = {key: row for key, row in wide(samples).items() if left({"id": key[0], "t": key[1]})}
    if modality is LONG:
        assert len(kept) == len(there) > 3
        for row in kept:
            for f in "ab":
                expected = there[row["id"], row["t"]][f]
                assert row[f] == (pytest.approx(np.mean(expected), rel=1e-12) if expected else None)
    else:
        assert [row["a"] for row in kept] == [r["a"] for r in samples["lab"].to_pylist() if left(r)]


DAYS = {"04-11": "", "07-20": ".000000001", "10-28": ".000000001"}


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+05:30"])
@pytest.mark.parametrize("modality", [WIDE, LONG], ids=["wide", "long"])
def test_times_come_out_as_they_came_in(tmp_path: Path, modality: dict[str, Any], zone: str | None) -> None:
    """Caught: all were in UTC, to the microsecond; in CSV those of no zone, too."""
    data = tables()
    for name in ("lab", "long"):
        when = [round(t) * 100 * 86_400 * 10**9 + (t > 1) for t in data[name]["t"].to_pylist()]
        column = pa.array(when, pa.timestamp("ns", zone))
        data[name] = data[name].set_column(data[name].column_names.index("t"), "t", column)
    model, data = build(tmp_path, modality, data)
    found = impute(model, data).table
    assert found["t"].type == pa.timestamp("ns", zone)
    if modality is WIDE:
        assert found["t"].equals(data["lab"]["t"])
    else:
        assert set(found["t"].cast(pa.int64()).to_pylist()) == set(when)
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        write_imputed(found, tmp_path / name)
    assert pq.read_table(tmp_path / "out.parquet")["t"].equals(found["t"])
    hour, offset = {None: ("00:00", ""), "UTC": ("00:00", "Z"), "Europe/Berlin": ("01:00", "+01:00")}.get(
        zone, ("05:30", "+05:30")
    )
    words = {f"1970-{day}T{hour}:00{part}{offset}" for day, part in DAYS.items()}
    text = pyarrow.csv.ConvertOptions(column_types={"t": pa.string()})
    assert set(pyarrow.csv.read_csv(tmp_path / "out.csv", convert_options=text)["t"].to_pylist()) == words
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert {json.loads(line)["t"] for line in lines} == words


@pytest.mark.parametrize("modality", [WIDE, LONG], ids=["wide", "long"])
def test_dates_that_are_text_stay_letter_by_letter(tmp_path: Path, modality: dict[str, Any]) -> None:
    data, words = tables(), ["", "2024-01-31 10:00", "2024-02-01T23:30:00.5+02:00", "2024-03-01 00:00:00Z"]
    for name in ("lab", "long"):
        column = pa.array([words[round(t)] for t in data[name]["t"].to_pylist()])
        data[name] = data[name].set_column(data[name].column_names.index("t"), "t", column)
    model, data = build(tmp_path, modality, data)
    write_imputed(impute(model, data).table, tmp_path / "out.jsonl")
    came = [json.loads(line)["t"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert set(came) == set(words[1:]) and (modality is LONG or came == data["lab"]["t"].to_pylist())


def test_codes_that_training_never_had_stay_and_are_told(tmp_path: Path) -> None:
    """Caught: they vanished, and a row of them alone with them; a row of one was taken for an event."""
    model, data = build(tmp_path, LONG)
    before = impute(model, data)
    rows = [("p0", 1.0, "new", 7.5), ("p1", 9.0, "new", 8.5), ("p1", 9.0, "new", 9.5)]
    rows += [("p2", 9.0, "old", None)]
    strange = pa.table({n: [r[c] for r in rows] for c, n in enumerate(data["long"].column_names)})
    imputed = impute(model, data | {"long": pa.concat_tables([data["long"], strange])})
    assert imputed.table.column_names == ["id", "t", "a", "b", "new", "a_imputed", "b_imputed"]
    told = {(r["id"], r["t"]): r.pop("new") for r in imputed.table.to_pylist()}
    assert {key: v for key, v in told.items() if v is not None} == {("p0", 1.0): 7.5, ("p1", 9.0): 9.0}
    alone = {"id": "p1", "t": 9.0, "a": None, "b": None, "a_imputed": False, "b_imputed": False}
    kept = imputed.table.drop_columns("new").to_pylist()
    assert alone in kept and [row for row in kept if row != alone] == before.table.to_pylist()
    assert imputed.notes == [
        "1 rows were left as they are: of codes that training never had",
        "m.new: 3 values that training never had; they count as unknown",
    ]
    with pytest.raises(DataError, match="'t' is the name of both; rename either"):
        strange = strange.set_column(2, "what", pa.array(["t"] * 4))
        impute(model, data | {"long": pa.concat_tables([data["long"], strange])})


def test_codes_that_were_not_chosen_are_no_news(tmp_path: Path) -> None:
    """Caught: with `columns` all others were told as unknown."""
    model, data = build(tmp_path, LONG | {"columns": ["a"]})
    imputed = impute(model, data)
    assert imputed.table.column_names == ["id", "t", "a", "a_imputed"] and not imputed.notes


def test_whole_numbers_without_a_gap_stay(tmp_path: Path) -> None:
    """Caught: 2^60 + 1 in a complete column came out as 2^60. Beside a gap it has to, and is told."""
    model, _ = build(tmp_path, WIDE)
    big, whole = 2**60 + 1, pa.int64()
    lab = {"id": ["p0"] * 3, "t": [1.0, 2.0, 3.0], "a": pa.array([1, 2, big], whole)}
    imputed = impute(model, {"lab": pa.table(lab | {"b": pa.array([big, None, 2**60], whole)})})
    assert imputed.table["a"].type == whole and imputed.table["a"].to_pylist() == [1, 2, big]
    assert imputed.table["b"].type == pa.float64() and imputed.table["b_imputed"].to_pylist()[1]
    assert imputed.table["b"].to_pylist()[::2] == [2.0**60, 2.0**60]
    assert imputed.notes == ["b: 1 whole numbers beyond 2^53 were rounded; a filled column has floats"]


def test_no_rows_at_all(tmp_path: Path) -> None:
    model, data = build(tmp_path, WIDE)
    assert impute(model, {"lab": data["lab"].slice(0, 0)}).table.num_rows == 0


def test_what_cannot_be_filled_is_told(tmp_path: Path) -> None:
    model, data = build(tmp_path, WIDE)
    with pytest.raises(ConfigError, match="a column 'a_imputed', as a mark is called; rename it"):
        impute(model, {"lab": data["lab"].append_column("a_imputed", data["lab"]["a"])})
    with pytest.raises(ConfigError, match="--task x: must be of kind 'imputation'"):
        impute(model, data, task="x")
    tasks = {f"fill_{m}": {"kind": "imputation", "modality": m} for m in "vw"}
    two, data = build(tmp_path, WIDE, modalities={"v": WIDE, "w": WIDE}, tasks=tasks)
    with pytest.raises(ConfigError, match="fills one modality at a time; name a task of fill_v, fill_w"):
        impute(two, data)
