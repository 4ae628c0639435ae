"""Padded arrays → tables, for data that already are tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow

from mmseq.errors import DataError
from mmseq.registry import did_you_mean
from mmseq.sources.arrow import arrow_array, numpy_array
from mmseq.sources.names import check_own_names

Padded = Mapping[str, Any] | Any


def padded(
    values: Padded,
    *,
    lengths: Padded | None = None,
    mask: Padded | None = None,
    times: Padded | None = None,
    labels: Mapping[str, Any] | None = None,
    step_labels: Mapping[str, Any] | None = None,
    ids: Iterable[Any] | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, pyarrow.Table]:
    """Tables for a memory source, out of arrays with one row a sample.

    Args:
        values: by modality (one array alone: `signal`), (sample, step, feature) or (sample, step); NaN
            is a missing value.
        lengths: real steps of each sample, (sample,); default: all.
        mask: (sample, step), true where a step is real; instead of `lengths`.
        times: (sample, step) or (step,); default: the step's number.
        labels: by task, (sample,) or (sample, column), in the table `labels`.
        step_labels: by task, (sample, step), in the table `step_labels`; real where the first modality is.
        ids: of the samples; default: 0, 1, 2, …
        columns: by modality, names of the features; default: `signal_0`, `signal_1`, …

    `lengths`, `mask` and `times` may be given by modality too.

    Returns:
        a table for each modality with the columns `id`, `time` and its features; `labels`,
        `step_labels`, and `samples` with every id.

    Raises:
        DataError: something is no array, shapes disagree, two tables or columns would have one name, or
            an option is for a modality that there is not.
    """
    arrays = _arrays(values)
    names, n_samples = list(arrays), len(next(iter(arrays.values())))
    for option in (lengths, mask, times, columns):
        _check_known(option, names)
    id_array = arrow_array("samples", "id", np.arange(n_samples) if ids is None else ids)
    _check(len(id_array) == n_samples, "ids", f"one for each of {n_samples} samples", f"{len(id_array)}")
    masks, clocks = {}, {}
    for name, array in arrays.items():
        masks[name] = _mask(name, array.shape[:2], _of(lengths, name), _of(mask, name))
        clocks[name] = _times(name, array.shape[:2], _of(times, name))
    tables = [("samples", _table("samples", [("id", id_array)]))]
    for name, array in arrays.items():
        wide = array if array.ndim == 3 else array[:, :, None]
        features = zip(_columns(name, wide.shape[2], columns), np.moveaxis(wide, 2, 0), strict=True)
        tables.append((name, _rows(name, id_array, masks[name], [("time", clocks[name]), *features])))
    if by_task := _by_task("labels", labels):
        tables.append(("labels", _table("labels", [("id", id_array), *_label_columns(by_task, n_samples)])))
    if by_task := _by_task("step_labels", step_labels):
        real, cells = masks[names[0]], [("time", clocks[names[0]]), *by_task.items()]
        for name, array in by_task.items():
            _check(array.shape == real.shape, name, f"shape {real.shape}", array.shape)
        tables.append(("step_labels", _rows("step_labels", id_array, real, cells)))
    check_own_names("padded: a table", [name for name, _ in tables], "name the modality otherwise")
    return dict(tables)


def _arrays(values: Padded) -> dict[str, np.ndarray]:
    """By modality, each of the right rank and of as many samples."""
    given = values if isinstance(values, Mapping) else {"signal": values}
    arrays = {name: _array(name, array) for name, array in given.items()}
    _check(bool(arrays), "values", "an array of at least one modality", "none")
    first, n_samples = next((name, len(array)) for name, array in arrays.items())
    for name, array in arrays.items():
        _check(array.ndim in (2, 3), name, "(sample, step, feature) or (sample, step)", array.shape)
        _check(len(array) == n_samples, name, f"{n_samples} samples, as {first!r} has", len(array))
    return arrays


def _array(name: str, values: Any) -> np.ndarray:
    """An array with a first axis."""
    then = "convert it, and tell `lengths` or `mask` where rows differ"
    array = numpy_array(f"padded {name!r}", values, then)
    _check(array.ndim > 0, name, "an array with a value for each sample", repr(values))
    return array


def _by_task(option: str, labels: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
    right = labels is None or isinstance(labels, Mapping)
    _check(right, option, "arrays by task, a dict", type(labels).__name__)
    return {name: _array(name, array) for name, array in (labels or {}).items()}


def _rows(
    name: str, ids: pyarrow.Array, mask: np.ndarray, cells: Sequence[tuple[str, np.ndarray]]
) -> pyarrow.Table:
    """One row for each real step."""
    own = ids.take(pyarrow.array(np.nonzero(mask)[0]))
    return _table(name, [("id", own), *((column, cell[mask]) for column, cell in cells)])


def _table(name: str, columns: Sequence[tuple[str, Any]]) -> pyarrow.Table:
    check_own_names(f"padded, table {name!r}: a column", [column for column, _ in columns])
    return pyarrow.table(
        {
            column: values if isinstance(values, pyarrow.Array) else arrow_array(name, column, values)
            for column, values in columns
        }
    )


def _check_known(option: Any, names: Sequence[str]) -> None:
    for name in option if isinstance(option, Mapping) else ():
        if name not in names:
            raise DataError(
                f"padded {name!r}: an option must be for a modality that is given, {', '.join(names)}; "
                f"there is no such one{did_you_mean(str(name), names)}; correct the name"
            )


def _mask(name: str, shape: tuple[int, ...], lengths: Any, mask: Any) -> np.ndarray:
    if lengths is not None and mask is not None:
        raise DataError(f"padded {name!r}: takes `lengths` or `mask`; both came; drop one")
    if mask is not None:
        array = np.asarray(mask)
        right = array.shape == shape and array.dtype == bool
        _check(right, name, f"a boolean mask of shape {shape}", f"{array.dtype} of {array.shape}")
        return array
    if lengths is None:
        return np.ones(shape, bool)
    array = np.asarray(lengths)
    right = array.shape == shape[:1] and array.dtype.kind in "iu"
    right = right and bool(array.min(initial=0) >= 0 and array.max(initial=0) <= shape[1])
    _check(right, name, f"{shape[0]} whole lengths from 0 to {shape[1]}", array)
    return np.arange(shape[1]) < array[:, None]


def _times(name: str, shape: tuple[int, ...], times: Any) -> np.ndarray:
    array = np.arange(shape[1], dtype=np.float64) if times is None else np.asarray(times)
    _check(array.shape in (shape, shape[1:]), name, f"times of shape {shape} or {shape[1:]}", array.shape)
    return np.broadcast_to(array, shape)


def _label_columns(labels: Mapping[str, np.ndarray], n_samples: int) -> list[tuple[str, np.ndarray]]:
    columns: list[tuple[str, np.ndarray]] = []
    for name, array in labels.items():
        _check(len(array) == n_samples and array.ndim in (1, 2), name, f"{n_samples} labels", array.shape)
        columns += [(name, array)] if array.ndim == 1 else [(f"{name}_{i}", c) for i, c in enumerate(array.T)]
    return columns


def _columns(name: str, n_features: int, columns: Mapping[str, Sequence[str]] | None) -> list[str]:
    _check(columns is None or isinstance(columns, Mapping), "columns", "names by modality, a dict", columns)
    given = list((columns or {}).get(name, [f"{name}_{i}" for i in range(n_features)]))
    _check(len(given) == n_features, name, f"a name for each of {n_features} features", given)
    return given


def _of(value: Any, name: str) -> Any:
    """What is given for a modality, or for all."""
    return value.get(name) if isinstance(value, Mapping) else value


def _check(right: bool, name: str, rule: str, came: object) -> None:
    if not right:
        raise DataError(f"padded {name!r}: needs {rule}; {came} came; correct it")
