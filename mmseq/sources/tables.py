"""Long tables in files below one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from duckdb import DuckDBPyConnection
from pydantic import Field

from mmseq.config.paths import YamlPath
from mmseq.errors import DataError
from mmseq.registry import did_you_mean
from mmseq.sources import AbsentTable, Source, SourceConfig, Table, sources
from mmseq.sources.files import READERS, digest_files, open_file

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


class TablesConfig(SourceConfig):
    """Tables in files; a table's name is its path below `root`."""

    kind: Literal["tables"]
    root: YamlPath = Field(description="folder that holds the files")
    id: str = Field("sample_id", description="column that says which sample a row belongs to")
    group: str | None = Field(None, description="column of what must not straddle splits, such as a person")
    missing: list[str] = Field(MISSING, description="cells that stand for a missing value")


@sources.register(TablesConfig)
class TablesSource(Source):
    """CSV, Parquet and JSONL files, the text ones plain or gzipped."""

    place = "root"
    place_is_folder = True
    markers = "data.source.missing"

    def __init__(self, *, root: Path, id: str, group: str | None, missing: list[str]) -> None:
        self.root = self.folder = Path(root)
        self.id = id
        self.group = group
        self.missing = tuple(missing)

    def table(self, connection: DuckDBPyConnection, name: str) -> Table:
        path = self._path(name)
        if not path.is_file():
            raise AbsentTable(
                f"{path}: a table must be a file below `root`; there is none"
                f"{did_you_mean(name, self._names()) or '; put it there or correct the name'}"
            )
        return open_file(connection, path)

    def fingerprint(self, names: list[str]) -> str:
        paths = [self._path(name) for name in sorted(set(names))]
        return digest_files(path for path in paths if path.is_file())

    def _path(self, name: str) -> Path:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(
                f"{self.root}: a table is a path below `root`; {name!r} is not; move the file there"
            )
        return self.root / name

    def _names(self) -> list[str]:
        endings = tuple(e + z for endings in READERS for e in endings for z in ("", ".gz"))
        return [str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.name.endswith(endings)]
