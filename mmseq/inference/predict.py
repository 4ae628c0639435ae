"""Raw samples → a table of predictions."""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import torch

from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import evaluation_loader
from mmseq.data import prepare_inputs
from mmseq.errors import ConfigError
from mmseq.run import Run
from mmseq.store.clock import moments

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store import Store


@dataclass
class Predictions:
    """What came out.

    Attributes:
        table: `id`, `time` of the step that the prediction is made at, as the source has it (a number,
            or a timestamp in UTC), and each task's columns.
        unknown: by `modality.column`, codes that the training split never had, with their number.
        strays: by modality, rows of ids that no sample has.
    """

    table: pa.Table
    unknown: Counter[str] = field(default_factory=Counter)
    strays: dict[str, int] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """What a user should know of the inputs."""
        lines = [
            f"{column}: {n} values that training never had; they count as unknown"
            for column, n in sorted(self.unknown.items())
        ]
        return lines + [
            f"{name}: {n} rows are of ids that no sample has; they were left out: are the ids written alike?"
            for name, n in self.strays.items()
        ]

    def warn(self) -> None:
        """Warns of everything in `notes`: unknown values, and rows of ids that no sample has."""
        for line in self.notes():
            warnings.warn(line, stacklevel=3)


def predict(model: Model | Run, samples: Any, *, every_step: bool = False) -> Predictions:
    """Predictions of a model, or of a run's, for raw samples that no store holds yet; see `Model.predict`."""
    if isinstance(model, Run):
        model = model.model()
    with tempfile.TemporaryDirectory(prefix="mmseq-") as folder:
        store = prepare_inputs(model, samples, Path(folder))
        predictions = predict_stored(model, store, np.arange(len(store.ids)), every_step=every_step)
        counts = {name: store.entry(name).report.get("of absent samples", 0) for name in store.modalities}
        predictions.strays = {name: n for name, n in counts.items() if n}
        return predictions


@torch.inference_mode()
def predict_stored(
    model: Model, store: Store, samples: np.ndarray, *, every_step: bool = False
) -> Predictions:
    """Predictions for samples of a store, in the order given: one row a sample, or one a step."""
    model.eval()
    device = next(model.parameters()).device
    assembler = Assembler(store, model, tasks=[])
    rows, unknown = [], Counter[str]()
    for batch in evaluation_loader(assembler, samples):
        for name, modality in model.modalities.items():
            unknown.update(
                {f"{name}.{column}": n for column, n in modality.unknown(batch.events[name]).items()}
            )
        batch = batch.to(device)
        timeline = batch.timeline
        at = torch.arange(timeline.n_steps, device=device) if every_step else None
        parameters, _ = model.predict_at(batch, at)
        at = timeline.last if at is None else at
        rows.append(_columns(model, batch.ids, timeline.sample[at], timeline.time[at], parameters))
    return Predictions(_table(rows, store, samples), unknown)


def _columns(
    model: Model,
    ids: list[str],
    sample: torch.Tensor,
    time: torch.Tensor,
    parameters: dict[str, torch.Tensor],
) -> dict[str, np.ndarray]:
    columns = {"id": np.array(ids, object)[sample.cpu().numpy()], "time": time.cpu().numpy()}
    for task, head in model.heads.items():
        for name, values in head.decode(parameters[task].cpu()).items():
            columns[f"{task}.{name}" if name else task] = values
    return columns


def _table(rows: list[dict[str, np.ndarray]], store: Store, samples: np.ndarray) -> pa.Table:
    """Samples in the order they were asked for, steps in time, which is told as the source has it."""
    if not rows:
        return pa.table({"id": pa.array([], pa.string())})
    columns = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    place = {id: i for i, id in enumerate(store.ids[samples].tolist())}
    asked = np.array([place[id] for id in columns["id"]])
    order = np.lexsort((columns["time"], asked))
    if store.origins is not None:
        origin = store.origins[samples[asked]]
        columns["time"] = moments(origin, columns["time"], store.manifest.unit)
    return pa.table({name: _array(values[order]) for name, values in columns.items()})


def _array(values: np.ndarray) -> pa.Array:
    array = pa.array(values)
    return array.cast(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(array.type) else array


def check_ending(path: Path) -> None:
    """Raises ConfigError where a file's ending is none that `write_table` knows."""
    if path.suffix not in _WRITERS:
        raise ConfigError(f"{path}: predictions are written as {', '.join(_WRITERS)}; name such a file")


def write_table(table: pa.Table, path: Path) -> None:
    """Writes CSV, JSON lines or Parquet, by the file's ending; complete or not at all."""
    check_ending(path)
    aside = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _WRITERS[path.suffix](table, aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; name another file") from error


def _write_csv(table: pa.Table, path: Path) -> None:
    pyarrow.csv.write_csv(_with_iso_times(table), path)


def _write_jsonl(table: pa.Table, path: Path) -> None:
    with path.open("w") as stream:
        for row in _with_iso_times(table).to_pylist():
            strict = {name: _or_null(value) for name, value in row.items()}
            stream.write(json.dumps(strict, ensure_ascii=False, allow_nan=False) + "\n")


def _with_iso_times(table: pa.Table) -> pa.Table:
    """Timestamps as text: `2024-02-28T10:00:00Z`, with microseconds where there are any."""
    for i, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            clock = table.column(i).cast(pa.timestamp("us"))  # whose clock is UTC
            words = pc.strftime(clock, "%Y-%m-%dT%H:%M:%SZ")
            table = table.set_column(i, column.name, pc.replace_substring(words, ".000000Z", "Z"))
    return table


def _or_null(value: Any) -> Any:
    """JSON has neither infinity nor NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


_WRITERS = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": pyarrow.parquet.write_table}
