"""One record a sample, with lists of events in it."""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape, glob
from pathlib import Path
from typing import Literal

from duckdb import DuckDBPyConnection, InvalidInputException
from pydantic import Field

from mmseq.config.paths import YamlPath
from mmseq.errors import DataError
from mmseq.registry import did_you_mean
from mmseq.sources import AbsentTable, Source, SourceConfig, Table, sources
from mmseq.sources.broken import broken_json
from mmseq.sources.files import alike, digest_files, located, one_file, text

SAMPLES = "samples"
NESTED = {"ARRAY", "OBJECT"}


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
        self.folder = self.path if self.path.is_dir() else self.path.parent

    def table(self, connection: DuckDBPyConnection, name: str) -> Table:
        try:
            fields = self._fields(connection)
        except InvalidInputException as error:
            told = self._broken() or f"must hold JSON; {error}; correct it"
            raise DataError(f"{self.path} {told}") from error
        if name == SAMPLES:
            scalars = tuple(sorted(f for f, types in fields.items() if f == self.id or _is_cell(types)))
            columns = ", ".join(f"json ->> {_at(f)} AS {_quoted(f)}" for f in scalars)
            sql = f"SELECT {columns} FROM ({self._json()})"
            rows = located(sql, first=1, word="record")
            return Table(sql, str(self.path), scalars, rows, self._broken, is_json=True)
        if not fields.get(name, set()) & NESTED:
            nested = [SAMPLES, *(f for f, types in fields.items() if types & NESTED)]
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
        pattern = str(Path(escape(str(self.path))) / "*.json" if self.path.is_dir() else self.path)
        files = sorted(Path(name) for name in glob(pattern))
        if not files:
            raise DataError(f"{pattern}: records must be in files; there is none; correct the path")
        return files

    def _broken(self) -> str | None:
        return broken_json(self._files(), "record")

    def _json(self) -> str:
        """SQL of all records, as `json`, each with its number."""
        files = self._files()
        listed = "[" + ", ".join(map(one_file, files)) + "]"
        whole = any(file.suffix == ".json" for file in files)
        reader = f"read_json_objects({listed}, format = 'unstructured')" if whole else ""
        return f"SELECT json FROM {reader or f'read_ndjson_objects({listed})'}"

    def _fields(self, connection: DuckDBPyConnection) -> dict[str, set[str]]:
        """The JSON types that each field has."""
        objects = f"SELECT row_number() OVER () AS number, json FROM ({self._json()})"
        if bad := connection.execute(
            f"SELECT number FROM ({objects}) WHERE json_type(json) <> 'OBJECT' ORDER BY 1 LIMIT 1"
        ).fetchall():
            raise DataError(
                f"{self.path} record {bad[0][0]}: a record is an object {{…}}; it is not; correct it"
            )
        query = (
            "SELECT DISTINCT key, json_type(json, '$.\"' || replace(key, '\"', '\\\"') || '\"') FROM "
            f"(SELECT json, unnest(json_keys(json)) AS key FROM ({self._json()})) ORDER BY ALL"
        )
        fields: dict[str, set[str]] = {}
        for key, kind in connection.execute(query).fetchall():
            fields.setdefault(key, set()).add(kind)
        self._check_keys(connection, list(fields), objects)
        return fields

    def _check_keys(self, connection: DuckDBPyConnection, keys: Sequence[str], objects: str) -> None:
        """A key that comes twice in an object, or in two spellings, would hide a value.

        Args:
            keys: all that there are.
            objects: SQL of `number` of the record and `json`.
        """
        twice = "len(list_distinct(json_keys(json))) < len(json_keys(json))"
        query = f"SELECT number, json_keys(json) FROM ({objects}) WHERE {twice} ORDER BY 1 LIMIT 1"
        for number, found in connection.execute(query).fetchall():
            key = next(key for key in found if found.count(key) > 1)
            raise DataError(
                f"{self.path} record {number}, column {key!r}: a key stands once in an object; it comes "
                "twice; drop one"
            )
        first = f"SELECT min(number) FROM ({objects}) WHERE list_contains(json_keys(json), ?)"
        if "" in keys:
            (number,) = connection.execute(first, [""]).fetchall()[0]
            raise DataError(f"{self.path} record {number}, column '': a key needs a name; name or drop it")
        if spelt := alike(keys):
            pair = [key for key in spelt if key.lower() == spelt[0].lower()]
            found = [(connection.execute(first, [key]).fetchall()[0][0], key) for key in pair]
            (_, other), (number, key), *_ = sorted(found)
            raise DataError(
                f"{self.path} record {number}, column {key!r}: a key is spelt one way in all objects; "
                f"{other!r} came, too; rename one"
            )

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
        self._check_keys(connection, columns, f"SELECT number, item AS json FROM ({items})")
        sql = f"SELECT id AS {_quoted(self.id)}, {picked} FROM ({items})"
        labelled = (
            f"SELECT 'record ' || number AS mmseq_row, id AS {_quoted(self.id)}, {picked} FROM ({items})"
        )
        where = f"{self.path}, {name!r}"
        return Table(sql, where, (self.id, *columns), labelled, self._broken, is_json=True)

    def _check_lists(self, connection: DuckDBPyConnection, name: str, rows: str, items: str) -> None:
        wrong = (
            f"SELECT number, list FROM ({rows}) "
            "WHERE json_type(list) NOT IN ('ARRAY', 'OBJECT', 'NULL') UNION ALL "
            f"SELECT number, item FROM ({items}) WHERE json_type(item) <> 'OBJECT' ORDER BY 1"
        )
        if found := connection.execute(wrong).fetchall():
            raise DataError(
                f"{self.path} record {found[0][0]}, field {name!r}: a table is a list of objects; "
                f"{found[0][1][:80]} came; correct it"
            )


def _is_cell(types: set[str]) -> bool:
    """Whether a field holds one value, at least in one record: null may stand for a list, too."""
    return not types & NESTED or bool(types - NESTED - {"NULL"})


def _at(key: str) -> str:
    """The JSON path of a key, as a SQL literal."""
    return text('$."' + key.replace('"', '\\"') + '"')


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
