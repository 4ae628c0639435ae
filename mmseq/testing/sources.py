"""The contract of a source: the same data give the same store, however they are held."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow
import pyarrow.parquet

from mmseq.sources import AbsentTable, Pivot, Reading, Source, Table, sources
from mmseq.sources.arrow import split_records
from mmseq.store import Gathered, Plan, Store, prepare
from mmseq.testing.compare import require
from mmseq.testing.contract import Case, Check, Contract, NoExample

Records = list[dict[str, Any]]
ENDINGS = {"tables": (".csv", ".csv.gz", ".parquet", ".jsonl")}


def example_records(n_samples: int = 12) -> Records:
    """Samples with numbers, codes, a long table, gaps, labels for some, and none for others."""
    rng = np.random.default_rng(4)

    def maybe(value: Any) -> Any:
        return value if rng.random() < 0.7 else None

    return [
        {
            "id": f"s{i}",
            "ward": str(rng.choice(["north", "south"])),
            "age": maybe(int(rng.integers(18, 90))),
            "vitals": [
                {
                    "time": float(t),
                    "hr": float(rng.integers(500, 900)) / 8,
                    "bp": maybe(float(rng.integers(90))),
                }
                for t in np.sort(rng.integers(0, 40, rng.integers(0, 9))) / 4
            ],
            "labs": [
                {"time": float(t), "code": str(rng.choice(["na", "k"])), "value": float(rng.integers(9))}
                for t in rng.integers(0, 12, rng.integers(1, 6))
            ],
            "drugs": [
                {"time": float(t), "drug": maybe(f"d{rng.integers(4)}")} for t in rng.integers(0, 12, 3)
            ],
            "outcome": {"died": str(rng.choice(["no", "yes"])), "days": float(rng.integers(1, 9))},
        }
        for i in range(n_samples)
    ]


def example_plan(ending: str = "") -> Plan:
    """How the example records are read; `ending` is that of tables in files."""
    return Plan(
        {
            "vitals": Reading(f"vitals{ending}", "time", ("hr", "bp")),
            "labs": Reading(f"labs{ending}", "time", pivot=Pivot("code", "value")),
            "drugs": Reading(f"drugs{ending}", "time", codes=("drug",)),
            "age": Reading(f"samples{ending}", numbers=("age",)),
        },
        {
            "died": Reading(f"outcome{ending}", codes=("died",)),
            "days": Reading(f"outcome{ending}", numbers=("days",)),
        },
        samples=f"samples{ending}",
    )


def sources_of(kind: str, folder: Path, records: Records | None = None) -> list[Source]:
    """The example records as a kind of source holds them: once for each form that it knows.

    A plugin's source says how, by a class method `examples(folder, records)` that writes the records into
    the folder and returns sources of them, with the id `id` and the group `ward`.

    Raises:
        NoExample: its class has no `examples`.
    """
    records = example_records() if records is None else records
    makers: dict[str, Callable[[Path, Records], list[Source]]] = {
        "tables": _tables,
        "records": _records,
        "memory": _memory,
    }
    own = makers.get(kind) or getattr(sources.component_class(kind), "examples", None)
    if own is None:
        raise NoExample(
            f"nobody knows how a source of kind {kind!r} holds the example records; give its class a class "
            "method `examples(folder, records)` that writes them and returns sources of them"
        )
    return list(own(folder, records))


def check_source(source: Source, folder: Path, changed: Source | None = None) -> None:
    """Checks that a source of the example records gives the store that they make.

    Args:
        source: over `example_records()`, with the id `id` and the group `ward`.
        folder: for stores.
        changed: the same over records of which one has another value, to see whether it is noticed.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
    """
    folder.mkdir(parents=True, exist_ok=True)
    Case(CONTRACT, lambda: SourceTrial(source, folder, changed)).require()


def changed_records() -> Records:
    """The example records, one value of which is another."""
    records = example_records()
    row = next(record for record in records if record["vitals"])["vitals"][0]
    row["hr"] += 1
    return records


def cases(kind: str, options: Mapping[str, Any], seed: int = 0) -> list[Case[Any]]:
    """Each form in which a kind of source holds the example records.

    Args:
        kind: of the source.
        options: it takes none: what a source is built with is where its data are.
        seed: nothing is drawn.
    """
    if options:
        raise NoExample("a source is built by its class's `examples`; leave the options out")
    place = _Place()
    made = sources_of(kind, place.folder("given"))
    others = sources_of(kind, place.folder("changed"), changed_records())

    def case(number: int) -> Case[SourceTrial]:
        def trial() -> SourceTrial:
            return SourceTrial(made[number], place.folder("stores"), others[number])

        return Case(CONTRACT, trial, f"form {number + 1}" if len(made) > 1 else "")

    return [case(number) for number in range(len(made))]


class _Place:
    """A folder that goes when nobody needs it any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="mmseq-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def folder(self, name: str) -> Path:
        (self.path / name).mkdir(exist_ok=True)
        return self.path / name


