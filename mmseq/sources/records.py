"""One record a sample, with lists of events in it."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import Literal

from duckdb import DuckDBPyConnection
from pydantic import Field

from mmseq.config.paths import YamlPath
from mmseq.errors import DataError
from mmseq.registry import did_you_mean
from mmseq.sources import AbsentTable, Source, SourceConfig, Table, sources
from mmseq.sources.files import digest_files, located, text

SAMPLES = "samples"


class RecordsConfig(SourceConfig):
    """JSON records; a table is a field that holds a list, `samples` the fields that hold one value."""

    kind: Literal["records"]
    path: YamlPath = Field(description="a JSONL file, a folder of .json files, or a glob of them")
    id: str = Field("id", description="field that names the sample")
    group: str | None = Field(None, description="field of what must not straddle splits, such as a person")


@sources.register(RecordsConfig)
class RecordsSource(Source):
    """A record such as `{"id": 7, "age": 61, "vitals": [{"time": 0, "hr": 80}, {"time": 5, "hr": 84}]}`."""

    samples = SAMPLES
    place = "path"
    open_world = True

    def __init__(self, *, path: Path, id: str, group: str | None) -> None:
        self.path, self.id, self.group = Path(path), id, group

    def table(self, connection: DuckDBPyConnection, name: str) -> Table:
        fields = self._fields(connection)
        if name == SAMPLES:
            scalars = tuple(sorted(f for f, types in fields.items() if not types & {"ARRAY", "OBJECT"}))
            columns = ", ".join(f"json ->> {_at(f)} AS {_quoted(f)}" for f in scalars)
            sql = f"SELECT {columns} FROM ({self._json()})"
            return Table(sql, str(self.path), scalars, located(sql, first=1, word="record"))
        if not fields.get(name, set()) & {"ARRAY", "OBJECT"}:
            nested = [SAMPLES, *(f for f, types in fields.items() if types & {"ARRAY", "OBJECT"})]
            raise AbsentTable(
                f"{self.path}: a table must be a field that holds a list; no record has a list {name!r}"
                f"{did_you_mean(name, nested)}; tables: {', '.join(nested)}"
            )
        return self._nested(connection, name)

    def fingerprint(self, names: list[str]) -> str:
        return digest_files(self._files())

    def _files(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        pattern = self.path / "*.json" if self.path.is_dir() else self.path
        files = sorted(Path(name) for name in glob(str(pattern)))
        if not files:
            raise DataError(f"{pattern}: records must be in files; there is none; correct the path")
        return files

    def _json(self) -> str:
        """SQL of all records, as `json`, each with its number."""
        files = self._files()
        listed = "[" + ", ".join(map(text, files)) + "]"
        whole = any(file.suffix == ".json" for file in files)
        reader = f"read_json_objects({listed}, format = 'unstructured')" if whole else ""
        return f"SELECT json FROM {reader or f'read_ndjson_objects({listed})'}"

    def _fields(self, connection: DuckDBPyConnection) -> dict[str, set[str]]:
        """The JSON types that each field has."""
        if bad := connection.execute(
            f"SELECT mmseq_row FROM ({located(self._json(), 1, 'record')}) WHERE json_type(json) <> 'OBJECT'"
        ).fetchall():
            raise DataError(f"{self.path} {bad[0][0]}: a record is an object {{…}}; it is not; correct it")
        query = (
            "SELECT DISTINCT key, json_type(json, '$.\"' || replace(key, '\"', '\\\"') || '\"') FROM "
            f"(SELECT json, unnest(json_keys(json)) AS key FROM ({self._json()})) ORDER BY ALL"
        )
        fields: dict[str, set[str]] = {}
        for key, kind in connection.execute(query).fetchall():
            fields.setdefault(key, set()).add(kind)
        return fields

    def _nested(self, connection: DuckDBPyConnection, name: str) -> Table:
        rows = (
            f"SELECT row_number() OVER () AS number, json ->> {_at(self.id)} AS id, "
            f"json -> {_at(name)} AS list FROM ({self._json()})"
        )
        items = (  # one object is a list of one
            "SELECT number, id, unnest(from_json(CASE WHEN json_type(list) = 'OBJECT' "
            f"THEN '[' || list || ']' ELSE list END, '[\"JSON\"]')) AS item FROM ({rows})"
        )
        self._check_lists(connection, name, rows, items)
        keys = f"SELECT DISTINCT unnest(json_keys(item)) FROM ({items}) ORDER BY 1"
        columns = tuple(key for (key,) in connection.execute(keys).fetchall() if key != self.id)
        picked = ", ".join(f"item ->> {_at(key)} AS {_quoted(key)}" for key in columns)
        sql = f"SELECT id AS {_quoted(self.id)}, {picked} FROM ({items})"
        labelled = (
            f"SELECT 'record ' || number AS mmseq_row, id AS {_quoted(self.id)}, {picked} FROM ({items})"
        )
        return Table(sql, f"{self.path}, {name!r}", (self.id, *columns), labelled)

    def _check_lists(self, connection: DuckDBPyConnection, name: str, rows: str, items: str) -> None:
        wrong = (
            f"SELECT number, json_type(list) FROM ({rows}) "
            "WHERE json_type(list) NOT IN ('ARRAY', 'OBJECT', 'NULL') UNION ALL "
            f"SELECT number, json_type(item) FROM ({items}) WHERE json_type(item) <> 'OBJECT' ORDER BY 1"
        )
        if found := connection.execute(wrong).fetchall():
            raise DataError(
                f"{self.path} record {found[0][0]}, field {name!r}: a table is a list of objects; "
                f"{found[0][1].lower()} came; correct it"
            )


def _at(key: str) -> str:
    """The JSON path of a key, as a SQL literal."""
    return text('$."' + key.replace('"', '\\"') + '"')


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
