"""A typed copy of a source table."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmseq.sources import Table
from mmseq.store.cells import Cell, Kind


@dataclass
class Raw:
    """A typed copy of a source table; its `id` is the sample's id, its `rowid` the row's order.

    Attributes:
        name: of the typed table.
        table: where it comes from.
        cells: what each typed column is.
        n_rows: its rows.
    """

    name: str
    table: Table
    cells: dict[str, Cell] = field(default_factory=dict)
    n_rows: int = 0

    def add(self, cell: Cell) -> None:
        """A cell that is read twice alike is stored once."""
        if cell not in self.cells.values():
            self.cells["id" if cell.kind == "id" else f"c{len(self.cells)}"] = cell

    def find(self, column: str, *kinds: Kind) -> str:
        """The typed column that holds a source column as one of these kinds."""
        return next(name for name, cell in self.cells.items() if cell.column == column and cell.kind in kinds)

    def time(self, column: str) -> str:
        """The typed column that holds a time."""
        return self.find(column, "clock", "moment")

    def last(self, column: str) -> str:
        """The typed column that holds the samples' last times."""
        return self.find(column, "last clock", "last moment")