class SourceTrial:
    """A source of the example records, and the stores that it and they make."""

    def __init__(self, source: Source, folder: Path, changed: Source | None) -> None:
        self.source, self.changed = source, changed
        self.folder = folder
        self.ending = getattr(source, "ending", "")
        self.names = example_plan(self.ending).tables()

    @cached_property
    def stores(self) -> tuple[Store, Store]:
        """What the source gives, built anew, and what is expected, which one folder keeps for all trials."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        expected = _memory(self.folder, example_records())[0]
        given = prepare(example_plan(self.ending), self.source, folder / "given")
        return given, prepare(example_plan(), expected, self.folder / "expected")

    def table(self, connection: duckdb.DuckDBPyConnection, name: str) -> Table:
        return self.source.table(connection, name)


def _check_samples(trial: SourceTrial) -> None:
    given, expected = trial.stores
    good = given.ids.tolist() == expected.ids.tolist()
    rule, remedy = "ids are those of the records, in their order", "give the rows in the order of the data"
    require(good, trial.source, rule, f"{given.ids.tolist()[:5]} … came", remedy)
    good = given.groups is not None and expected.groups is not None
    good = good and np.asarray(given.groups).tolist() == np.asarray(expected.groups).tolist()
    rule = "each sample has the group that its record has"
    require(good, trial.source, rule, "others came", "read `group` from the table that has it")


def _check_values(trial: SourceTrial) -> None:
    given, expected = trial.stores
    one, two = _whole(given), _whole(expected)
    remedy = "give every cell as the data have it, NULL or a word of `missing` where there is none"
    for name in given.modalities + given.tasks:
        rule = f"the table of {name} holds what the records hold"
        good = given.columns(name) == expected.columns(name)
        require(good, trial.source, rule, f"columns {given.columns(name)} came", remedy)
        good = given.vocabularies(name) == expected.vocabularies(name)
        require(good, trial.source, rule, "other words came", remedy)
        mine, theirs = ((g.events | g.targets)[name] for g in (one, two))
        require(np.array_equal(mine.step, theirs.step), trial.source, rule, "other steps came", remedy)
        for part, array in theirs.arrays.items():
            equal = np.array_equal(mine.arrays[part], array, equal_nan=array.dtype.kind == "f")
            require(equal, trial.source, rule, f"other {part} came", remedy)
    good = np.array_equal(one.time, two.time)
    require(good, trial.source, "times are those of the records", "others came", remedy)


def _check_rows(trial: SourceTrial) -> None:
    with duckdb.connect() as connection:
        for name in trial.names:
            table = trial.table(connection, name)
            good = trial.source.id in table.columns
            rule, remedy = "the id is among a table's columns", "name it in `columns`"
            require(good, trial.source, rule, f"{table.where} has {table.columns}", remedy)
            rows = connection.sql(table.sql).fetchall()
            good = len(table.columns) == len(rows[0])
            came = f"{table.where} has {len(rows[0])} for {table.columns}"
            require(good, trial.source, "`columns` names every column", came, "name them in order")
            placed = connection.sql(f"SELECT mmseq_row, * FROM ({table.located})").fetchall()
            rule = "`located` gives the same rows in the same order"
            good = [row[2:] for row in placed] == rows
            require(good, trial.source, rule, f"others came of {table.where}", "add `mmseq_row` to the query")
            good = all(isinstance(row[0], str) for row in placed)
            rule, remedy = "`mmseq_row` is text that tells where a row stands", "make it 'row 17'"
            require(good, trial.source, rule, f"{type(placed[0][0]).__name__} came", remedy)


def _check_repeatable(trial: SourceTrial) -> None:
    with duckdb.connect() as connection:
        for name in trial.names:
            first, again = (connection.sql(trial.table(connection, name).sql).fetchall() for _ in range(2))
            rule, remedy = "a table gives the same rows in the same order each time", "order the query"
            require(first == again, trial.source, rule, f"{name} gave others", remedy)


def _check_fingerprint(trial: SourceTrial) -> None:
    source = trial.source
    good = source.fingerprint(trial.names) == source.fingerprint(trial.names)
    rule, remedy = "the fingerprint stays while the data do", "hash contents, not times or addresses"
    require(good, source, rule, "two calls gave two", remedy)
    if trial.changed is not None:
        good = source.fingerprint(trial.names) != trial.changed.fingerprint(trial.names)
        rule, remedy = "the fingerprint changes with the data", "hash the contents of the named tables"
        require(good, source, rule, "another value gave the same", remedy)


def _check_absent(trial: SourceTrial) -> None:
    name, rule = f"nothing{trial.ending}", "a table that is not there is an AbsentTable that names it"
    remedy = "raise mmseq.sources.AbsentTable with the name and those that there are"
    with duckdb.connect() as connection:
        try:
            trial.table(connection, name)
        except AbsentTable as error:
            require("nothing" in str(error), trial.source, rule, f"{str(error)!r} came", remedy)
        except Exception as error:
            require(False, trial.source, rule, f"{type(error).__name__} came", remedy)
        else:
            require(False, trial.source, rule, "a table came", remedy)


CONTRACT: Contract[SourceTrial] = (
    Check("samples", "ids and groups are those of the records, in their order", _check_samples),
    Check("values", "tables hold what the records hold, whatever form they are in", _check_values),
    Check("rows", "columns are named, and `located` says of every row where it stands", _check_rows),
    Check("repeatable", "a table gives the same rows in the same order each time", _check_repeatable),
    Check(
        "fingerprint", "the fingerprint stays while the data do, and changes with them", _check_fingerprint
    ),
    Check("absent table", "a table that is not there is an AbsentTable that names it", _check_absent),
)


def _whole(store: Store) -> Gathered:
    return store.gather(np.arange(len(store)))


def _memory(folder: Path, records: Records) -> list[Source]:
    tables = {name: pyarrow.Table.from_pylist(rows) for name, rows in split_records(records, "id").items()}
    given = [
        tables,
        split_records(records, "id"),
        {name: table.to_pydict() for name, table in tables.items()},
        records,
    ]
    config = sources.parse({"kind": "memory", "id": "id", "group": "ward"})
    return [sources.build(config, held) for held in given]


def _records(folder: Path, records: Records) -> list[Source]:
    lines = "\n".join(json.dumps(record) for record in records)
    (folder / "records.jsonl").write_text(lines, encoding="utf-8")
    (folder / "records.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "each").mkdir()
    for i, record in enumerate(records):
        (folder / "each" / f"{i:03d}.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    places = ["records.jsonl", "records.jsonl.gz", "each", "each/*.json"]
    return [_built("records", path=folder / place) for place in places]


def _tables(folder: Path, records: Records) -> list[Source]:
    made = []
    for ending in ENDINGS["tables"]:
        for name, rows in split_records(records, "id").items():
            _write(folder / f"{name}{ending}", rows)
        source = _built("tables", root=folder)
        source.ending = ending  # type: ignore[attr-defined]
        made.append(source)
    return made


def _built(kind: str, **options: Any) -> Source:
    return sources.build(sources.parse({"kind": kind, "id": "id", "group": "ward", **options}))


def _write(path: Path, rows: Records) -> None:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "wt", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
