"""How cells become numbers, codes and times, whatever type they come in."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

from mmseq.errors import DataError
from mmseq.sources import Pivot, Reading
from mmseq.sources.memory import MemorySource
from mmseq.sources.records import RecordsSource
from mmseq.sources.tables import MISSING, TablesSource
from mmseq.store import Plan, Store, prepare
from mmseq.store.timeline import bin_ends


def store_of(folder: Path, rows: Any, reading: Reading, **plan: Any) -> Store:
    source = MemorySource({"v": rows}, id="id", group=None)
    return prepare(Plan({"v": reading}, **plan), source, folder)


def values(store: Store) -> np.ndarray:
    return store.gather(np.arange(len(store))).events["v"].arrays["values"]


def words(store: Store, name: str = "v") -> list[str | None]:
    code = store.gather(np.arange(len(store))).events[name].arrays["code"][:, 0]
    return [None if c < 0 else store.vocabularies(name)[0][c] for c in code]


NOON = datetime(2024, 3, 31, 12, 0, tzinfo=UTC)
MOMENTS = {
    "naive": [NOON.replace(tzinfo=None), NOON.replace(tzinfo=None) + timedelta(hours=1)],
    "aware": [NOON, NOON.astimezone(timezone(timedelta(hours=5))) + timedelta(hours=1)],
    "text": ["2024-03-31T12:00:00", "2024-03-31 13:00"],
    "text with zones": ["2024-03-31T14:00:00+02:00", "2024-03-31T08:00:00-05:00"],
    "text in UTC": ["2024-03-31T12:00:00Z", "2024-03-31T13:00:00.000Z"],
    "numpy": np.array(["2024-03-31T12", "2024-03-31T13"], "datetime64[ns]"),
}


@pytest.mark.parametrize("form", MOMENTS)
@pytest.mark.parametrize("frame", [dict, pandas.DataFrame, polars.DataFrame])
def test_moments(form: str, frame: Any, tmp_path: Path) -> None:
    rows = frame({"id": [1, 1], "t": MOMENTS[form], "x": [1.0, 2.0]})
    store = store_of(tmp_path, rows, Reading("v", "t", ("x",)), unit="minutes")
    assert store.gather(np.array([0])).time.tolist() == [0.0, 60.0]
    assert store.origins.tolist() == [int(NOON.timestamp()) * 10**9]
    assert store.manifest.clock == "moment"


def test_dates(tmp_path: Path) -> None:
    rows = {"id": [1, 1], "t": [date(2024, 3, 1), date(2024, 2, 27)], "x": [1.0, 2.0]}
    store = store_of(tmp_path, rows, Reading("v", "t", ("x",)), unit="days")
    assert (store.gather(np.array([0])).time.tolist(), values(store)[:, 0].tolist()) == ([0, 3], [2, 1])


def test_nanoseconds_are_kept(tmp_path: Path) -> None:
    times = np.array([0, 1, 1_000_000_007], "datetime64[ns]")
    store = store_of(tmp_path, {"id": [1] * 3, "t": times, "x": [1.0] * 3}, Reading("v", "t", ("x",)))
    assert store.gather(np.array([0])).time.tolist() == [0.0, 1e-9, 1.000000007]


def test_nanoseconds_of_text_are_kept(tmp_path: Path) -> None:
    """Nine digits, with and without an offset, also before 1970."""
    texts = [
        "1969-12-31T23:59:59.999999999Z",
        "1970-01-01 02:00:00.0000000015+02",
        "1970-01-01T00:00:00.00000001",
    ]
    rows = {"id": [1] * 3, "t": texts, "x": [1.0] * 3}
    store = store_of(tmp_path, rows, Reading("v", "t", ("x",)))
    assert (store.origins.tolist(), store.gather(np.array([0])).time.tolist()) == ([-1], [0.0, 2e-9, 11e-9])


def test_until_moments(tmp_path: Path) -> None:
    times = ["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00"]
    rows = {"id": [1] * 3, "t": times, "x": [1.0, 2.0, 3.0]}
    for until, kept in (("2024-01-01T01:00:00", 2), ("2024-01-01T02:30:00+01:00", 2), ("2024-01-01", 1)):
        store = store_of(tmp_path, rows, Reading("v", "t", ("x",)), until=until)
        assert len(values(store)) == kept
        assert store.entry("v").report["after until"] == 3 - kept


def test_numbers_of_every_type(tmp_path: Path) -> None:
    for x in ([1, None, 3], ["1", "", "3.0"], [True, None, True], np.array([1, np.nan, 3], "f4")):
        got = values(store_of(tmp_path, {"id": [1] * 3, "t": [0, 1, 2], "x": x}, Reading("v", "t", ("x",))))
        want = [1, np.nan, 1 if x[0] is True else 3]
        np.testing.assert_array_equal(got[:, 0], np.array(want, np.float32))


@pytest.mark.parametrize("frame", [dict, pandas.DataFrame, polars.DataFrame, pyarrow.table])
def test_nan_in_memory_is_missing(frame: Any, tmp_path: Path) -> None:
    """As null is, in a column of numbers of any width; in one of categories, too."""
    for dtype in ("f2", "f4", "f8"):
        x = np.array([1, np.nan, 3], dtype)
        if frame is polars.DataFrame and dtype == "f2":
            continue
        rows = frame({"id": [1] * 3, "t": [0, 1, 2], "x": x})
        got = values(store_of(tmp_path, rows, Reading("v", "t", ("x",))))
        np.testing.assert_array_equal(got[:, 0], np.array(x, np.float32))
        assert words(store_of(tmp_path, rows, Reading("v", "t", codes=("x",)))) == ["1", None, "3"]


@pytest.mark.parametrize(
    "nothing", [None, np.nan, pandas.NA, pandas.NaT, Decimal("NaN"), np.datetime64("NaT")]
)
def test_nothing_in_a_mixed_column(nothing: Any, tmp_path: Path) -> None:
    """Whatever stands for it, it is no word; an array is told as what it is."""
    for frame in (dict, pandas.DataFrame):
        rows = frame({"id": [1] * 3, "t": [0, 1, 2], "c": [nothing, "a", 3]})
        assert words(store_of(tmp_path, rows, Reading("v", "t", codes=("c",)))) == [None, "a", "3"]
    rows = {"id": [1] * 3, "t": [0, 1, 2], "x": [nothing, np.zeros(2), 3.0]}
    with pytest.raises(DataError, match="table 'v' row 2, column 'x': a number must be finite"):
        store_of(tmp_path, rows, Reading("v", "t", ("x",)))


def test_numbers_that_are_declared_missing(tmp_path: Path) -> None:
    """NaN and infinity, too, as text and as numbers."""
    columns = {"id": ["1"] * 4, "t": [0, 1, 2, 3], "x": [1.0, np.inf, np.nan, -1.0]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "v.parquet")
    (tmp_path / "v.csv").write_text("id,t,x\n1,0,1\n1,1,Infinity\n1,2,nan\n1,3,-1.0\n")
    source = TablesSource(root=tmp_path, id="id", group=None, missing=["NaN", "inf", "-1"])
    for name in ("v.parquet", "v.csv"):
        store = prepare(Plan({"v": Reading(name, "t", ("x",))}), source, tmp_path / "stores")
        np.testing.assert_array_equal(values(store)[:, 0], np.array([1, np.nan, np.nan, np.nan], np.float32))


def test_integers_that_no_machine_word_holds(tmp_path: Path) -> None:
    for c in ([2**70, None], [2**64 - 1, None], np.array([2**70, None], object)):
        rows = {"id": [1, 1], "t": [0, 1], "c": c}
        assert words(store_of(tmp_path, rows, Reading("v", "t", codes=("c",)))) == [str(c[0]), None]
        assert values(store_of(tmp_path, rows, Reading("v", "t", ("c",))))[0, 0] == np.float32(c[0])


def test_a_mean_of_large_numbers_is_exact(tmp_path: Path) -> None:
    """And so is a sum of their squares. Caught: a limit of float32."""
    rows = {"id": [1] * 4, "t": [1, 1, 1, 2], "k": ["a", "a", "b", "b"], "x": [5e139, 7e139, -1e140, 3.0]}
    store = store_of(tmp_path, rows, Reading("v", "t", pivot=Pivot("k", "x")))
    np.testing.assert_allclose(values(store), [[6e139, -1e140], [np.nan, 3.0]], rtol=1e-15)
    assert store.entry("v").report["averaged cells"] == 1


def test_a_parquet_nan_that_is_not_declared_is_refused(tmp_path: Path) -> None:
    """Caught: a bound alone, which DuckDB takes as kept where the file's own statistics say so."""
    pyarrow.parquet.write_table(
        pyarrow.table({"id": [1, 1], "t": [0, 1], "x": [1.0, np.nan]}), tmp_path / "v.parquet"
    )
    source = TablesSource(root=tmp_path, id="id", group=None, missing=["", "NA"])
    with pytest.raises(DataError, match="row 2, column 'x': a number must be finite, or missing"):
        prepare(Plan({"v": Reading("v.parquet", "t", ("x",))}), source, tmp_path / "stores")


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_a_large_number_may_stand_for_missing(tmp_path: Path, kind: str) -> None:
    """Fill values such as 1e20 or 9.96921e36. Caught: refused for their size, though they are declared."""
    (tmp_path / "v.csv").write_text("id,t,x\n1,0,1e20\n1,1,-3.4028235e38\n1,2,2.5\n")
    rows = {"id": [1] * 3, "t": [0, 1, 2], "x": [1e20, -3.4028235e38, 2.5]}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "v.parquet")
    source = TablesSource(root=tmp_path, id="id", group=None, missing=["1e20", "-3.4028235e38"])
    store = prepare(Plan({"v": Reading(f"v{kind}", "t", ("x",))}), source, tmp_path / "stores")
    np.testing.assert_array_equal(values(store)[:, 0], [np.nan, np.nan, 2.5])


