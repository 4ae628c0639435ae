"""Clean random tables, the forms that they can be given in, and what a recipe may do to them."""

from __future__ import annotations

import copy
import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet

from mmseq.config.experiment import Experiment

Row = dict[str, Any]
Tables = dict[str, list[Row]]

COLUMNS = {
    "samples": ["id", "ward", "age", "family", "part", "last"],
    "vitals": ["id", "t", "hr", "bp", "device"],
    "labs": ["id", "t", "item", "value"],
    "drugs": ["id", "t", "drug"],
    "labels": ["id", "outcome", "score"],
    "stages": ["id", "t", "stage"],
}
TIMED = ("vitals", "labs", "drugs", "stages")
FORMS = ("csv", "parquet", "jsonl", "records", "pandas", "polars", "lists")
FILES = ("csv", "parquet", "jsonl")
MEMORY = ("pandas", "polars", "lists")


def clean_tables(rng: np.random.Generator) -> Tables:
    """A few samples, each column with gaps, times shared between and within tables, some samples bare."""
    n = int(rng.integers(7, 11))
    ids = [f"p{i}" for i in rng.permutation(30)[:n]]

    def maybe(value: Any, share: float = 0.25) -> Any:
        return None if rng.random() < share else value

    def number(digits: int = 2) -> float:
        return round(float(rng.normal(50, 20)), digits)

    def event(**cells: Any) -> Row:
        return {"id": str(rng.choice(ids[1:])), "t": int(rng.integers(0, 60)) / 4} | cells

    return {
        "samples": [
            {
                "id": i,
                "ward": maybe("abc"[rng.integers(3)]),
                "age": maybe(float(rng.integers(20, 90))),
                "family": f"f{place // 2}",
                "part": ("train", "train", "train", "train", "validation", "test")[min(place, 5)],
                "last": maybe(float(rng.integers(4, 14))),
            }
            for place, i in enumerate(ids)
        ],
        "vitals": [
            event(hr=maybe(number()), bp=maybe(number(4)), device=f"d{rng.integers(3)}") for _ in range(30)
        ],
        "labs": [event(item=str(rng.choice(["k", "na", "ph"])), value=number(3)) for _ in range(25)],
        "drugs": [event(drug=maybe(f"drug {rng.integers(5)}")) for _ in range(20)],
        "labels": [
            {"id": i, "outcome": ("home", "died")[place % 2], "score": maybe(number(3))}
            for place, i in enumerate(ids)
            if place < 4 or rng.random() < 0.7
        ],
        "stages": [event(stage=str(rng.choice(["early", "late"]))) for _ in range(15)],
    }


