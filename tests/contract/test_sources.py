"""Every source gives the same store for the same data, and keeps what the store relies on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmseq.sources import AbsentTable, Source, Table, sources
from mmseq.testing import check_kind
from mmseq.testing.sources import (
    changed_records,
    check_source,
    example_records,
    sources_of,
)


@pytest.mark.parametrize("kind", sources.kinds())
def test_contract(kind: str) -> None:
    check_kind("sources", kind)


class Wrapped(Source):
    """A good source, a part of which a subclass spoils."""

    def __init__(self, good: Source) -> None:
        self.good = good
        self.id, self.group, self.samples = good.id, good.group, good.samples
        self.missing, self.open_world = good.missing, good.open_world

    def table(self, connection: Any, name: str) -> Table:
        return self.good.table(connection, name)

    def fingerprint(self, names: list[str]) -> str:
        return self.good.fingerprint(names)


class Spoils(Wrapped):
    """Selects from a table what it does not hold."""

    names: tuple[str, ...]
    query: str

    def table(self, connection: Any, name: str) -> Table:
        table = super().table(connection, name)
        if name not in self.names:
            return table
        spoilt = (self.query.format(query) for query in (f"({table.sql})", f"({table.located})"))
        return replace(table, sql=next(spoilt), located=next(spoilt))


class ChangesValues(Spoils):
    names, query = ("vitals",), "SELECT * REPLACE (1 AS hr) FROM {}"


class ChangesTimes(Spoils):
    names, query = ("vitals", "labs", "drugs"), "SELECT * REPLACE (2 * time AS time) FROM {}"


class LosesRows(Spoils):
    names, query = ("vitals",), "SELECT * FROM {} WHERE hr < 100"


class NamesOtherCodes(Spoils):
    names, query = ("labs",), "SELECT * REPLACE (code || '2' AS code) FROM {}"


class ChangesWords(Spoils):
    names, query = ("drugs",), "SELECT * REPLACE (drug || '2' AS drug) FROM {}"


class TurnsSamplesRound(Spoils):
    names, query = ("samples",), "SELECT * FROM {} ORDER BY id DESC"


class AddsColumn(Spoils):
    names, query = ("outcome",), "SELECT *, 1 AS more FROM {}"


class TurnsRowsRound(Wrapped):
    def table(self, connection: Any, name: str) -> Table:
        table = super().table(connection, name)
        return replace(table, located=f"SELECT * FROM ({table.located}) ORDER BY mmseq_row DESC")


class NumbersRows(Wrapped):
    def table(self, connection: Any, name: str) -> Table:
        table = super().table(connection, name)
        located = f"SELECT row_number() OVER () AS mmseq_row, * EXCLUDE (mmseq_row) FROM ({table.located})"
        return replace(table, located=located)


class LeavesOutId(Wrapped):
    def table(self, connection: Any, name: str) -> Table:
        table = super().table(connection, name)
        return replace(table, columns=tuple(column for column in table.columns if column != self.id))


class TurnsEveryOtherTime(Wrapped):
    n = 0

    def table(self, connection: Any, name: str) -> Table:
        table = super().table(connection, name)
        if name != "outcome":
            return table
        self.n += 1
        order = f"ORDER BY {self.id} {'DESC' if self.n % 2 else 'ASC'}"
        turned = (f"SELECT * FROM ({query}) {order}" for query in (table.sql, table.located))
        return replace(table, sql=next(turned), located=next(turned))


class FingerprintsTime(Wrapped):
    n = 0

    def fingerprint(self, names: list[str]) -> str:
        self.n += 1
        return str(self.n)


class FingerprintsNames(Wrapped):
    def fingerprint(self, names: list[str]) -> str:
        return " ".join(names)


class RaisesOther(Wrapped):
    def table(self, connection: Any, name: str) -> Table:
        try:
            return super().table(connection, name)
        except AbsentTable as error:
            raise KeyError(name) from error


class NamesNoTable(Wrapped):
    def table(self, connection: Any, name: str) -> Table:
        try:
            return super().table(connection, name)
        except AbsentTable as error:
            raise AbsentTable("there is no such table") from error


class MakesTables(Wrapped):
    def table(self, connection: Any, name: str) -> Table:
        return super().table(connection, "vitals" if name == "nothing" else name)


class ForgetsGroup(Wrapped):
    def __init__(self, good: Source) -> None:
        super().__init__(good)
        self.group = None


FAULTS: list[tuple[type[Wrapped], str]] = [
    (TurnsSamplesRound, "samples: ids are those of the records, in their order"),
    (NamesOtherCodes, "values: the table of labs holds what the records hold; columns"),
    (ChangesWords, "values: the table of drugs holds what the records hold; other words"),
    (LosesRows, "values: the table of vitals holds what the records hold; other steps"),
    (ChangesTimes, "values: times are those of the records"),
    (AddsColumn, "rows: `columns` names every column"),
    (NamesNoTable, "absent table: .*; 'there is no such table' came"),
    (MakesTables, "absent table: .*; a table came"),
    (ChangesValues, "values: the table of vitals holds what the records hold"),
    (TurnsRowsRound, "rows: `located` gives the same rows in the same order"),
    (NumbersRows, "rows: `mmseq_row` is text"),
    (LeavesOutId, "rows: the id is among a table's columns"),
    (TurnsEveryOtherTime, "repeatable: a table gives the same rows in the same order each time"),
    (FingerprintsTime, "fingerprint: the fingerprint stays while the data do"),
    (FingerprintsNames, "fingerprint: the fingerprint changes with the data"),
    (RaisesOther, "absent table: a table that is not there is an AbsentTable"),
    (ForgetsGroup, "samples: each sample has the group that its record has"),
]


@pytest.mark.parametrize(("wrapped", "rule"), FAULTS, ids=[c.__name__ for c, _ in FAULTS])
def test_planted_fault_is_caught(wrapped: type[Wrapped], rule: str, tmp_path: Path) -> None:
    (good, *_), (other, *_) = (sources_of("memory", tmp_path, r) for r in (None, changed_records()))
    with pytest.raises(AssertionError, match=rule) as caught:
        check_source(wrapped(good), tmp_path / "stores", wrapped(other))
    assert str(caught.value).startswith(f"{wrapped.__name__}: ")
    assert str(caught.value).count("; ") >= 2  # rule; what came; what to do


def test_the_contract_can_fail(tmp_path: Path) -> None:
    records = example_records()
    records[3]["vitals"][0]["hr"] += 1
    (broken,) = sources_of("records", tmp_path, records)[:1]
    with pytest.raises(AssertionError, match="vitals"):
        check_source(broken, tmp_path / "stores")