def test_a_marker_with_an_underscore_is_a_word(tmp_path: Path) -> None:
    """Caught: by the marker `9_9` a value of 99 was missing."""
    (tmp_path / "v.csv").write_text("id,t,x\na,0,99\na,1,9_9\n")
    source = TablesSource(root=tmp_path, id="id", group=None, missing=["9_9"])
    store = prepare(Plan({"v": Reading("v.csv", "t", ("x",))}), source, tmp_path / "stores")
    assert np.array_equal(values(store), [[99], [np.nan]], equal_nan=True)


def test_missing_markers(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("id,t,x,c\n1,0,-1,none\n1,1,-1.0,NA\n1,2,?,b\n1,3,1,?\n")
    source = TablesSource(root=tmp_path, id="id", group=None, missing=["-1", "?", "NA"])
    plan = Plan({"v": Reading("v.csv", "t", ("x",)), "c": Reading("v.csv", "t", codes=("c",))})
    store = prepare(plan, source, tmp_path / "stores")
    np.testing.assert_array_equal(values(store)[:, 0], np.array([np.nan, np.nan, np.nan, 1], np.float32))
    assert store.gather(np.array([0])).events["c"].arrays["code"][:, 0].tolist() == [1, -1, 0, -1]
    assert store.vocabularies("c") == (("b", "none"),)


def test_codes_of_every_type(tmp_path: Path) -> None:
    forms = {
        "ints": ([3, None, 10], ["3", None, "10"]),
        "floats": (np.array([3.0, np.nan, 10.0]), ["3", None, "10"]),
        "fractions": ([3.5, None, 10.0], ["3.5", None, "10"]),
        "categories": (pandas.Categorical(["b", None, "a"]), ["b", None, "a"]),
        "text": (["b", "", "a b"], ["b", None, "a b"]),
        "mixed": (["b", None, 3], ["b", None, "3"]),
        "booleans": ([True, None, False], ["True", None, "False"]),
        "text of booleans": (["TRUE", None, "false"], ["True", None, "False"]),
        "text of floats": (["3.0", None, "-10.0"], ["3", None, "-10"]),
        "text of large floats": (
            ["1e+16", None, "123456789012345678.0"],
            ["1e+16", None, "123456789012345678.0"],
        ),
        "text of codes": (["250.00", None, "007.0"], ["250.00", None, "007.0"]),
        "decimals": ([Decimal("3.00"), None, Decimal("-10.50")], ["3", None, "-10.5"]),
        "quotes": (["it's", None, 'a "b"'], ["it's", None, 'a "b"']),
    }
    columns = {form: codes for form, (codes, _) in forms.items()}
    plan = Plan({form: Reading("v", "t", codes=(form,)) for form in forms})
    source = MemorySource({"v": {"id": [1] * 3, "t": [0, 1, 2], **columns}}, id="id", group=None)
    store = prepare(plan, source, tmp_path)
    for form, (_, want) in forms.items():
        assert words(store, form) == want, form


def test_codes_and_ids_are_the_same_from_files_and_from_memory(tmp_path: Path) -> None:
    """A frame that is written as CSV and read again, where a missing neighbour made floats of numbers."""
    columns = {
        "flag": [True, False, True],
        "maybe": np.array([True, None, False], object),
        "level": [1.0, np.nan, 2.0],
        "part": np.array([0.1, 2.0, 1e17]),
        "count": [1, 2, 3],
    }
    frame = pandas.DataFrame({"id": [1.0, 2.0, 3.0], **columns})
    frame.to_csv(tmp_path / "v", index=False)
    (tmp_path / "v").rename(tmp_path / "v.csv")
    plan = Plan({name: Reading("v.csv", codes=(name,)) for name in columns})
    files = TablesSource(root=tmp_path, id="id", group=None, missing=MISSING)
    stores = [
        prepare(plan, source, tmp_path / "stores")
        for source in (files, MemorySource({"v.csv": frame}, id="id", group=None))
    ]
    assert stores[0].ids.tolist() == stores[1].ids.tolist() == ["1", "2", "3"]
    for name in columns:
        assert words(stores[0], name) == words(stores[1], name), name


def test_a_marker_of_missing_categories_that_is_a_number(tmp_path: Path) -> None:
    for c in ([-1, 1], [-1.0, 1.0], ["-1.0", "1"]):
        source = MemorySource({"v": {"id": [1, 1], "t": [0, 1], "c": c}}, id="id", group=None)
        source.missing = ("-1",)
        store = prepare(Plan({"v": Reading("v", "t", codes=("c",))}), source, tmp_path)
        assert words(store) == [None, "1"]


def test_numeric_words_are_ordered_as_numbers(tmp_path: Path) -> None:
    rows = {"id": [1] * 3, "t": [0, 1, 2], "c": [10, 9, -1]}
    store = store_of(tmp_path, rows, Reading("v", "t", codes=("c",)))
    assert store.vocabularies("v") == (("-1", "9", "10"),)


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (np.linspace(0, 1, 500), "float32"),
        (1e9 + np.arange(500.0), "float64"),  # a unit is lost in float32
        (np.exp(np.linspace(0, 40, 500)), "float32"),  # heavy-tailed: each value is kept to 1e-7
        (np.r_[0.0, 1e9 + np.arange(499.0)], "float64"),  # an outlier does not hide it
        (np.full(500, 0.1), "float32"),
        (np.r_[1e39, np.zeros(499)], "float64"),
        (np.full(500, np.nan), "float32"),
    ],
)
def test_precision(column: np.ndarray, dtype: str, tmp_path: Path) -> None:
    n = len(column)
    rows = {"id": [1] * n, "t": np.arange(n), "x": column}
    store = store_of(tmp_path, rows, Reading("v", "t", ("x",)))
    assert (values(store).dtype, store.entry("v").dtype) == (np.dtype(dtype), dtype)
    np.testing.assert_array_equal(values(store)[:, 0], column.astype(dtype))
    if not np.isnan(column).all():
        pivoted = {"id": [1] * n, "t": np.arange(n), "code": ["k"] * n, "x": column}
        reading = Reading("v", "t", pivot=Pivot("code", "x"))
        assert store_of(tmp_path / "pivot", pivoted, reading).entry("v").dtype == dtype


