"""Every rule on data: the message names file, column and row, and nothing is left behind."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from mmseq.errors import ConfigError, DataError
from mmseq.sources import Pivot, Reading, Source
from mmseq.sources.memory import MemorySource
from mmseq.sources.records import RecordsSource
from mmseq.sources.tables import MISSING, TablesSource
from mmseq.store import Plan, prepare

VITALS = "id,t,hr,drug\na,0,80,x\na,1,NA,y\nb,0,,x\nc,5,70.5,\n"
LABELS = "id,t,y,n\na,1,pos,1\nb,2,neg,2\n"
SAMPLES = "id,ward,part,last\na,w1,train,5\nb,w1,train,\nc,w2,test,9\n"
EVENTS = {"vitals": Reading("vitals.csv", "t", ("hr",)), "drugs": Reading("vitals.csv", "t", codes=("drug",))}
TASK = {"y": Reading("labels.csv", codes=("y",))}

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(**files: str) -> None:
        content = {"vitals": VITALS, "labels": LABELS, "samples": SAMPLES} | files
        for name, lines in content.items():
            (tmp_path / f"{name}.csv").write_text(lines)

    return write


def fails(folder: Path, plan: Plan, source: Source | None = None, group: str | None = None) -> str:
    """The message of the DataError, once it is sure that nothing is left."""
    source = source or TablesSource(root=folder, id="id", group=group, missing=MISSING)
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError) as caught:
        prepare(plan, source, folder / "new" / "stores")
    assert sorted(folder.rglob("*")) == before
    return str(caught.value).replace(f"{folder}/", "")


CELLS = {
    "text in a number": (
        VITALS.replace("70.5", "7o.5"),
        "vitals.csv row 5, column 'hr': a number must be finite, or missing; '7o.5' came; "
        "correct it or drop the row, or list it in data.source.missing where it stands for none",
    ),
    "two numbers in one": (
        VITALS.replace("70.5", "120_80"),
        "vitals.csv row 5, column 'hr': a number must be finite, or missing; '120_80' came; ",
    ),
    "two numbers in a time": (VITALS.replace("c,5", "c,1_5"), "row 5, column 't': a time must be a finite"),
    "a number without a square": (
        VITALS.replace("70.5", "-1e141"),
        "vitals.csv row 5, column 'hr': a number must lie within ±1e140, for sums of squares of "
        "larger ones overflow: give it in a larger unit; '-1e141' came; correct it or drop the row, or ",
    ),
    "infinity": (
        VITALS.replace("80", "-inf"),
        "row 2, column 'hr': a number must be finite, or missing; '-inf'",
    ),
    "missing time": (
        VITALS.replace("a,1", "a,"),
        "row 3, column 't': a time must be a finite number, where",
    ),
    "nan time": (VITALS.replace("a,1", "a,nan"), "row 3, column 't': a time must be a finite number"),
    "infinite time": (VITALS.replace("c,5", "c,inf"), "row 5, column 't': a time must be a finite number"),
    "unparsable time": (VITALS.replace("b,0", "b,noon"), "row 4, column 't': a time must be a finite number"),
    "null id": (VITALS.replace("b,0", ",0"), "row 4, column 'id': every row needs a sample id; nothing came"),
    "null id in quotes": (VITALS.replace("b,0", '"",0'), "row 4, column 'id': every row needs a sample id"),
    "too many cells": (
        VITALS.replace("b,0,,x", "b,0,,x,9"),
        "vitals.csv row 4, after column 'drug': a row has a cell for each of 4 columns; 5 came; quote cells "
        "that hold ',', or drop the row",
    ),
    "too few cells": (
        VITALS.replace("b,0,,x", "\n\nb,0"),
        "vitals.csv row 4, column 'hr': a row has a cell for each of 4 columns; 2 came; add what is missing",
    ),
    "open quote": (
        VITALS.replace("b,0,,x", 'b,0,,"x'),
        "row 4, column 'drug': a quote that is opened must be closed; this one never is; correct it",
    ),
    "after a quote": (
        VITALS.replace("b,0,,x", 'b,0,,"x"y'),
        "row 4, column 'drug': a cell in quotes ends with its quote; more came after it; double the quotes",
    ),
    "rows after a cell of two lines": (
        VITALS.replace("80,x", '80,"x\ny"').replace("b,0,,x", "b,0,,x,9"),
        "vitals.csv row 4, after column 'drug': a row has a cell",
    ),
    "line ends that differ": (
        VITALS.replace("a,1,NA,y\n", "a,1,NA,y\r\n"),
        "vitals.csv row 3, after column 'drug': all rows must end alike; CRLF came after LF; convert",
    ),
    "line ends of old": (
        VITALS.replace("b,0,,x", "b,0,,x,9").replace("\n", "\r"),
        "vitals.csv row 4, after column 'drug': a row has a cell for each of 4 columns; 5 came; quote cells",
    ),
    "NUL in an id": (
        VITALS.replace("b,0", "a\0,0"),
        "row 4, column 'id': a sample id has no NUL character; 'a\\x00' came; correct it or drop the row",
    ),
    "NUL in a category": (VITALS.replace(",,x", ",,x\0"), "row 4, column 'drug': a category has no NUL char"),
    "NUL in the header": (
        "id,t,hr,drug,\0\na,0,1,x,\n",
        "vitals.csv row 1: must be UTF-8 text; byte 0x00 came",
    ),
    "a time that float64 rounds": (
        VITALS.replace("c,5", "c,9007199254740993"),
        "row 5, column 't': a time must be below 2^53 (9,007,199,254,740,992): beyond it float64 merges "
        "neighbours; '9007199254740993' came",
    ),
    "a long cell": (
        VITALS.replace("70.5", "x" * 5000),
        f"row 5, column 'hr': a number must be finite, or missing; '{'x' * 79}… (5,000 characters) came",
    ),
    "no rows": ("id,t,hr,drug\n", "vitals.csv: a table needs rows; it has none; drop it or give it rows"),
    "empty file": ("", "vitals.csv row 1: every column needs a name"),
    "a column twice": (
        "id,t,hr,hr,drug\na,1,2,3,4\n",
        "a column must have a name of its own; ['hr'] come twice",
    ),
    "missing column": (
        VITALS.replace("hr", "heart"),
        "modality 'vitals' reads column 'hr'; the table has id, t, ",
    ),
}


@pytest.mark.parametrize("case", CELLS)
def test_cells(case: str, tmp_path: Path, write: Write) -> None:
    content, message = CELLS[case]
    write(vitals=content)
    assert message in fails(tmp_path, Plan(EVENTS, TASK))


def test_rows_in_a_large_file(tmp_path: Path, write: Write) -> None:
    rows = [f"a,{i},{i % 7},x" for i in range(30_000)]
    rows[21_234] = "a,21234,oops,x"
    write(vitals="id,t,hr,drug\n" + "\n".join(rows) + "\n")
    assert "vitals.csv row 21236, column 'hr'" in fails(tmp_path, Plan(EVENTS, {}))


def test_did_you_mean(tmp_path: Path, write: Write) -> None:
    write(vitals=VITALS.replace(",drug", ",drugs"))
    message = fails(tmp_path, Plan(EVENTS, TASK))
    assert "modality 'drugs' reads column 'drug'" in message
    assert message.endswith("did you mean 'drugs'?")
    message = fails(tmp_path, Plan({"vitals": Reading("vital.csv", "t", ("hr",))}, TASK))
    assert message.startswith("vital.csv: a table must be a file below `root`; there is none; did you mean")


LABEL_CASES: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "absent sample": (
        {"labels": LABELS + "zz,1,pos,3\n"},
        {},
        "labels.csv row 4, column 'id': a label is for a sample that exists; 1 labels of task 'y' are not, "
        "the first for 'zz'; drop them, or set data.absent_labels: drop",
    ),
    "two rows": (
        {"labels": LABELS + "a,1,neg,1\n"},
        {},
        "labels.csv row 2 and row 4, column 'id': without a time column, 'y' has one row a sample; "
        "sample 'a' has 2",
    ),
    "two equal rows": (
        {"labels": LABELS + "a,1,pos,1\n"},
        {},
        "labels.csv row 2 and row 4, column 'id': without a time",
    ),
    "all absent": (
        {"labels": "id,t,y,n\nq,1,pos,1\n"},
        {"absent_labels": "drop"},
        "labels.csv: 'y' needs at least one label; of 1 rows none is left (1 of absent samples); check ids",
    ),
}


@pytest.mark.parametrize("case", LABEL_CASES)
def test_labels(case: str, tmp_path: Path, write: Write) -> None:
    files, options, message = LABEL_CASES[case]
    write(**files)
    assert message in fails(tmp_path, Plan(EVENTS, TASK, **options))


SAMPLE_CASES: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "duplicate id": (
        {"samples": SAMPLES + "a,w1,train,3\n"},
        {},
        "samples.csv row 2 and row 5, column 'id': the table of samples has one row a sample; 'a' comes",
    ),
    "split": (
        {"samples": SAMPLES.replace("test", "tests")},
        {"split": "part"},
        "samples.csv row 4, column 'part': a split is one of train, validation, test; tests came; "
        "did you mean 'test'?",
    ),
    "no split": (
        {"samples": SAMPLES.replace("test", "")},
        {"split": "part"},
        "row 4, column 'part': a split is",
    ),
    "split column": ({}, {"split": "prt"}, "data.split.column reads column 'prt'; the table has id, ward"),
    "until column": (
        {},
        {"until": "lst"},
        "data.until reads column 'lst'; the table has id, ward, part, last; ",
    ),
    "until text": (
        {"samples": SAMPLES.replace("9", "soon")},
        {"until": "last"},
        "row 4, column 'last': a last time must be a number, as the events' times are, or missing; 'soon'",
    ),
    "until of another sort": (
        {},
        {"until": "2024-01-01"},
        "data.until: a last time is a number, as the events'",
    ),
    "nothing before until": (
        {},
        {"until": -1.0},
        "vitals.csv: 'vitals' needs at least one event; of 4 rows none is left (4 after until); check ids",
    ),
    "no event of a sample": (
        {"samples": "id,ward,part,last\nq,w,test,1\n"},
        {},
        "vitals.csv: 'vitals' needs at least one event; of 4 rows none is left (4 of absent samples)",
    ),
}


@pytest.mark.parametrize("case", SAMPLE_CASES)
def test_samples(case: str, tmp_path: Path, write: Write) -> None:
    files, options, message = SAMPLE_CASES[case]
    write(**files)
    assert message in fails(tmp_path, Plan(EVENTS, {}, samples="samples.csv", **options))


GROUP_CASES = {
    "two groups": (
        "id,g\na,1\nb,1\na,2\nc,1\n",
        "column 'g': every sample is in one group; sample 'a' has '1' and '2'",
    ),
    "no group": ("id,g\na,1\nb,1\n", "column 'g': every sample is in one group; sample 'c' has none"),
    "null group": (
        "id,g\na,1\nb,\nc,1\n",
        "groups.csv row 3, column 'g': every sample is in one group; sample 'b'",
    ),
}


@pytest.mark.parametrize("case", GROUP_CASES)
def test_groups(case: str, tmp_path: Path, write: Write) -> None:
    content, message = GROUP_CASES[case]
    write(groups=content)
    plan = Plan(EVENTS | {"other": Reading("groups.csv", codes=("g",))}, {})
    if case == "two groups":
        plan = Plan(EVENTS | {"other": Reading("groups.csv", pivot=Pivot("g", "g"))}, {})
    assert message in fails(tmp_path, plan, group="g")


def test_no_table_has_the_group(tmp_path: Path, write: Write) -> None:
    write()
    message = fails(tmp_path, Plan(EVENTS, TASK, samples="samples.csv"), group="wards")
    assert "data.source.group: some table must have the column 'wards'; none of " in message
    assert message.endswith("did you mean 'ward'?")


def test_static_modality_with_two_rows(tmp_path: Path, write: Write) -> None:
    write(samples="id,ward\na,w1\nb,w2\na,w3\n")
    plan = Plan(EVENTS | {"person": Reading("samples.csv", codes=("ward",))}, {})
    assert "samples.csv row 2 and row 4, column 'id': without a time column, 'person' has one row" in fails(
        tmp_path, plan
    )


def test_clocks_of_two_sorts(tmp_path: Path, write: Write) -> None:
    write(labels="id,t,y\na,2024-01-01,pos\n")
    message = fails(tmp_path, Plan(EVENTS, {"y": Reading("labels.csv", "t", codes=("y",))}))
    assert "timeline: all times are numbers, or all are dates and times; numbers came in modality" in message
    assert "dates in task 'y' (labels.csv, column 't')" in message


@pytest.mark.parametrize("moment", ["2024-02-30", "1677-09-20", "2500-01-01", "infinity", "5", ""])
def test_bad_moment(moment: str, tmp_path: Path, write: Write) -> None:
    """Times beyond nanoseconds of 64 bits are located, too."""
    write(vitals=f"id,t,hr,drug\na,2024-02-28T10:00:00,80,x\na,{moment},81,y\n")
    message = fails(tmp_path, Plan(EVENTS, {}))
    assert "vitals.csv row 3, column 't': a time must be a date and time, as the first one" in message


@pytest.mark.parametrize("moment", ["03/31/2024 00:30", "31.03.2024", "00:30"])
def test_dates_of_another_form(moment: str, tmp_path: Path, write: Write) -> None:
    """Caught: the first one of a column was refused as no number, 'as the first one in its column is'."""
    write(vitals=f"id,t,hr,drug\na,{moment},80,x\n")
    assert (
        "row 2, column 't': a time must be a finite number, where its column does not begin with a date and "
        f"time as 2024-02-28T10:00:00 is; {moment!r} came; correct it or drop the row"
    ) in fails(tmp_path, Plan(EVENTS, {}))


@pytest.mark.parametrize("word", ["nan", "-NaN", "nan(1)"])
def test_nan_that_is_not_declared_missing(word: str, tmp_path: Path, write: Write) -> None:
    """Text and the number, in CSV and in Parquet; a null is missing all the same."""
    write(vitals=VITALS.replace("NA", word))
    frame = pyarrow.table({"id": ["a", "b"], "t": [0, 1], "hr": [None, float("nan")]})
    pyarrow.parquet.write_table(frame, tmp_path / "v.parquet")
    source = TablesSource(root=tmp_path, id="id", group=None, missing=["", "-1"])
    for name, row in (("vitals.csv", 3), ("v.parquet", 2)):
        message = fails(tmp_path, Plan({"v": Reading(name, "t", ("hr",))}), source)
        assert f"{name} row {row}, column 'hr': a number must be finite, or missing; " in message


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("column", ["id", "drug"])
def test_categories_and_ids_that_are_no_number(column: str, value: float, tmp_path: Path) -> None:
    columns = {"id": ["a", "b"], "t": [0, 1], "drug": ["x", "y"]} | {column: [1.0, value]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "v.parquet")
    source = TablesSource(root=tmp_path, id="id", group=None, missing=[""])
    message = fails(tmp_path, Plan({"v": Reading("v.parquet", "t", codes=("drug",))}), source)
    assert f"v.parquet row 2, column {column!r}: " in message
    assert f"{str(value)!r} came" in message


@pytest.mark.parametrize("cell", [["x"], {"x": 1}])
def test_nested_cells(cell: Any, tmp_path: Path) -> None:
    """A list is no category, in whatever form it comes."""
    row = {"id": "a", "t": 0, "drug": cell}
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([row | {"drug": None}, row]), tmp_path / "v.parquet"
    )
    (tmp_path / "v.jsonl").write_text(f"{json.dumps(row | {'drug': 'z'})}\n\n{json.dumps(row)}\n")
    (tmp_path / "r.jsonl").write_text('{"id": "b"}\n' + json.dumps({"id": "a", "v": [row]}))
    reading = Reading("v", "t", codes=("drug",))
    rule = "column 'drug': a category is one value, no list and no object; "
    for name in ("v.parquet", "v.jsonl"):
        message = fails(tmp_path, Plan({"v": Reading(name, "t", codes=("drug",))}))
        assert f"{name} row 2, {rule}" in message
    records = RecordsSource(path=tmp_path / "r.jsonl", id="id", group=None)
    assert f"r.jsonl, 'v' record 2, {rule}" in fails(tmp_path, Plan({"v": reading}), records)
    memory = MemorySource({"v": [row | {"drug": None}, row]}, id="id", group=None)
    assert f"table 'v' row 2, {rule}" in fails(tmp_path, Plan({"v": reading}), memory)


JSON_CASES = {
    "a key twice": ('{"id": "b", "t": 1, "hr": 1, "hr": 2}', "row 2, column 'hr': a key stands once in an"),
    "a key in two cases": ('{"id": "b", "t": 1, "hr": 1, "HR": 2}', "row 2, column 'HR': a key stands once"),
    "no name": ('{"id": "b", "": 1}', "row 2, column '': a key needs a name; name or drop it"),
    "another spelling": ('{"id": "b", "t": 1, "HR": 2}', "row 2, column 'HR': a key is spelt one way in all"),
    "half an object": ('{"id": "b", "t": 1,', "row 2: must be an object of JSON; Expecting"),
    "two objects": ('{"id": "b"} {"id": "c"}', "row 2: must be an object of JSON; Extra data"),
    "a list": ("[1]", "row 2: must be an object of JSON; list came"),
    "half a pair": ('{"id": "b", "t": 1, "hr": "\\ud800"}', "row 2: must be UTF-8 text; half of a surrogate"),
}


@pytest.mark.parametrize("case", JSON_CASES)
def test_lines_that_are_no_rows(case: str, tmp_path: Path) -> None:
    line, message = JSON_CASES[case]
    (tmp_path / "v.jsonl").write_text(f'{{"id": "a", "t": 0, "hr": 1}}\n\n{line}\n')
    assert f"v.jsonl {message}" in fails(tmp_path, Plan({"v": Reading("v.jsonl", "t", ("hr",))}))


def test_a_field_that_is_a_value_and_a_list(tmp_path: Path) -> None:
    """Null stands for either."""
    lines = ('{"id": "a", "age": null, "v": [{"t": 0}]}', '{"id": "b", "age": 3, "v": null}')
    last = '{"id": "c", "age": [4]}'
    plan = Plan({"age": Reading("samples", None, ("age",)), "v": Reading("v", "t")}, samples="samples")
    source = RecordsSource(path=tmp_path / "r.jsonl", id="id", group=None)
    (tmp_path / "r.jsonl").write_text("\n".join([*lines, last]))
    rule = "r.jsonl record 3, column 'age': a number must be finite, or missing; '[4]' came"
    assert rule in fails(tmp_path, plan, source)
    (tmp_path / "r.jsonl").write_text("\n".join(lines).replace("age", "Age"))
    assert "the table has Age, id; did you mean 'Age'?" in fails(tmp_path, plan, source)


RECORD_KEYS = {
    "no name": ('{"id": "b", "v": [{"t": 0, "": 1}]}', "column '': a key needs a name; name or drop it"),
    "twice": (
        '{"id": "b", "v": [{"t": 0, "hr": 1, "hr": 2}]}',
        "column 'hr': a key stands once in an object",
    ),
    "twice in a record": ('{"id": "b", "v": [], "v": [{"t": 0}]}', "column 'v': a key stands once"),
    "two cases": (
        '{"id": "b", "v": [{"t": 0, "HR": 2}]}',
        "column 'HR': a key is spelt one way in all objects",
    ),
    "two cases of a field": ('{"id": "b", "V": [{"t": 0}]}', "column 'V': a key is spelt one way in all"),
    "half a record": ('{"id": "b", "v": [', "must be an object of JSON"),
}


@pytest.mark.parametrize("case", RECORD_KEYS)
def test_keys_of_records(case: str, tmp_path: Path) -> None:
    """A key in two spellings is one column to a database, which would take the value of the other."""
    line, message = RECORD_KEYS[case]
    (tmp_path / "r.jsonl").write_text(f'{{"id": "a", "v": [{{"t": 0, "hr": 1}}]}}\n{line}\n')
    source = RecordsSource(path=tmp_path / "r.jsonl", id="id", group=None)
    told = fails(tmp_path, Plan({"v": Reading("v", "t", ("hr",))}), source)
    assert "r.jsonl record 2" in told
    assert message in told


def test_a_column_twice(tmp_path: Path) -> None:
    """Of two columns of one name, none is taken."""
    arrays = [pyarrow.array(["a"]), pyarrow.array([0]), pyarrow.array([1.0]), pyarrow.array([2.0])]
    table = pyarrow.Table.from_arrays(arrays, names=["id", "t", "x", "x"])
    pyarrow.parquet.write_table(table, tmp_path / "v.parquet")
    rule = "a column must have a name of its own; ['x'] come twice; rename one"
    assert f"v.parquet: {rule}" in fails(tmp_path, Plan({"v": Reading("v.parquet", "t", ("x",))}))
    for rows in (table, pandas.DataFrame([["a", 0, 1.0, 2.0]], columns=["id", "t", "x", "x"])):
        with pytest.raises(DataError, match=re.escape(f"table 'v': {rule}")):
            MemorySource({"v": rows}, id="id", group=None)


def test_pivot_code_that_never_occurs(tmp_path: Path, write: Write) -> None:
    write(labs="id,t,code,value\na,1,sodium,3\n")
    reading = Reading("labs.csv", "t", ("sodum",), pivot=Pivot("code", "value"))
    message = fails(tmp_path, Plan({"labs": reading}, {}))
    assert "labs.csv, column 'code': modality 'labs' reads the code 'sodum'; no row has it" in message
    assert "did you mean 'sodium'?" in message


def test_column_of_no_table(tmp_path: Path, write: Write) -> None:
    write()
    source = TablesSource(root=tmp_path, id="id", group=None, missing=MISSING)
    with pytest.raises(
        ConfigError, match=r"data\.until: 'last' is a column of the table of samples, and there"
    ):
        prepare(Plan(EVENTS, TASK, until="last"), source, tmp_path / "stores")


def test_paths_stay_below_root(tmp_path: Path, write: Write) -> None:
    write()
    for name in ("../vitals.csv", str(tmp_path / "vitals.csv")):
        assert "a table is a path below `root`" in fails(
            tmp_path, Plan({"v": Reading(name, "t", ("hr",))}, {})
        )
    (tmp_path / "vitals.xlsx").write_bytes(b"PK")
    message = fails(tmp_path, Plan({"v": Reading("vitals.xlsx", "t", ("hr",))}, {}))
    assert "vitals.xlsx: a table is a file of CSV, Parquet or JSONL; this ending is none of .csv" in message


def test_broken_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(b"not gzip")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(VITALS.encode() * 5_000)[:-20])
    (tmp_path / "c.csv").write_bytes(b"id,t,hr\na,1,\xff\xfe\n")
    (tmp_path / "d.parquet").write_bytes(b"PAR1 nothing PAR1")
    (tmp_path / "e.jsonl").write_text('{"id": 1, "t": 0, "hr": 2}\n{"id": 2, "t"\n')
    for name in ("a.csv.gz", "b.csv.gz", "c.csv", "d.parquet", "e.jsonl"):
        message = fails(tmp_path, Plan({"v": Reading(name, "t", ("hr",))}, {}))
        assert name in message
    for content in (b"id,t,hr\na,1,2\na,1,\xff\xfe\n", b"id,t,hr\n" + b"a,1,2\n" * 9_000 + b"a,1,\xe9\n"):
        (tmp_path / "c.csv").write_bytes(content)
        message = fails(tmp_path, Plan({"v": Reading("c.csv", "t", ("hr",))}))
        bad = next(i for i, line in enumerate(content.split(b"\n"), start=1) if not line.isascii())
        assert f"c.csv row {bad}, column 'hr': must be UTF-8 text; byte " in message


def test_other_formats_name_the_row(tmp_path: Path) -> None:
    rows = [{"id": "a", "t": 0, "hr": "80"}, {"id": "a", "t": 1, "hr": "high"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "v.parquet")
    (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("v.parquet", "v.jsonl"):
        message = fails(tmp_path, Plan({"v": Reading(name, "t", ("hr",))}, {}))
        assert f"{name} row 2, column 'hr': a number must be finite, or missing; 'high' came" in message


def test_memory_names_the_row(tmp_path: Path) -> None:
    rows = [{"id": "a", "t": 0, "hr": 80}, {"id": "a", "t": 1, "hr": "high"}]
    plan = Plan({"v": Reading("v", "t", ("hr",))}, {})
    message = fails(tmp_path, plan, MemorySource({"v": rows}, id="id", group=None))
    assert "table 'v' row 2, column 'hr': a number must be finite, or missing; 'high' came" in message


COLUMNS = {
    "one value": (3, "table 'v', column 'c': needs a list or an array, a value a row; int came"),
    "text": ("ab", "table 'v', column 'c': needs a list or an array, a value a row; str came"),
    "no order": ({"p", "q"}, "table 'v', column 'c': needs a list or an array, a value a row; set came"),
    "half a pair": (
        ["p", "\ud800"],
        "table 'v' row 2, column 'c': must be text of whole characters; '\\ud800' came",
    ),
    "too few": (["p"], "table 'v': columns must be of one length; {'id': 2, 't': 2, 'c': 1} came"),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_in_memory(case: str) -> None:
    values, message = COLUMNS[case]
    with pytest.raises(DataError) as caught:
        MemorySource({"v": {"id": [1, 2], "t": [0, 1], "c": values}}, id="id", group=None)
    assert str(caught.value).startswith(message)


def test_a_period_is_no_number(tmp_path: Path) -> None:
    """It would come as the months since 1970."""
    rows = pandas.DataFrame(
        {"id": [1, 1], "t": pandas.period_range("2024-01", periods=2, freq="M"), "hr": [1, 2]}
    )
    message = fails(
        tmp_path, Plan({"v": Reading("v", "t", ("hr",))}), MemorySource({"v": rows}, id="id", group=None)
    )
    assert "table 'v' row 1, column 't': a time must be a finite number" in message
    assert "'2024-01' came" in message


RECORD_CASES = {
    "number": ({"v": [{"t": 0, "hr": 1}, {"t": 1, "hr": "high"}]}, "record 2, column 'hr': a number must be"),
    "not a list": ({"v": 3}, "record 2, field 'v': a table is a list of objects; 3 came"),
    "not objects": ({"v": [1, 2]}, "record 2, field 'v': a table is a list of objects; 1 came"),
    "no id": ({"id": None, "v": [{"t": 0, "hr": 1}]}, "record 2, column 'id': every row needs a sample id"),
    "the id again": ({"id": "r1"}, "record 1 and record 2, column 'id': the table of samples has one row"),
}


@pytest.mark.parametrize("case", RECORD_CASES)
def test_records(case: str, tmp_path: Path) -> None:
    record, message = RECORD_CASES[case]
    first = {"id": "r1", "v": [{"t": 0, "hr": 60}]}
    (tmp_path / "r.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps({'id': 'r2'} | record)}\n")
    source = RecordsSource(path=tmp_path / "r.jsonl", id="id", group=None)
    assert message in fails(tmp_path, Plan({"v": Reading("v", "t", ("hr",))}, {}), source)


def test_records_without_the_field(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"id": 1, "vitals": [{"t": 0, "hr": 1}], "age": 3}\n')
    source = RecordsSource(path=tmp_path / "r.jsonl", id="id", group=None)
    message = fails(tmp_path, Plan({"v": Reading("vital", "t", ("hr",))}, {}), source)
    assert "no record has a list 'vital'; did you mean 'vitals'?; tables: samples, vitals" in message
    source = RecordsSource(path=tmp_path / "none", id="id", group=None)
    assert "none: records must be in files; there is none" in fails(
        tmp_path, Plan({"v": Reading("v")}, {}), source
    )
