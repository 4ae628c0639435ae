"""Recipes that preparation refuses: with a text that begins with file, row and column."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow
from dirty_kept import rename_ids, some_table
from dirty_tables import COLUMNS, FORMS, MEMORY, TIMED, Refused, Work

REFUSED: dict[str, Callable[[Work], Refused]] = {}
NUMBERS = (("vitals", "hr"), ("vitals", "bp"), ("labs", "value"), ("samples", "age"), ("labels", "score"))
FINITE = "a number must be finite, or missing; "
TIME = (
    "a time must be a finite number, where its column does not begin with a date and time as "
    "2024-02-28T10:00:00 is; "
)
MOMENT = "a time must be a date and time, as the first one in its column is"


def refused(recipe: Callable[[Work], Refused]) -> Callable[[Work], Refused]:
    REFUSED[recipe.__name__] = recipe
    return recipe


def bad_number(work: Work, given: Any, said: str = FINITE) -> Refused:
    """Puts something into a column of numbers, static, timed, pivoted or of labels."""
    table, column = NUMBERS[work.rng.integers(len(NUMBERS))]
    place = work.pick(table)
    work.put(table, place, column, given)
    return Refused(work.where(table, place), column, said)


def bad_time(work: Work, given: Any, said: str, first: int = 0) -> Refused:
    table = some_table(work, *TIMED)
    place = work.pick(table, first=first)
    work.put(table, place, "t", given)
    return Refused(work.where(table, place), "t", said)


# Numbers.


@refused
def infinite_number(work: Work) -> Refused:
    """In every form; as a number wherever the form has numbers."""
    work.any_form()
    sign = work.rng.choice([-1, 1])
    return bad_number(work, float("inf") * sign)


@refused
def nan_that_is_not_declared(work: Work) -> Refused:
    """In files as text and as a number; records have no other markers than null."""
    work.any_form("csv", "parquet", "jsonl", "records")
    if work.form != "records":
        work.source["missing"] = ["", "NA"]
    given = ["nan", "NaN", "-nan", "nan(7)"][work.rng.integers(4)] if work.form == "csv" else float("nan")
    return bad_number(work, given)


@refused
def text_of_nan_in_memory(work: Work) -> Refused:
    """NaN is a missing number; its text is a text."""
    work.any_form(*MEMORY)
    table, column = NUMBERS[work.rng.integers(len(NUMBERS))]
    for row in work.rows[table]:
        row[column] = None if row[column] is None else str(row[column])
    place = work.pick(table)
    work.put(table, place, column, "nan")
    return Refused(work.where(table, place), column, f"{FINITE}'nan' came")


@refused
def number_beyond_float64(work: Work) -> Refused:
    work.any_form("csv", "jsonl")
    given = str(work.rng.choice(["1e999", "-1e400", "9" * 400]))
    return bad_number(work, given)


@refused
def word_for_a_number(work: Work) -> Refused:
    work.any_form()
    return bad_number(
        work, str(work.rng.choice(["high", "hemolyzed", "see note", "7o.5", "--", "TRUE", "0x1F"]))
    )


@refused
def marker_that_is_not_declared(work: Work) -> Refused:
    work.any_form()
    return bad_number(work, str(work.rng.choice(["?", "-", "NA ", " ", "missing", "#N/A", "n/a", "."])))


@refused
def marker_that_is_declared_no_more(work: Work) -> Refused:
    work.any_form("csv", "jsonl", "parquet")
    work.source["missing"] = ["?"]
    return bad_number(work, str(work.rng.choice(["NA", "null", "None"])))


@refused
def decimal_comma(work: Work) -> Refused:
    found = bad_number(work, "36,6")
    for table in COLUMNS:
        work.rewrite(table, str, delimiter=";")
    return found


@refused
def thousands_separators(work: Work) -> Refused:
    work.any_form()
    return bad_number(
        work, str(work.rng.choice(["1,234.5", "1 234", "1'234", "1\u202f234", "1\u00a0234", "1.234,5"]))
    )


@refused
def unit_in_a_cell(work: Work) -> Refused:
    work.any_form()
    return bad_number(
        work, str(work.rng.choice(["80 bpm", "12%", "$5", "5kg", "<0.1", "~3", "37\u00b0", "120/80"]))
    )


@refused
def digits_of_other_scripts(work: Work) -> Refused:
    work.any_form()
    return bad_number(
        work, str(work.rng.choice(["\uff18\uff10", "\u0668\u0660", "\u221212", "\u00bd", "8\u200b0"]))
    )


@refused
def long_cell_for_a_number(work: Work) -> Refused:
    """The text shows its beginning."""
    work.any_form()
    found = bad_number(work, "x" * 50_000)
    return Refused(found.where, found.column, f"{FINITE}'{'x' * 79}… (50,000 characters) came")


@refused
def list_for_a_cell(work: Work) -> Refused:
    """A list or an object is neither a number nor a category nor an id."""
    work.any_form("parquet", "jsonl", "records", "pandas", "lists")
    table, column, said = (
        ("vitals", "hr", FINITE),
        ("labs", "item", "a category is one value, no list and no object"),
        ("drugs", "drug", "a category is one value, no list and no object"),
        ("labels", "outcome", "a category is one value, no list and no object"),
    )[work.rng.integers(4)]
    place = work.pick(table, column)
    if work.form in ("jsonl", "records"):
        work.put(table, place, column, [["a", "b"], {"a": 1}, []][work.rng.integers(3)])
    else:
        for row in work.rows[table]:
            row[column] = None
        work.put(table, place, column, [[1.0, 2.0], {"a": 1.0}][work.rng.integers(2)])
    return Refused(work.where(table, place), column, said)


@refused
def infinite_category_or_id(work: Work) -> Refused:
    """Of a type that has infinity; its text would be one word more."""
    work.any_form("parquet", *MEMORY)
    table, column = (("drugs", "drug"), ("labels", "outcome"), ("vitals", "id"))[work.rng.integers(3)]
    if column == "id":
        rename_ids(work, {row["id"]: row["id"][1:] for row in work.truth["samples"]}, float)
    else:
        for row in work.rows[table]:
            row[column] = 1.0
    place = work.pick(table)
    work.put(table, place, column, float("inf"))
    return Refused(work.where(table, place), column, "that is a number must be finite; 'inf' came")


# Times.


@refused
def unparsable_time(work: Work) -> Refused:
    work.any_form()
    return bad_time(work, str(work.rng.choice(["noon", "12:30", "1h", "?", "3,5", "week 2"])), TIME)


@refused
def missing_time(work: Work) -> Refused:
    work.any_form()
    return bad_time(work, [None, float("nan")][work.rng.integers(2)], TIME)


@refused
def infinite_time(work: Work) -> Refused:
    work.any_form()
    return bad_time(work, [1, -1][work.rng.integers(2)] * float("inf"), TIME)


@refused
def time_beyond_53_bits(work: Work) -> Refused:
    """Nanoseconds of an epoch, say: float64 would take several events for one time."""
    work.any_form()
    for row in work.rows["stages"]:
        row["t"] = int(row["t"])
    place = work.pick("stages")
    work.put("stages", place, "t", 1_709_000_000_000_000_001)
    return Refused(work.where("stages", place), "t", "a time must be below 2^53 (9,007,199,254,740,992)")


def iso(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1e9, UTC).replace(tzinfo=None).isoformat()


@refused
def date_that_is_none(work: Work) -> Refused:
    work.any_form()
    work.to_moments(iso)
    given = [
        "2024-02-30",
        "2023-02-29T10:00",
        "31.12.2024",
        "12/31/2024",
        "2024-01-01 25:00",
        "now",
        "infinity",
    ]
    return bad_time(work, str(work.rng.choice(given)), MOMENT, first=1)


@refused
def date_beyond_64_bits_of_nanoseconds(work: Work) -> Refused:
    """The text of such a date, and a type that can hold it."""
    work.any_form()
    typed = work.form in ("parquet", *MEMORY) and work.rng.random() < 0.5
    work.to_moments((lambda m: datetime.fromtimestamp(m / 1e9, UTC).replace(tzinfo=None)) if typed else iso)
    year = int(work.rng.choice([1500, 1677, 2263, 9999]))
    far = datetime(year, 1, 1)
    return bad_time(work, far if typed else far.isoformat(), f"{MOMENT}, of the years 1678 to 2261", first=1)


@refused
def no_date(work: Work) -> Refused:
    """NaT and null."""
    work.any_form("parquet", *MEMORY)
    work.to_moments(lambda m: datetime.fromtimestamp(m / 1e9, UTC).replace(tzinfo=None))
    return bad_time(work, None, f"{MOMENT}, of the years 1678 to 2261; nothing came")


@refused
def date_among_numbers(work: Work) -> Refused:
    work.any_form()
    return bad_time(work, "2024-03-01T10:00:00", f"{TIME}'2024-03-01T10:00:00' came", first=1)


@refused
def number_among_dates(work: Work) -> Refused:
    work.any_form()
    work.to_moments(iso)
    return bad_time(work, str(work.rng.choice(["1709000000", "3.5", "20240301"])), MOMENT, first=1)


@refused
def clocks_of_two_sorts(work: Work) -> Refused:
    """One table has dates, the others numbers: it is no row that is wrong."""
    work.any_form()
    for row in work.rows["drugs"]:
        row["t"] = "2024-03-01T10:00:00"
    return Refused(
        "timeline: all times are numbers, or all are dates and times; ", None, "modality 'drugs' ("
    )


@refused
def last_time_that_is_none(work: Work) -> Refused:
    work.any_form()
    work.config["until"] = "last"
    place = work.pick("samples", "last", first=1)
    work.put("samples", place, "last", [float("inf"), "soon", "10 min"][work.rng.integers(3)])
    said = "a last time must be a number, as the events' times are, or missing"
    return Refused(work.where("samples", place), "last", said)


# Ids, labels, groups.


@refused
def sample_that_comes_twice(work: Work) -> Refused:
    """Also in another spelling of the same number."""
    work.any_form()
    first = work.pick("samples")
    if work.form != "records" and work.rng.random() < 0.5:
        rename_ids(work, {row["id"]: row["id"][1:] for row in work.truth["samples"]})
    row = dict(work.rows["samples"][first])
    row["id"] += ".0" if row["id"].isdigit() and work.form != "records" else ""
    second = work.insert("samples", row, meant=False, place=len(work.rows["samples"]))
    return Refused(work.where("samples", first, second), "id", "the table of samples has one row a sample; ")


@refused
def labels_that_come_twice(work: Work) -> Refused:
    """Equal ones and conflicting ones: no row says which is right."""
    work.any_form()
    first = work.pick("labels")
    row = dict(work.rows["labels"][first])
    if work.rng.random() < 0.5:
        row["outcome"] = "home" if row["outcome"] == "died" else "died"
    second = work.insert("labels", row, meant=False, place=len(work.rows["labels"]))
    said = "without a time column, 'outcome' has one row a sample; "
    return Refused(work.where("labels", first, second), "id", said)


@refused
def label_of_an_absent_sample(work: Work) -> Refused:
    work.any_form(*(form for form in FORMS if form != "records"))  # where a label is its sample's
    table = some_table(work, "labels", "stages")
    id = str(work.rng.choice(["nobody", f"{work.truth['samples'][0]['id']} ", "P1"]))
    place = work.insert(table, work.event(table) | {"id": id})
    return Refused(work.where(table, place), "id", "a label is for a sample that exists; 1 labels of task ")


@refused
def row_without_an_id(work: Work) -> Refused:
    """Nothing, or an empty text; spaces are an id."""
    work.any_form(*(form for form in FORMS if form != "records"))
    table = some_table(work)
    place = work.pick(table)
    where = work.where(table, place)
    work.put(table, place, "id", [None, "", '""'][work.rng.integers(3)] if work.form == "csv" else None)
    if work.rows[table][place]["id"] == '""':
        work.put(table, place, "id", "")
        work.rewrite(table, str, quoting=1)
    return Refused(where, "id", "every row needs a sample id; ")


@refused
def nul_in_text(work: Work) -> Refused:
    """A database, a file and an array end a text with it, or do not."""
    work.any_form(*(form for form in FORMS if form != "records"))
    table, column = (("vitals", "id"), ("samples", "id"), ("drugs", "drug"), ("labels", "outcome"))[
        work.rng.integers(4)
    ]
    place = work.pick(table, column)
    where = work.where(table, place)
    work.put(table, place, column, work.rows[table][place][column] + "\0" * int(work.rng.integers(1, 3)))
    return Refused(where, column, " has no NUL character; ")


@refused
def group_in_two_splits(work: Work) -> Refused:
    work.any_form()
    work.source["group"] = "family"
    work.config["split"] = {"column": "part"}
    parts = ("train", "validation", "test")
    for table in (work.rows, work.truth):
        for place, row in enumerate(table["samples"]):
            row["part"] = parts[(place // 2) % 3]
    place = 2 * int(work.rng.integers(3))
    given = parts[(place // 2 + 1) % 3]
    work.put("samples", place, "part", given)
    pair = sorted([place, place + 1], key=lambda i: parts.index(work.rows["samples"][i]["part"]))
    return Refused(work.where("samples", *pair), "part", f"group 'f{place // 2}' must stand in one split; ")


@refused
def group_that_is_missing(work: Work) -> Refused:
    work.any_form()
    work.source["group"] = "family"
    place = work.pick("samples")
    work.put("samples", place, "family", None)
    return Refused(work.where("samples", place), "family", "every sample is in one group; ")


@refused
def split_that_is_none(work: Work) -> Refused:
    work.any_form()
    work.config["split"] = {"column": "part"}
    place = work.pick("samples")
    work.put("samples", place, "part", [None, "valid", "Train", "test "][work.rng.integers(4)])
    return Refused(work.where("samples", place), "part", "a split is one of train, validation, test; ")


@refused
def class_that_only_the_test_split_has(work: Work) -> Refused:
    """A store holds it, as it was given; training says that nothing can be learnt of it."""
    work.any_form()
    work.config["split"] = {"column": "part"}
    work.config.pop("until", None)
    test = {row["id"] for row in work.truth["samples"] if row["part"] == "test"}
    labels = [i for i, row in enumerate(work.rows["labels"]) if row["id"] in test]
    if not labels:
        row = {"id": sorted(test)[0], "outcome": "home", "score": 1.0}
        labels = [work.insert("labels", row, place=len(work.rows["labels"]))]
    place = int(work.rng.choice(labels))
    work.put("labels", place, "outcome", "transferred", "transferred")
    id = work.truth["samples"][0]["id"]  # in training, where all else can be learnt
    for stage in ("early", "late"):
        work.insert("stages", {"id": id, "t": 15.0, "stage": stage})
    for first in range(2):
        work.put("labels", first, "score", float(first), float(first))
    where, id = work.where("labels", place), work.rows["labels"][place]["id"]
    said = "column outcome: 'transferred' has a label here but none in the training split"
    return Refused(f"{where}, sample {id!r}: task 'outcome', ", None, said, by_training=True)


# Columns and whole files.


@refused
def missing_column(work: Work) -> Refused:
    """Its name is all that can be told of it."""
    work.any_form(*(form for form in FORMS if form != "records"))
    table, column = (
        ("vitals", "bp"),
        ("labs", "value"),
        ("drugs", "drug"),
        ("labels", "score"),
        ("stages", "t"),
    )[work.rng.integers(5)]
    work.columns[table].remove(column)
    for row in work.rows[table]:
        del row[column]
    return Refused(f"{work.where(table)}: ", None, f" reads column {column!r}; the table has ")


@refused
def renamed_column(work: Work) -> Refused:
    """In capitals, with a space, with a letter amiss: the nearest is named."""
    work.any_form(*(form for form in FORMS if form != "records"))
    table, column = (("vitals", "hr"), ("samples", "ward"), ("labels", "outcome"), ("labs", "id"))[
        work.rng.integers(4)
    ]
    new = [column.upper(), f" {column}", f"{column}_"][work.rng.integers(3)]
    work.columns[table] = [new if c == column else c for c in COLUMNS[table]]
    work.rows[table] = [{new if c == column else c: v for c, v in row.items()} for row in work.rows[table]]
    return Refused(f"{work.where(table)}: ", None, f" reads column {column!r}; the table has ")


@refused
def column_that_comes_twice(work: Work) -> Refused:
    table = some_table(work)
    column = str(work.rng.choice(COLUMNS[table]))
    twice = str(work.rng.choice([column, column.upper()]))
    work.rewrite(table, lambda text: twice + "," + text.replace("\n", "\nx,")[:-2])
    return Refused(f"{work.folder}/{table}.csv row 1: ", None, "a column must have a name of its own; ")


@refused
def empty_file(work: Work) -> Refused:
    table = some_table(work)
    work.rewrite(table, lambda text: work.rng.choice(["", "\n", "\n\n"]))
    return Refused(f"{work.folder}/{table}.csv row 1: ", None, "every column needs a name; ")


@refused
def header_alone(work: Work) -> Refused:
    work.any_form("csv", "parquet", *MEMORY)
    table = some_table(work)
    where = f"{work.where(table)}: "
    work.rows[table] = []
    if work.form != "csv":  # nothing says which types they have
        work.frames[table] = lambda frame: pyarrow.table(
            {c: pyarrow.nulls(0, "string") for c in COLUMNS[table]}
        )
    return Refused(where, None, "a table needs rows; it has none; ")


@refused
def title_before_the_header(work: Work) -> Refused:
    table = some_table(work)
    work.rewrite(table, lambda text: f"# exported 2024-03-01\n{text}")
    return Refused(f"{work.where(table)}: ", None, " reads column ")


@refused
def another_header_among_the_rows(work: Work) -> Refused:
    """Two files, one after the other."""
    table = some_table(work, *TIMED)
    place = work.pick(table, first=1)
    header = ",".join(COLUMNS[table])
    work.rewrite(table, lambda text: insert_line(text, place, header))
    return Refused(work.where(table, place), "t", f"{TIME}'t' came")


@refused
def sum_below_the_rows(work: Work) -> Refused:
    table = some_table(work, *TIMED)
    work.rewrite(table, lambda text: text + "Total" + "," * (len(COLUMNS[table]) - 1) + "\n")
    return Refused(work.where(table, len(work.rows[table])), "t", f"{TIME}nothing came")


def insert_line(text: str, place: int, line: str) -> str:
    lines = text.split("\n")
    lines.insert(place + 1, line)
    return "\n".join(lines)


def change_line(text: str, place: int, change: Callable[[str], str]) -> str:
    lines = text.split("\n")
    lines[place + 1] = change(lines[place + 1])
    return "\n".join(lines)


def uneven(work: Work, table: str, n_cells: int) -> tuple[str, str]:
    """Where, from the number of cells that a row has, its column is wrong; and what is said."""
    columns = COLUMNS[table]
    return columns[
        min(n_cells, len(columns) - 1)
    ], f"a row has a cell for each of {len(columns)} columns; {n_cells} came"


@refused
def too_few_cells(work: Work) -> Refused:
    table = some_table(work)
    place, n = work.pick(table), int(work.rng.integers(1, len(COLUMNS[table])))
    cut = lambda line: ",".join(line.split(",")[:n])  # noqa: E731
    work.rewrite(table, lambda text: change_line(text, place, cut))
    column, said = uneven(work, table, n)
    return Refused(work.where(table, place), column, said)


@refused
def too_many_cells(work: Work) -> Refused:
    """A decimal comma, say, or one too many."""
    table = some_table(work)
    place, n = work.pick(table), int(work.rng.integers(1, 4))
    work.rewrite(table, lambda text: change_line(text, place, lambda line: line + ",9" * n))
    column, said = uneven(work, table, len(COLUMNS[table]) + n)
    return Refused(f"{work.where(table, place)}, after", None, f" column {column!r}: {said}")


@refused
def rows_after_blank_lines_and_long_cells(work: Work) -> Refused:
    """Blank lines do not count as rows; a cell of several lines is in one."""
    place = work.pick("drugs", first=3)
    work.put("drugs", 1, "drug", "first\nsecond\n\nlast")

    def change(text: str) -> str:
        lines = work.csv("drugs").splitlines(keepends=True)
        at = next(i for i, line in enumerate(lines) if line.startswith("last"))
        lines[at + place - 1] = lines[at + place - 1].rstrip("\n") + ",9\n"
        lines[at] += "\n\n\n"
        return "".join(lines)

    work.rewrite("drugs", change)
    return Refused(
        f"{work.where('drugs', place)}, after", None, " column 'drug': a row has a cell for each of 3"
    )


@refused
def end_that_is_cut_off(work: Work) -> Refused:
    """Within the last row, before its last cell."""
    table = some_table(work)
    last = len(work.rows[table]) - 1
    n = int(work.rng.integers(1, len(COLUMNS[table])))
    cut = lambda line: ",".join(line.split(",")[:n])  # noqa: E731
    work.rewrite(table, lambda text: change_line(text.rstrip("\n"), last, cut))
    column, said = uneven(work, table, n)
    return Refused(work.where(table, last), column, said)


@refused
def object_that_is_cut_off(work: Work) -> Refused:
    """An object is cut in two, or two stand in one line."""
    work.any_form("jsonl", "records")
    table = some_table(work)
    name = "r.jsonl" if work.form == "records" else f"{table}.jsonl"
    text = (
        work.records() if work.form == "records" else "".join(json.dumps(r) + "\n" for r in work.rows[table])
    )
    lines = text.splitlines()
    place = int(work.rng.integers(len(lines)))
    lines[place] = [lines[place][: int(work.rng.integers(1, 20))], f"{lines[place]} {lines[place]}"][
        work.rng.integers(2)
    ]
    work.files[name] = ("\n".join(lines) + "\n").encode()
    number = f"record {place + 1}" if work.form == "records" else f"row {place + 1}"
    return Refused(f"{work.folder}/{name} {number}: ", None, "must be an object of JSON; ")


@refused
def binary_file_that_is_cut_off(work: Work) -> Refused:
    """Nothing in it can be read, or not the end: it is the file that is named."""
    table = some_table(work)
    if work.rng.random() < 0.5:
        work.form = "parquet"
        work.cut[f"{table}.parquet"] = int(work.rng.integers(1, 200))
        return Refused("table ", None, f"{table}.parquet")
    work.rewrite(table, lambda text: gzip.compress(text.encode())[: -int(work.rng.integers(1, 12))])
    work.files[f"{table}.csv.gz"] = work.files.pop(f"{table}.csv")
    work.renamed[table] = f"{table}.csv.gz"
    return Refused(f"{work.folder}/{table}.csv.gz: ", None, "cannot be ")


@refused
def quote_that_is_never_closed(work: Work) -> Refused:
    table, column = (("drugs", "drug"), ("stages", "stage"), ("labels", "id"))[work.rng.integers(3)]
    place = work.pick(table, column)
    work.put(table, place, column, f"@{work.rows[table][place][column]}")
    work.rewrite(table, lambda text: text.replace("@", '"'))
    return Refused(work.where(table, place), column, "a quote that is opened must be closed; ")


@refused
def quotes_within_a_quoted_cell(work: Work) -> Refused:
    """They are not doubled, or are escaped."""
    table, column = (("drugs", "drug"), ("stages", "stage"))[work.rng.integers(2)]
    place = work.pick(table, column)
    work.put(table, place, column, "@5@ screw@")
    mark = str(work.rng.choice(['"', '\\"']))
    text = f'"the 5{mark} screw"'
    work.rewrite(table, lambda lines: lines.replace("@5@ screw@", text))
    return Refused(work.where(table, place), column, "a cell in quotes ends with its quote; ")


@refused
def row_of_another_delimiter(work: Work) -> Refused:
    table = some_table(work)
    place = work.pick(table)
    mark = str(work.rng.choice([";", "\t", "|", " "]))
    work.rewrite(table, lambda text: change_line(text, place, lambda line: line.replace(",", mark)))
    column, said = uneven(work, table, 1)
    return Refused(work.where(table, place), column, said)


@refused
def delimiter_that_is_none(work: Work) -> Refused:
    table = some_table(work)
    work.rewrite(table, lambda text: text.replace(",", ":"))
    return Refused(f"{work.where(table)}: ", None, "data.source.id reads column 'id'; the table has id:")


@refused
def line_ends_that_differ(work: Work) -> Refused:
    table = some_table(work, "labs", "drugs", "labels", "stages")
    place = work.pick(table, COLUMNS[table][-1])  # after an empty cell it is no matter
    work.rewrite(table, lambda text: change_line(text, place, lambda line: line + "\r"))
    last = COLUMNS[table][-1]
    return Refused(
        f"{work.where(table, place)}, after column {last!r}: ", None, "all rows must end alike; CRLF "
    )


@refused
def row_of_another_encoding(work: Work) -> Refused:
    """Latin-1 among UTF-8."""
    table, column = (("drugs", "drug"), ("stages", "stage"), ("vitals", "id"))[work.rng.integers(3)]
    place = work.pick(table, column)
    where = work.where(table, place)
    work.put(table, place, column, "n\u00e9e")
    other = work.pick(table, column)
    if table == "drugs" and other < place:
        work.put(table, other, column, "caf\u00e9 \u4e2d")
    work.rewrite(table, lambda text: text.encode().replace("n\u00e9e".encode(), b"n\xe9e"))
    return Refused(where, column, "must be UTF-8 text; byte 0xe9 came")


@refused
def file_of_another_encoding(work: Work) -> Refused:
    table = some_table(work)
    work.rewrite(table, lambda text: text.encode(str(work.rng.choice(["utf-16", "utf-16-le", "utf-32"]))))
    return Refused(f"{work.folder}/{table}.csv row 1: ", None, "must be UTF-8 text; byte 0x")


@refused
def row_beyond_two_megabytes(work: Work) -> Refused:
    place = work.pick("drugs")
    work.put("drugs", place, "drug", "x" * 2_100_000)
    return Refused(work.where("drugs", place), "drug", "a row has at most 2,000,000 bytes; 2,1")


@refused
def key_that_comes_twice(work: Work) -> Refused:
    """One of the two values would be lost."""
    work.any_form("jsonl", "records")
    place = work.pick("vitals")
    row = work.rows["vitals"][place]
    work.put("vitals", place, "hr", "@")
    again = str(work.rng.choice(["hr", "HR"])) if work.form == "jsonl" else "hr"
    twice = f'1, "{again}": 2'
    lines = (
        work.records()
        if work.form == "records"
        else "".join(json.dumps(r) + "\n" for r in work.rows["vitals"])
    )
    name = "r.jsonl" if work.form == "records" else "vitals.jsonl"
    work.files[name] = lines.replace('"@"', twice).encode()
    where = work.where("vitals", place).replace(", 'vitals'", "")
    assert row["hr"] == "@"
    return Refused(f"{where}, column ", None, "a key stands once in an object")


@refused
def key_in_two_spellings(work: Work) -> Refused:
    """A database takes them for one column."""
    work.any_form("jsonl", "records")
    if work.form == "records":  # so that their order is that of the records
        order = [row["id"] for row in work.truth["samples"]]
        work.rows["vitals"].sort(key=lambda row: order.index(row["id"]))
    place = work.pick("vitals", first=1)
    if work.form == "records" and work.rows["vitals"][place]["id"] == work.rows["vitals"][0]["id"]:
        place = len(work.rows["vitals"]) - 1
    row = work.rows["vitals"][place]
    row["HR"] = row.pop("hr")
    where = work.where("vitals", place).replace(", 'vitals'", "")
    return Refused(where, "HR", "a key is spelt one way in all objects; 'hr' came, too")