def test_precision_for_a_model_that_exists(tmp_path: Path) -> None:
    """A value is the same whatever stands beside it."""
    readings = {
        "wide": Reading("v", "t", ("x",)),
        "long": Reading("v", "t", ("k",), pivot=Pivot("code", "x")),
    }
    for x in ([0.1], [0.1, 1e9 + 1, 1e9 + 2, 1e9 + 3]):
        n = len(x)
        rows = {"id": [1] * n, "t": range(n), "code": ["k"] * n, "x": x}
        for name, reading in readings.items():
            store = store_of(tmp_path / name / str(n), rows, reading, known=True)
            assert values(store)[:, 0].tolist() == x


def test_names_that_are_no_file_names(tmp_path: Path) -> None:
    rows = {"id": [1], "t": [0], 'a "b"/c': ["x'y"], "x": [1.0]}
    name = "../über/mod ali.ty"
    reading = Reading("v", "t", codes=('a "b"/c',))
    plan = Plan({name: reading, "x": Reading("v", "t", ("x",))})
    store = prepare(plan, MemorySource({"v": rows}, id="id", group=None), tmp_path)
    assert store.vocabularies(name) == (("x'y",),)
    assert [path.parent for path in tmp_path.glob("*")] == [tmp_path]
    assert len(store.gather(np.array([0])).events[name]) == 1


