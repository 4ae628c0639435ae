"""Padded arrays → tables, for data that already are tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow

from mmseq.errors import DataError

Padded = Mapping[str, Any] | Any


def padded(
    values: Padded,
    *,
    lengths: Padded | None = None,
    mask: Padded | None = None,
    times: Padded | None = None,
    labels: Mapping[str, Any] | None = None,
    step_labels: Mapping[str, Any] | None = None,
    ids: Sequence[Any] | None = None,
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
        DataError: shapes disagree.
    """
    arrays = {name: np.asarray(array) for name, array in _named(values, ["signal"]).items()}
    names = list(arrays)
    n_samples = len(next(iter(arrays.values())))
    id_array = pyarrow.array(np.arange(n_samples) if ids is None else ids)
    _check(len(id_array) == n_samples, "ids", f"one for each of {n_samples} samples", f"{len(id_array)}")
    masks, clocks = {}, {}
    for name, array in arrays.items():
        _check(array.ndim in (2, 3), name, "(sample, step, feature) or (sample, step)", array.shape)
        _check(len(array) == n_samples, name, f"{n_samples} samples, as {names[0]!r} has", len(array))
        masks[name] = _mask(name, array.shape[:2], _of(lengths, name), _of(mask, name))
        clocks[name] = _times(name, array.shape[:2], _of(times, name))
    tables = {"samples": pyarrow.table({"id": id_array})}
    for name, array in arrays.items():
        wide = array if array.ndim == 3 else array[:, :, None]
        features = dict(zip(_columns(name, wide.shape[2], columns), np.moveaxis(wide, 2, 0), strict=True))
        tables[name] = _rows(id_array, masks[name], {"time": clocks[name], **features})
    if labels:
        tables["labels"] = pyarrow.table({"id": id_array, **_label_columns(labels, n_samples)})
    if step_labels:
        label_arrays = {name: np.asarray(array) for name, array in step_labels.items()}
        for name, array in label_arrays.items():
            _check(array.shape == masks[names[0]].shape, name, f"shape {masks[names[0]].shape}", array.shape)
        tables["step_labels"] = _rows(id_array, masks[names[0]], {"time": clocks[names[0]], **label_arrays})
    return tables


def _rows(ids: pyarrow.Array, mask: np.ndarray, cells: Mapping[str, np.ndarray]) -> pyarrow.Table:
    """One row for each real step."""
    sample = np.nonzero(mask)[0]
    return pyarrow.table({"id": ids.take(pyarrow.array(sample)), **{k: v[mask] for k, v in cells.items()}})


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


def _label_columns(labels: Mapping[str, Any], n_samples: int) -> dict[str, np.ndarray]:
    columns = {}
    for name, value in labels.items():
        array = np.asarray(value)
        _check(len(array) == n_samples and array.ndim in (1, 2), name, f"{n_samples} labels", array.shape)
        if array.ndim == 1:
            columns[name] = array
        else:
            columns |= {f"{name}_{i}": column for i, column in enumerate(array.T)}
    return columns


def _columns(name: str, n_features: int, columns: Mapping[str, Sequence[str]] | None) -> list[str]:
    given = list((columns or {}).get(name, [f"{name}_{i}" for i in range(n_features)]))
    _check(len(given) == n_features, name, f"a name for each of {n_features} features", given)
    return given


def _named(value: Any, names: list[str]) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {names[0]: value}


def _of(value: Any, name: str) -> Any:
    """What is given for a modality, or for all."""
    return value.get(name) if isinstance(value, Mapping) else value


def _check(right: bool, name: str, rule: str, came: object) -> None:
    if not right:
        raise DataError(f"padded {name!r}: needs {rule}; {came} came; correct it")