@dataclass
class Work:
    """Tables that a recipe makes dirty.

    Attributes:
        rng: the only source of chance.
        folder: where files go.
        truth: what the tables mean; times are numbers, or nanoseconds where `clock` is `moment`.
        rows: what is given, cell by cell.
        columns: of each table as given, in order.
        form: how all tables are given.
        files: what stands in a file instead of what `form` makes of its rows.
        config: what the run's `data` says, beside its source and store.
        source: what the run's `data.source` says, beside kind and place.
        cut: bytes that are cut from the end of a Parquet file.
        renamed: files that are called otherwise than their table.
        frames: by table, how a frame in memory or an Arrow table is changed before it is given.
    """

    rng: np.random.Generator
    folder: Path
    truth: Tables
    rows: Tables
    columns: dict[str, list[str]] = field(default_factory=lambda: copy.deepcopy(COLUMNS))
    form: str = "csv"
    clock: str = "number"
    files: dict[str, bytes] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    frames: dict[str, Callable[[Any], Any]] = field(default_factory=dict)

    @classmethod
    def create(cls, seed: int, folder: Path) -> Work:
        rng = np.random.default_rng(seed)
        truth = clean_tables(rng)
        work = cls(rng, folder, truth, copy.deepcopy(truth))
        if rng.random() < 0.5:
            work.config["until"] = "last"
        if rng.random() < 0.5:
            work.config["split"] = {"column": "part"}
        return work

    # What a recipe does.

    def pick(self, table: str, column: str | None = None, first: int = 0) -> int:
        """The place of a row, not before `first`; one that has a value in a column, if one is named."""
        rows = self.rows[table]
        return int(
            self.rng.choice(
                [i for i in range(first, len(rows)) if column is None or rows[i][column] is not None]
            )
        )

    def put(self, table: str, place: int, column: str, cell: Any, meant: Any = ...) -> None:
        """Replaces a cell as given; and what it means, where that changes, too."""
        self.rows[table][place][column] = cell
        if meant is not ...:
            self.truth[table][place][column] = meant

    def insert(self, table: str, row: Row, meant: bool = True, place: int | None = None) -> int:
        """Puts in a row, anywhere or at a place; tells where it is."""
        place = int(self.rng.integers(len(self.rows[table]) + 1)) if place is None else place
        self.rows[table].insert(place, dict(row))
        if meant:
            self.truth[table].insert(place, dict(row))
        return place

    def event(self, table: str) -> Row:
        """A row of a table, as a copy."""
        return dict(self.truth[table][self.pick(table)])

    def any_form(self, *forms: str) -> str:
        self.form = str(self.rng.choice(forms or FORMS))
        return self.form

    def to_moments(self, write: Callable[[int], Any]) -> None:
        """Times become moments: quarters of an hour after a date; `write` says how they are given."""
        start = 1_709_000_000 * 10**9
        self.clock = "moment"
        columns = [(table, "t") for table in TIMED] + [("samples", "last")]
        for table, column in columns:
            for given, meant in zip(self.rows[table], self.truth[table], strict=True):
                if meant[column] is not None:
                    meant[column] = start + int(meant[column] * 3600 * 10**9)
                    given[column] = write(meant[column])

    def csv(self, table: str, **options: Any) -> str:
        """The text of a table."""
        text = io.StringIO()
        writer = csv.writer(text, **{"lineterminator": "\n", **options})
        writer.writerow(self.columns[table])
        writer.writerows([[cell(row.get(c)) for c in self.columns[table]] for row in self.rows[table]])
        return text.getvalue()

    def rewrite(self, table: str, change: Callable[[str], str | bytes], **options: Any) -> None:
        """Changes the text of a CSV file."""
        text = change(self.csv(table, **options))
        self.files[f"{table}.csv"] = text if isinstance(text, bytes) else text.encode()

    # How it is given.

    def name(self, table: str) -> str:
        """What the run calls a table."""
        return self.renamed.get(table, f"{table}.{self.form}" if self.form in FILES else table)

    def where(self, table: str, *places: int) -> str:
        """How an error begins that is about these rows."""
        match self.form:
            case "records":
                order = [row["id"] for row in self.truth["samples"]]
                of = "" if table == "samples" else f", {table!r}"
                ids = [self.rows[table][place]["id"] for place in places]
                numbers = places if table == "samples" else [order.index(i) for i in ids]
                start, rows = f"{self.folder}/r.jsonl{of}", [f"record {n + 1}" for n in numbers]
            case "csv":
                start, rows = f"{self.folder}/{table}.csv", [f"row {place + 2}" for place in places]
            case "parquet" | "jsonl":
                start, rows = f"{self.folder}/{self.name(table)}", [f"row {place + 1}" for place in places]
            case _:
                start, rows = f"table {table!r}", [f"row {place + 1}" for place in places]
        return f"{start} {' and '.join(rows)}".strip()

    def experiment(self) -> Experiment:
        kind = "records" if self.form == "records" else "tables" if self.form in FILES else "memory"
        place = {"tables": {"root": str(self.folder)}, "records": {"path": str(self.folder / "r.jsonl")}}
        source = {"kind": kind, "id": "id", **place.get(kind, {}), **self.source}
        name = self.name
        timed = {"time": "t"}
        return Experiment.model_validate(
            {
                "name": "dirty",
                "data": {"source": source, "samples": name("samples"), "store": str(self.folder / "stores")}
                | self.config,
                "timeline": {"unit": "minutes"},
                "modalities": {
                    "vitals": {"kind": "numeric", "table": name("vitals"), "columns": ["hr", "bp"]} | timed,
                    "labs": {
                        "kind": "numeric",
                        "table": name("labs"),
                        "pivot": {"code": "item", "value": "value"},
                    }
                    | timed,
                    "drugs": {"kind": "category", "table": name("drugs"), "columns": ["drug"]} | timed,
                    "ward": {"kind": "category", "table": name("samples"), "columns": ["ward"]},
                    "age": {"kind": "numeric", "table": name("samples"), "columns": ["age"]},
                },
                "fusion": {"kind": "sum", "width": 4},
                "core": {"kind": "rnn", "hidden": 4},
                "tasks": {
                    "outcome": {"kind": "classification", "table": name("labels"), "column": "outcome"},
                    "score": {"kind": "regression", "table": name("labels"), "column": "score"},
                    "stage": {"kind": "classification", "table": name("stages"), "column": "stage"} | timed,
                },
                "training": {"epochs": 1, "threads": 1, "accelerator": "cpu"},
            }
        )

    def write(self) -> Any:
        """Writes the files, or makes what is given from memory."""
        match self.form:
            case "csv":
                for table in self.rows:
                    name = self.name(table)
                    text = self.files[name] if name in self.files else self.csv(table).encode()
                    (self.folder / name).write_bytes(text)
            case "parquet":
                for table in self.rows:
                    path = self.folder / f"{table}.parquet"
                    pyarrow.parquet.write_table(self.frame(table), path)
                    if path.name in self.cut:
                        path.write_bytes(path.read_bytes()[: -self.cut[path.name]])
            case "jsonl":
                for table, rows in self.rows.items():
                    lines = "".join(json.dumps(row) + "\n" for row in rows)
                    text = self.files.get(f"{table}.jsonl", lines.encode())
                    (self.folder / f"{table}.jsonl").write_bytes(text)
            case "records":
                (self.folder / "r.jsonl").write_bytes(self.files.get("r.jsonl", self.records().encode()))
            case _:
                return {table: self.frame(table) for table in self.rows}
        return None

    def frame(self, table: str) -> Any:
        """A table as a frame of the form's own library."""
        columns = {c: [row.get(c) for row in self.rows[table]] for c in self.columns[table]}
        if self.form in ("parquet", "polars"):  # strict libraries: a column with one text is text
            columns = {c: _even(cells) for c, cells in columns.items()}
        make = {
            "parquet": pyarrow.table,
            "pandas": pandas.DataFrame,
            "polars": polars.DataFrame,
            "lists": dict,
        }
        return self.frames.get(table, lambda frame: frame)(make[self.form](columns))

    def records(self) -> str:
        lines = []
        for sample in self.rows["samples"]:
            nested = {
                table: [
                    {c: v for c, v in row.items() if c != "id"} for row in rows if row["id"] == sample["id"]
                ]
                for table, rows in self.rows.items()
                if table != "samples"
            }
            lines.append(json.dumps(sample | nested) + "\n")
        return "".join(lines)


def _even(cells: list[Any]) -> list[Any]:
    if not any(isinstance(value, str) for value in cells):
        return cells
    return [None if value is None else cell(value) for value in cells]


def cell(value: Any) -> str:
    """A cell of CSV."""
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return repr(int(value)) if abs(value) < 1e15 else repr(value)
    return "" if value is None else value if isinstance(value, str) else repr(value)


@dataclass(frozen=True)
class Kept:
    """The store equals the oracle of the truth.

    Attributes:
        remarks: by modality or task, what must be counted among what was dropped or averaged: (why, how
            often at least).
    """

    remarks: dict[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """A DataError whose text begins with file, rows and column.

    Attributes:
        where: what it begins with.
        column: that it names next; None where it is about no column.
        said: that it says, too.
        by_training: the store is right; it is training that refuses.
    """

    where: str
    column: str | None
    said: str
    by_training: bool = False

    @property
    def begins(self) -> str:
        return self.where if self.column is None else f"{self.where}, column {self.column!r}: "