def test_names_that_differ_only_in_case(tmp_path: Path) -> None:
    tables = {name: {"id": [1], "t": [0], "k": [f"{name}1"], "K2": [f"{name}2"]} for name in ("s", "S")}
    plan = Plan({name: Reading(name, "t", codes=("k", "K2")) for name in tables})
    store = prepare(plan, MemorySource(tables, id="id", group=None), tmp_path)
    for name in tables:
        assert store.vocabularies(name) == ((f"{name}1",), (f"{name}2",))
        assert store.gather(np.array([0])).events[name].arrays["code"].tolist() == [[0, 0]]


def test_a_column_that_is_read_twice(tmp_path: Path) -> None:
    rows = {"id": [1, 1], "t": [0, 1], "k": ["b", "a"]}
    store = store_of(tmp_path, rows, Reading("v", "t", codes=("k", "k")))
    assert store.gather(np.array([0])).events["v"].arrays["code"].tolist() == [[1, 1], [0, 0]]


def test_bin_ends() -> None:
    times = np.array([0.0, 0.05, 0.1, 0.15, 1.1, 1.1000001, -0.05, -0.1, 0.3])
    want = [0, 0.1, 0.1, 0.2, 1.1, 1.2, 0, -0.1, 0.3]
    np.testing.assert_allclose(bin_ends(times, 0.1), want, atol=1e-12)
    ends = bin_ends(np.array([0, 1, 10, 11, -1, -10]), 10.0)
    assert (ends.tolist(), ends.dtype) == ([0, 10, 10, 20, 0, -10], np.int64)
    assert bin_ends(times, None) is times


