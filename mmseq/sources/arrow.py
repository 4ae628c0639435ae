"""What Python holds as a table → Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow
from pyarrow import compute

from mmseq.errors import DataError
from mmseq.sources.binary import npy_bytes
from mmseq.sources.names import check_own_names

_ARROW_UNITS = ("D", "s", "ms", "us", "ns")
Rows = Any  # a pandas or polars frame, an Arrow table, a list of dicts, a dict of columns


def arrow_table(name: str, rows: Rows) -> pyarrow.Table:
    """One table of any of these kinds, plain columns only.

    Raises:
        DataError: it is nothing that is a table, or its columns differ in length.
    """
    if isinstance(rows, pyarrow.Table):
        check_own_names(f"table {name!r}: a column", rows.column_names)
        return _plain(rows)
    if hasattr(rows, "to_arrow"):  # polars
        return _plain(rows.to_arrow())
    if hasattr(rows, "iloc") and hasattr(rows, "columns"):  # pandas
        check_own_names(f"table {name!r}: a column", [str(column) for column in rows.columns])
        return _from_columns(name, {str(column): rows[column] for column in rows.columns})
    if isinstance(rows, Mapping):
        return _from_columns(name, rows)
    if isinstance(rows, Iterable) and not isinstance(rows, str | bytes):
        return _from_dicts(name, list(rows))
    raise DataError(
        f"table {name!r}: needs a DataFrame, an Arrow table, a list of dicts or a dict of columns; "
        f"{type(rows).__name__} came; convert it"
    )


def _from_dicts(name: str, rows: list[Any]) -> pyarrow.Table:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataError(
                f"table {name!r} row {number}: needs a dict; {type(row).__name__} came; convert it"
            )
    columns = dict.fromkeys(str(key) for row in rows for key in row)
    return _from_columns(name, {column: [row.get(column) for row in rows] for column in columns})


def _from_columns(name: str, columns: Mapping[str, Any]) -> pyarrow.Table:
    arrays = {str(column): arrow_array(name, str(column), values) for column, values in columns.items()}
    lengths = {column: len(array) for column, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"table {name!r}: columns must be of one length; {lengths} came; correct them")
    return _plain(pyarrow.table(arrays))


def arrow_array(name: str, column: str, values: Any) -> pyarrow.Array:
    """A column of a table, of any sort of values; what is of several sorts as text.

    Raises:
        DataError: it has not one value a row.
    """
    where = f"table {name!r}, column {column!r}"
    if hasattr(values, "__dlpack__") and not hasattr(values, "__arrow_c_array__"):  # such as a tensor
        values = numpy_array(where, values)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise DataError(
            f"{where}: needs one value a row; shape {values.shape} came; "
            "see mmseq.padded for arrays of sequences"
        )
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | set | frozenset):
        raise DataError(
            f"{where}: needs a list or an array, a value a row; {type(values).__name__} came; convert it"
        )
    values = values if hasattr(values, "__len__") else list(values)
    is_plain = isinstance(values, np.ndarray) and values.dtype != object
    if is_plain and values.dtype.kind == "M":
        values = values.astype(f"M8[{_arrow_unit(values.dtype)}]", copy=False)
    if not is_plain and any(isinstance(value, np.ndarray) and value.ndim != 1 for value in values):
        return _array_bytes(name, column, values)
    try:
        array = pyarrow.array(values, from_pandas=True)
        if not isinstance(array.type, pyarrow.BaseExtensionType):  # as a Period, which is stored as a number
            return array
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError):
        pass  # mixed: as text, so that the odd one is found
    return _text_array(name, column, values)


def numpy_array(where: str, values: Any, then: str = "convert it") -> np.ndarray:
    """Values as an array. Raises DataError where they are none, such as a tensor with a gradient."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{where}: needs an array, all of whose rows are of one length; {error}; {then}"
        ) from error


def _arrow_unit(moments: np.dtype) -> str:
    """Of Arrow's units, which have no multiples, one that keeps what NumPy's unit tells apart, down to ns."""
    unit, _ = np.datetime_data(moments)
    return unit if unit in _ARROW_UNITS else "ns" if unit in ("ps", "fs", "as") else "s"


def _array_bytes(name: str, column: str, values: Iterable[Any]) -> pyarrow.Array:
    """Arrays of several dimensions as the bytes of `.npy` files."""
    cells: list[bytes | None] = []
    for row, value in enumerate(values, start=1):
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            cells.append(npy_bytes(value))
        elif value is None:
            cells.append(None)
        else:
            came = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
            raise DataError(
                f"table {name!r} row {row}, column {column!r}: must be an array of numbers, as others in "
                f"its column are, or None; {came} came; convert it"
            )
    return pyarrow.array(cells, pyarrow.large_binary())


def _text_array(name: str, column: str, values: Iterable[Any]) -> pyarrow.Array:
    texts = [_as_text(value) for value in values]
    for row, text in enumerate(texts, start=1):
        try:
            (text or "").encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"table {name!r} row {row}, column {column!r}: must be text of whole characters; "
                f"{text!r} came; correct it"
            ) from error
    return pyarrow.array(texts, pyarrow.string())


def _as_text(value: Any) -> str | None:
    if value is None or type(value).__name__ == "NAType":  # of pandas: it compares to nothing
        return None
    is_other = value != value
    return None if isinstance(is_other, bool | np.bool_) and is_other else str(value)


def _plain(table: pyarrow.Table) -> pyarrow.Table:
    """Dictionaries (pandas categories) as their values, NaN as missing, one chunk a column."""
    for i, field in enumerate(table.schema):
        if pyarrow.types.is_dictionary(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(field.type.value_type))
        elif pyarrow.types.is_null(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pyarrow.string()))
        elif pyarrow.types.is_float16(field.type):  # DuckDB has none
            table = table.set_column(i, field.name, table.column(i).cast(pyarrow.float32()))
    return _without_nan(table).combine_chunks()


def _without_nan(table: pyarrow.Table) -> pyarrow.Table:
    """In memory NaN is how a missing number is written, in frames of pandas and polars alike."""
    for i, field in enumerate(table.schema):
        if pyarrow.types.is_floating(field.type):
            column = table.column(i)
            is_nan = compute.is_nan(column)
            if compute.any(is_nan).as_py():
                nothing = pyarrow.scalar(None, field.type)
                table = table.set_column(i, field.name, compute.if_else(is_nan, nothing, column))
    return table


def split_records(records: Sequence[Any], id: str) -> dict[str, list[dict[str, Any]]]:
    """Nested records, one a sample → the table `samples` and one table for each field that holds rows."""
    tables: dict[str, list[dict[str, Any]]] = {"samples": []}
    for number, record in enumerate(records, start=1):
        if not isinstance(record, Mapping):
            raise DataError(f"record {number}: needs a dict; {type(record).__name__} came; convert it")
        nested = {name: v for name, v in record.items() if isinstance(v, Mapping | list | tuple)}
        tables["samples"].append({name: v for name, v in record.items() if name not in nested})
        for name, rows in nested.items():
            listed = [rows] if isinstance(rows, Mapping) else rows
            if not all(isinstance(row, Mapping) for row in listed):
                raise DataError(f"record {number}, field {name!r}: a table is a list of dicts; correct it")
            tables.setdefault(name, []).extend({**row, id: record.get(id)} for row in listed)
    return tables
