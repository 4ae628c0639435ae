"""The contract of a source: the same data give the same store, however they are held."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow
import pyarrow.parquet

from mmseq.sources import AbsentTable, Pivot, Reading, Source, sources
from mmseq.sources.arrow import split_records
from mmseq.store import Gathered, Plan, Store, prepare

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
    """The example records as a built-in kind of source holds them: once for each form that it knows.

    A plugin's source is made by its author, over `example_records()`, and given to `check_source`.
    """
    records = example_records() if records is None else records
    makers: dict[str, Callable[[Path, Records], list[Source]]] = {
        "tables": _tables,
        "records": _records,
        "memory": _memory,
    }
    return makers[kind](folder, records) if kind in makers else []


def check_source(source: Source, folder: Path) -> None:
    """Checks that a source of the example records gives the store that they make.

    Args:
        source: over `example_records()`, with the id `id` and the group `ward`.
        folder: an empty one, for stores.

    Raises:
        AssertionError: a rule is broken; the message says which.
    """
    ending = getattr(source, "ending", "")
    plan = example_plan(ending)
    expected = _memory(folder, example_records())[0]
    _check_same(
        prepare(plan, source, folder / "given"), prepare(example_plan(), expected, folder / "expected")
    )
    names = plan.tables()
    assert source.fingerprint(names) == source.fingerprint(names), "fingerprint: must stay while the data do"
    with duckdb.connect() as connection:
        for name in names:
            table = source.table(connection, name)
            _check_table(connection, source, table.sql, table.located, table.columns, table.where)
        try:
            source.table(connection, f"nothing{ending}")
        except AbsentTable as error:
            assert "nothing" in str(error), "table: an error must name what is not there"
        else:
            raise AssertionError("table: must raise AbsentTable for a table that is not there")


def _check_table(
    connection: duckdb.DuckDBPyConnection, source: Source, sql: str, located: str, columns: Any, where: str
) -> None:
    assert source.id in columns, f"{where}: the id must be among the columns"
    rows = connection.sql(sql).fetchall()
    placed = connection.sql(f"SELECT mmseq_row, * FROM ({located})").fetchall()
    assert [row[2:] for row in placed] == rows, (
        f"{where}: `located` must give the same rows in the same order"
    )
    assert all(isinstance(row[0], str) for row in placed), f"{where}: mmseq_row must be text"
    assert len(columns) == len(rows[0]), f"{where}: `columns` must name every column"


def _check_same(given: Store, expected: Store) -> None:
    assert given.ids.tolist() == expected.ids.tolist(), "ids: must be those of the records, in their order"
    assert given.groups is not None and expected.groups is not None, "groups: must be there"
    assert given.groups.tolist() == expected.groups.tolist(), "groups: must be those of the records"
    one, two = (_whole(store) for store in (given, expected))
    for name in given.modalities + given.tasks:
        assert given.columns(name) == expected.columns(name), f"{name}: columns differ"
        assert given.vocabularies(name) == expected.vocabularies(name), f"{name}: vocabularies differ"
        mine, theirs = ((g.events | g.targets)[name] for g in (one, two))
        np.testing.assert_array_equal(mine.step, theirs.step, f"{name}: steps differ")
        for part, array in theirs.arrays.items():
            np.testing.assert_array_equal(mine.arrays[part], array, f"{name}: {part} differ")
    np.testing.assert_array_equal(one.time, two.time, "times differ")


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