def test_rows_of_equal_time_keep_their_order(tmp_path: Path) -> None:
    n = 5_000
    rng = np.random.default_rng(0)
    rows = {"id": rng.integers(0, 3, n), "t": rng.integers(0, 4, n), "x": np.arange(n)}
    store = store_of(tmp_path, rows, Reading("v", "t", ("x",)))
    order = np.lexsort((rows["x"], rows["t"], rows["id"]))
    np.testing.assert_array_equal(values(store)[:, 0], rows["x"][order])


def test_group_of_an_event_table(tmp_path: Path) -> None:
    rows = {"id": [1, 1, 2], "t": [0, 1, 0], "x": [1.0] * 3, "unit": ["b", "b", "a"]}
    source = MemorySource({"v": rows}, id="id", group="unit")
    store = prepare(Plan({"v": Reading("v", "t", ("x",))}), source, tmp_path)
    assert (store.groups.tolist(), store.group_names) == ([1, 0], ["a", "b"])


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_signs_in_file_names_stand_for_themselves(ending: str, tmp_path: Path) -> None:
    """Caught: `v[1]*` was read from `v1z` beside it."""
    for name, x in ((f"v1z{ending}", 1.0), (f"v[1]*{ending}", 2.0)):
        frame = pandas.DataFrame({"id": [1], "t": [0], "x": [x]})
        path = tmp_path / name
        if ending == ".csv":
            frame.to_csv(path, index=False)
        elif ending == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_json(path, orient="records", lines=True)
    source = TablesSource(root=tmp_path, id="id", group=None, missing=MISSING)
    plan = Plan({"v": Reading(f"v[1]*{ending}", "t", ("x",))})
    assert values(prepare(plan, source, tmp_path / "stores")).tolist() == [[2.0]]


def test_signs_in_the_folder_of_records(tmp_path: Path) -> None:
    """Caught: a folder `records [1]` was said to have no file."""
    folder = tmp_path / "records [1]"
    folder.mkdir()
    (folder / "a.json").write_text('{"id": 1, "v": [{"t": 0, "x": 2}]}')
    source = RecordsSource(path=folder, id="id", group=None)
    plan = Plan({"v": Reading("v", "t", ("x",))})
    assert values(prepare(plan, source, tmp_path / "stores")).tolist() == [[2.0]]


def test_delimiters(tmp_path: Path) -> None:
    for ending, mark in ((".tsv", "\t"), (".csv", ";"), (".txt", "|")):
        (tmp_path / f"v{ending}").write_text(
            f"\ufeffid{mark}t{mark}x\r\n1{mark}0{mark}2,5\r\n".replace(",", ".")
        )
        source = TablesSource(root=tmp_path, id="id", group=None, missing=MISSING)
        assert values(prepare(Plan({"v": Reading(f"v{ending}", "t", ("x",))}), source, tmp_path / "s")) == 2.5
