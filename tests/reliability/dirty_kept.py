"""Recipes after which data mean what they meant, or what the documentation says that they mean."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas
import pyarrow
from dirty_tables import COLUMNS, FILES, MEMORY, TIMED, Kept, Row, Work, cell

KEPT: dict[str, Callable[[Work], Kept]] = {}


def kept(recipe: Callable[[Work], Kept]) -> Callable[[Work], Kept]:
    KEPT[recipe.__name__] = recipe
    return recipe


def some_table(work: Work, *tables: str) -> str:
    return str(work.rng.choice(tables or list(COLUMNS)))


# The same rows, written otherwise.


@kept
def shuffled_rows(work: Work) -> Kept:
    """Events and labels in any order; those of one sample and time keep theirs."""
    work.any_form()
    for table in (*TIMED, "labels"):
        order = work.rng.permutation(len(work.rows[table])).tolist()
        keys = [(row["id"], row.get("t")) for row in work.rows[table]]
        waiting = {key: iter([i for i, k in enumerate(keys) if k == key]) for key in keys}
        order = [next(waiting[keys[i]]) for i in order]
        work.rows[table] = [work.rows[table][i] for i in order]
    return Kept()


@kept
def latest_first(work: Work) -> Kept:
    """Times that fall; a store sorts them."""
    work.any_form()
    for table in TIMED:
        for rows in (work.rows[table], work.truth[table]):
            rows.sort(key=lambda row: -row["t"])
    return Kept()


@kept
def columns_in_another_order(work: Work) -> Kept:
    work.any_form()
    for table in COLUMNS:
        work.columns[table] = work.rng.permutation(COLUMNS[table]).tolist()
        work.rows[table] = [{c: row[c] for c in work.columns[table]} for row in work.rows[table]]
    return Kept()


@kept
def columns_that_nobody_reads(work: Work) -> Kept:
    """However dirty they are."""
    work.any_form()
    filth = itertools.cycle(["nan", "1,5", "N/A ", "\u00e9", 'a "b"', "", "2024-02-30", "1e999"])
    for table in COLUMNS:
        extra = f"{table} of old"
        work.columns[table].insert(int(work.rng.integers(len(work.columns[table]))), extra)
        work.rows[table] = [row | {extra: next(filth)} for row in work.rows[table]]
    return Kept()


@kept
def windows_line_ends(work: Work) -> Kept:
    for table in COLUMNS:
        work.rewrite(table, lambda text: text.replace("\n", "\r\n"))
    return Kept()


@kept
def byte_order_mark(work: Work) -> Kept:
    for table in COLUMNS:
        work.rewrite(table, lambda text: "\ufeff" + text)
    return Kept()


@kept
def quoted_cells(work: Work) -> Kept:
    for table in COLUMNS:
        work.rewrite(table, str, quoting=csv.QUOTE_ALL)
    return Kept()


@kept
def blank_lines(work: Work) -> Kept:
    """Within the rows and after them."""
    for table in COLUMNS:
        at = work.rng.integers(2, 8)
        work.rewrite(table, lambda text, at=at: text.replace("\n", "\n\n\n", at) + "\n\n")
    return Kept()


@kept
def blank_lines_among_objects(work: Work) -> Kept:
    work.form = "jsonl"
    for table, rows in work.rows.items():
        lines = [json.dumps(row) + "\r\n" * int(work.rng.integers(1, 3)) for row in rows]
        work.files[f"{table}.jsonl"] = ("\n" + "".join(lines)).encode()
    return Kept()


@kept
def no_last_line_end(work: Work) -> Kept:
    for table in COLUMNS:
        work.rewrite(table, lambda text: text.rstrip("\n"))
    return Kept()


@kept
def another_delimiter(work: Work) -> Kept:
    for table in COLUMNS:
        work.rewrite(table, str, delimiter=str(work.rng.choice([";", "\t", "|"])))
    return Kept()


@kept
def numbers_written_otherwise(work: Work) -> Kept:
    """1e3 is 1000, +5 is 5, 5. and 05 are 5."""
    ways = [
        lambda x: f"{x:.17e}",
        lambda x: f"{x:+.6f}" if abs(x) < 1e6 else repr(x),
        lambda x: f"{x * 1000!r}E-3" if x * 1000 / 1000 == x else repr(x),
        lambda x: "00" + repr(x) if x >= 0 else "-00" + repr(-x),
        lambda x: f"{x:.0f}." if x == int(x) else repr(x),
        lambda x: repr(x).removeprefix("0") if 0 < x < 1 else repr(x),
    ]
    for table, column in (("vitals", "hr"), ("vitals", "t"), ("labs", "value"), ("labels", "score")):
        for row in work.rows[table]:
            if row[column] is not None:
                written = ways[work.rng.integers(len(ways))](row[column])
                if float(written) == row[column]:
                    row[column] = written
    return Kept()


@kept
def spaces_around_numbers(work: Work) -> Kept:
    """Of numbers and numeric times they do not count."""
    for table, column in (("vitals", "hr"), ("drugs", "t"), ("labs", "value"), ("samples", "age")):
        for row in work.rows[table]:
            if row[column] is not None:
                row[column] = work.rng.choice([" ", "  ", "\t", ""]) + cell(row[column]) + " "
    return Kept()


@kept
def declared_markers(work: Work) -> Kept:
    """What `missing` lists is missing, as it is written or as a number."""
    markers = ["?", "missing", "-999", "n/a", "Inf"]
    work.source["missing"] = markers
    given = [*markers, "-999.0", "-9.99e2", ""]
    for table, column in (("vitals", "hr"), ("vitals", "bp"), ("labels", "score"), ("samples", "age")):
        for row in work.rows[table]:
            row[column] = str(work.rng.choice(given)) if row[column] is None else row[column]
    for row in work.rows["drugs"]:
        row["drug"] = str(work.rng.choice(["?", "missing", ""])) if row["drug"] is None else row["drug"]
    return Kept()


@kept
def markers_of_old(work: Work) -> Kept:
    """Those that are declared unless a run says otherwise."""
    given = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
    for table, column in (("vitals", "hr"), ("drugs", "drug"), ("labels", "score"), ("samples", "ward")):
        for row in work.rows[table]:
            row[column] = str(work.rng.choice(given)) if row[column] is None else row[column]
    return Kept()


@kept
def packed_files(work: Work) -> Kept:
    """A name may say that a file is packed."""
    work.rewrite("vitals", lambda text: gzip.compress(text.encode()))
    packed = work.files.pop("vitals.csv")
    work.form = "csv"
    work.files["vitals.csv.gz"] = packed
    work.renamed["vitals"] = "vitals.csv.gz"
    return Kept()


# Other types.


@kept
def other_types_of_parquet(work: Work) -> Kept:
    """Dictionaries, long text, decimals, integers and text of numbers."""
    work.form = "parquet"

    def vitals(table: pyarrow.Table) -> pyarrow.Table:
        given = table["bp"].to_pylist()
        decimals = pyarrow.array([None if x is None else repr(x) for x in given]).cast(
            pyarrow.decimal128(12, 4)
        )
        names = table["id"].combine_chunks().dictionary_encode()
        hr = pyarrow.array([None if x is None else repr(x) for x in table["hr"].to_pylist()])
        return pyarrow.table({"id": names, "t": table["t"].cast("float32"), "hr": hr, "bp": decimals})

    work.frames = {
        "vitals": vitals,
        "drugs": lambda table: table.set_column(2, "drug", table["drug"].cast("large_string")),
        "samples": lambda table: table.set_column(2, "age", table["age"].cast("int16")),
        "stages": lambda table: table.set_column(2, "stage", table["stage"].dictionary_encode()),
    }
    return Kept()


@kept
def nan_for_null_in_parquet(work: Work) -> Kept:
    """NaN is declared missing unless a run says otherwise; a null always is."""
    work.form = "parquet"
    for table, column in (("vitals", "hr"), ("vitals", "bp"), ("samples", "age"), ("labels", "score")):
        for row in work.rows[table]:
            if row[column] is None and work.rng.random() < 0.6:
                row[column] = float("nan")
    return Kept()


@kept
def nothing_in_memory(work: Work) -> Kept:
    """None, NaN and what pandas has beside them."""
    work.any_form(*MEMORY)
    nothings = [None, float("nan")] + ([pandas.NA, pandas.NaT] if work.form == "pandas" else [])
    for table, column in (("vitals", "hr"), ("samples", "age"), ("labels", "score")):
        for row in work.rows[table]:
            if row[column] is None:
                row[column] = nothings[work.rng.integers(len(nothings))]
    return Kept()


@kept
def types_of_pandas(work: Work) -> Kept:
    """Categories, nullable numbers, half the width, an index that is out of order."""
    work.form = "pandas"
    for row in work.truth["vitals"]:
        row["hr"] = None if row["hr"] is None else float(np.float32(row["hr"]))

    def vitals(frame: pandas.DataFrame) -> pandas.DataFrame:
        frame = frame.astype({"hr": "float32", "bp": "Float64", "id": "category", "t": "float16"})
        return frame.set_index(work.rng.permutation(len(frame)) // 2)

    work.frames = {
        "vitals": vitals,
        "samples": lambda frame: frame.astype({"age": "Int8", "ward": "string", "id": "string"}),
        "drugs": lambda frame: frame.astype({"drug": "category"}),
    }
    return Kept()


@kept
def lines_without_keys(work: Work) -> Kept:
    """A key that an object lacks is missing, as null is."""
    work.any_form("jsonl", "records", "lists")
    for table, column in (("vitals", "hr"), ("vitals", "bp"), ("drugs", "drug"), ("labels", "score")):
        for row in work.rows[table]:
            if row[column] is None and work.rng.random() < 0.7:
                del row[column]
    return Kept()


@kept
def records_of_other_shapes(work: Work) -> Kept:
    """No list, null for a list, one object for a list of one; items with an id of their own."""
    work.form = "records"
    lines = []
    for line in work.records().splitlines():
        record = json.loads(line)
        for table in (*TIMED, "labels"):
            if not record[table]:
                record[table] = [None, []][work.rng.integers(2)]
            elif len(record[table]) == 1:
                record[table] = record[table][0]
            else:
                record[table] = [{"id": f"{table} {i}"} | row for i, row in enumerate(record[table])]
        keys = work.rng.permutation(list(record)).tolist()
        lines.append(json.dumps({key: record[key] for key in keys}))
    work.files["r.jsonl"] = "\n\n".join(lines).encode()
    return Kept()


@kept
def words_for_true(work: Work) -> Kept:
    """One word for true, True and TRUE, and for a boolean of any form."""
    work.any_form("csv", "parquet", "jsonl", *MEMORY)
    for given, meant in zip(work.rows["stages"], work.truth["stages"], strict=True):
        is_early = meant["stage"] == "early"
        meant["stage"] = str(is_early)
        given["stage"] = is_early
        if work.form in ("csv", "jsonl"):
            given["stage"] = str(
                work.rng.choice([str(is_early), str(is_early).upper(), str(is_early).lower()])
            )
    return Kept()


@kept
def booleans_for_numbers(work: Work) -> Kept:
    """A column of booleans is one of 0 and 1, where its type says so."""
    work.any_form("parquet", *MEMORY)
    for given, meant in zip(work.rows["vitals"], work.truth["vitals"], strict=True):
        if meant["hr"] is not None:
            meant["hr"] = float(meant["hr"] > 50)
            given["hr"] = bool(meant["hr"])
    return Kept()


# Ids and words.


def rename_ids(work: Work, names: dict[str, str], given: Callable[[str], Any] = str) -> None:
    for tables, name in ((work.truth, str), (work.rows, given)):
        for rows in tables.values():
            for row in rows:
                row["id"] = name(names.get(row["id"], row["id"]))


@kept
def ids_that_look_like_numbers(work: Work) -> Kept:
    """007, 7 and 07 are three; 7.0 is 7."""
    work.any_form("csv", "jsonl", "parquet", *MEMORY)
    names = [row["id"] for row in work.truth["samples"]]
    rename_ids(
        work, dict(zip(names, ["007", "7", "07", "-7", "1e1", "0x7", "7_0", "8", "9", "10"], strict=False))
    )
    for table in ("vitals", "labels"):
        for row in work.rows[table]:
            if row["id"] in ("7", "8", "9") and work.rng.random() < 0.5:
                row["id"] += ".0"
    return Kept()


@kept
def ids_of_floats(work: Work) -> Kept:
    """A frame that made floats of whole ids, beside one that did not."""
    work.any_form("parquet", "pandas", "polars", "lists")
    rename_ids(work, {row["id"]: row["id"][1:] for row in work.truth["samples"]}, int)
    for table in ("vitals", "labels"):
        for row in work.rows[table]:
            row["id"] = float(row["id"])
    return Kept()


@kept
def ids_with_anything_in_them(work: Work) -> Kept:
    """Spaces, quotes, delimiters, line ends and words that elsewhere mean nothing."""
    work.any_form()
    names = [row["id"] for row in work.truth["samples"]]
    odd = [" p", "p ", "P1", "p1", "a,b", 'say "a"', "NA", "null", "\u00fc\u4e2d", "o'id"]
    rename_ids(work, dict(zip(names, work.rng.permutation(odd).tolist(), strict=False)))
    return Kept()


@kept
def ids_beyond_53_bits(work: Work) -> Kept:
    """Neighbours that float64 takes for one."""
    work.any_form()
    names = [row["id"] for row in work.truth["samples"]]
    as_given = str if work.form == "csv" or work.rng.random() < 0.5 else int
    rename_ids(work, {name: str(2**53 + i) for i, name in enumerate(names)}, as_given)
    return Kept()


@kept
def classes_beyond_53_bits(work: Work) -> Kept:
    """As categories and as classes; also beyond 64 bits where a form can hold them."""
    work.any_form()
    base = 2**53 if work.form in ("parquet", "polars") else 2**66
    as_given = int if work.form != "csv" else str
    for table, column in (("labels", "outcome"), ("drugs", "drug")):
        words = sorted({row[column] for row in work.truth[table] if row[column] is not None})
        codes = {word: base + i for i, word in enumerate(words)}
        for given, meant in zip(work.rows[table], work.truth[table], strict=True):
            if meant[column] is not None:
                given[column] = as_given(codes[meant[column]])
                meant[column] = str(codes[meant[column]])
    return Kept()


@kept
def look_alikes(work: Work) -> Kept:
    """Words that look alike are as many words, in whatever case, script or composition."""
    work.any_form()
    words = ["caf\u00e9", "cafe\u0301", "caf\u0435", "Cafe", "cafe", "cafe ", "caf\u200be", "\uff43afe"]
    for place, (given, meant) in enumerate(zip(work.rows["drugs"], work.truth["drugs"], strict=True)):
        given["drug"] = meant["drug"] = words[place % len(words)]
    return Kept()


@kept
def long_words(work: Work) -> Kept:
    work.any_form()
    for letter in "ab":
        place = work.pick("drugs")
        work.put("drugs", place, "drug", letter * 100_000, letter * 100_000)
    return Kept()


@kept
def words_of_several_lines(work: Work) -> Kept:
    """Delimiters, quotes and line ends within quotes."""
    work.any_form()
    for word in ("a,b", "a\nb", 'a "b"', "a\r\nb", "a;b\tc|d"):
        place = work.pick("drugs")
        work.put("drugs", place, "drug", word, word)
    return Kept()


@kept
def overlong_numbers(work: Work) -> Kept:
    """Digits beyond float64 round, as everywhere."""
    work.any_form("csv", "jsonl", "lists")
    for column, digits in (("hr", "123456789012345678901234567890"), ("bp", "0." + "1234567890" * 5)):
        place = work.pick("vitals")
        given = digits if work.form == "csv" else json.loads(digits)
        work.put("vitals", place, column, given, float(digits))
    return Kept()


# Times.


@kept
def negative_times(work: Work) -> Kept:
    """Numbers are taken as they are; a sample without events is at 0 all the same."""
    work.any_form()
    for table, column in [(table, "t") for table in TIMED] + [("samples", "last")]:
        for rows in (work.rows[table], work.truth[table]):
            for row in rows:
                row[column] = None if row[column] is None else row[column] - 9.25
    return Kept()


@kept
def mixed_time_zones(work: Work) -> Kept:
    """Offsets, names of zones, Z, and none, which is UTC."""
    work.any_form("csv", "jsonl", "records", "lists")

    def write(moment: int) -> str:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment // 1000)
        hours = int(work.rng.integers(-11, 14))
        ways = [
            at.astimezone(timezone(timedelta(hours=hours, minutes=30))).isoformat(),
            at.isoformat().replace("+00:00", "Z"),
            at.replace(tzinfo=None).isoformat(sep=" "),
            at.astimezone(timezone(timedelta(hours=1))).replace(tzinfo=None).isoformat() + " Africa/Lagos",
        ]
        return ways[work.rng.integers(len(ways))]

    work.to_moments(write)
    return Kept()


@kept
def typed_times(work: Work) -> Kept:
    """Timestamps of several precisions, with a zone and without, in files and frames."""
    work.any_form("parquet", "pandas", "polars", "lists")
    work.to_moments(lambda moment: datetime.fromtimestamp(moment / 1e9, UTC).replace(tzinfo=None))
    if work.form == "parquet":
        for table, kind in (
            ("vitals", pyarrow.timestamp("ns", "Asia/Tokyo")),
            ("labs", pyarrow.timestamp("ms")),
            ("drugs", pyarrow.timestamp("s", "UTC")),
        ):
            work.frames[table] = lambda frame, kind=kind: frame.set_column(1, "t", frame["t"].cast(kind))
    return Kept()


@kept
def nanoseconds(work: Work) -> Kept:
    """Times of text that differ by nanoseconds are as many steps."""
    work.any_form("csv", "jsonl", "records", "lists")
    work.to_moments(lambda moment: "")
    for table, column in [(table, "t") for table in TIMED] + [("samples", "last")]:
        for given, meant in zip(work.rows[table], work.truth[table], strict=True):
            if meant[column] is not None:
                meant[column] += int(work.rng.integers(0, 3))
                whole = datetime.fromtimestamp(meant[column] // 10**9, UTC).replace(tzinfo=None).isoformat()
                given[column] = f"{whole}.{meant[column] % 10**9:09d}" + "Z" * int(work.rng.integers(2))
            else:
                given[column] = None
    return Kept()


@kept
def until_before_the_first_event(work: Work) -> Kept:
    """A sample of which nothing is left is one step at 0, and its events are counted."""
    work.any_form()
    work.config["until"] = "last"
    id = work.event("vitals")["id"]
    place = next(i for i, row in enumerate(work.truth["samples"]) if row["id"] == id)
    work.put("samples", place, "last", -1.0, -1.0)
    for row in work.truth["samples"]:
        assert row["id"] != id or row["last"] == -1.0
    return Kept({"vitals": ("after until", 1)})


# What is dropped or averaged, and counted.


def strangers(work: Work, table: str) -> int:
    """Some rows of samples that do not exist; other spellings of an id are others."""
    n = int(work.rng.integers(1, 4))
    for i in range(n):
        id = ["nobody", "P1", f"{work.event('samples')['id']} ", "p001"][work.rng.integers(4)]
        work.insert(table, work.event(table) | {"id": f"{id}" if i else "nobody"})
    return n


@kept
def events_of_absent_samples(work: Work) -> Kept:
    work.any_form(*FILES, *MEMORY)
    return Kept({name: ("of absent samples", strangers(work, name)) for name in ("vitals", "labs", "drugs")})


@kept
def labels_of_absent_samples_dropped(work: Work) -> Kept:
    work.any_form(*FILES, *MEMORY)
    work.config["absent_labels"] = "drop"
    n_labels, n_stages = strangers(work, "labels"), strangers(work, "stages")
    why = "of absent samples"
    return Kept({"outcome": (why, n_labels), "score": (why, n_labels), "stage": (why, n_stages)})


@kept
def labels_before_the_first_step(work: Work) -> Kept:
    work.any_form()
    id = work.event("vitals")["id"]
    work.insert("stages", {"id": id, "t": -5.0, "stage": "early"})
    return Kept({"stage": ("before the first step", 1)})


@kept
def several_values_of_a_cell(work: Work) -> Kept:
    """They are averaged."""
    work.any_form()
    id, n = work.truth["samples"][1]["id"], int(work.rng.integers(2, 5))
    for _ in range(n):
        row = {"id": id, "t": 1.125, "item": "na", "value": round(float(work.rng.normal()), 3)}
        work.insert("labs", row)
    work.config.pop("until", None)
    return Kept({"labs": ("averaged cells", 1)})


@kept
def events_that_come_twice(work: Work) -> Kept:
    """A row is an event, however often it comes; several events of one time share a step."""
    work.any_form()
    for table in ("vitals", "drugs", "stages"):
        place = work.pick(table)
        row: Row = dict(work.truth[table][place])
        work.insert(table, row, place=place + 1)
    return Kept()


@kept
def events_without_a_value(work: Work) -> Kept:
    """A row in which all is missing is an event; of a long table it is none."""
    work.any_form()
    for column in ("hr", "bp"):
        work.put("vitals", work.pick("vitals"), column, None, None)
    place = work.pick("vitals")
    for column in ("hr", "bp"):
        work.put("vitals", place, column, None, None)
    work.put("labs", work.pick("labs"), "value", None, None)
    return Kept()
