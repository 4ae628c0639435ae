"""Raw samples → a table of predictions."""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import evaluation_loader
from mmseq.calibration.model import Calibration, NoTask, calibration_of
from mmseq.carried import Carried
from mmseq.data import prepare_inputs
from mmseq.disk import replacing
from mmseq.errors import ConfigError
from mmseq.heads.labels import join, told_once
from mmseq.memory import FREE_SOME, telling_shortage
from mmseq.processes import ALONE, Processes, together
from mmseq.run import Run, model_of
from mmseq.state import State
from mmseq.store.clock import moments
from mmseq.store.merge import NO_ORIGIN
from mmseq.store.plan import plan_of

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store import Store


@dataclass
class Predictions:
    """What came out.

    Attributes:
        table: `id`, `time` of the step that the prediction is made at, as the source has it (a number,
            or a timestamp in UTC), and each task's columns.
        unknown: by `modality.column`, codes that the training split never had, with their number; of a
            pivoted table by `modality.code`.
        strays: by modality, rows of ids that no sample has.
        uncalibrated: what a calibration leaves out, and why.
    """

    table: pa.Table
    unknown: Counter[str] = field(default_factory=Counter)
    strays: dict[str, int] = field(default_factory=dict)
    uncalibrated: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What a user should know of the inputs, and of what is not calibrated."""
        strays = [
            f"{name}: {n} rows are of ids that no sample has; they were left out: are the ids written alike?"
            for name, n in self.strays.items()
        ]
        return unknown_notes(self.unknown) + strays + self.uncalibrated

    def warn(self) -> None:
        """Warns of everything in `notes`."""
        for line in self.notes():
            warnings.warn(line, stacklevel=3)


def unknown_notes(unknown: Mapping[str, int]) -> list[str]:
    """What to say of values that training never had, by `modality.column`."""
    return [
        f"{column}: {n} values that training never had; they count as unknown"
        for column, n in sorted(unknown.items())
    ]


def predict(
    model: Model | Run | str | Path, samples: Any, *, every_step: bool = False, calibrated: bool = False
) -> Predictions:
    """Predictions of a model, or of a run's, for raw samples that no store holds yet; see `Model.predict`.

    Either may be named by its folder.

    Under torchrun or srun every process makes this call; the leader gets them all.

    Raises:
        ConfigError: they are to be calibrated, and the model carries no calibration.
        CheckpointError: its calibration was fitted for other weights.
    """
    model = model_of(model)
    calibration = calibration_of(model) if calibrated else None
    with together() as processes, tempfile.TemporaryDirectory(prefix="mmseq-") as folder:
        store = prepare_inputs(model, samples, Path(folder))
        everyone = np.arange(len(store.ids))
        predictions = predict_stored(
            model, store, everyone, every_step=every_step, calibration=calibration, processes=processes
        )
        predictions.unknown.update(unknown_codes(model, store))
        predictions.strays = strays(store)
        if calibration is not None:
            predictions.uncalibrated = _uncalibrated(model, calibration, every_step)
        return predictions


def unknown_codes(model: Model, store: Store, modalities: Collection[str] | None = None) -> dict[str, int]:
    """By `modality.code`, values of pivoted tables whose code training never had.

    Of a modality with `columns`, which are all that is to be read, none is unknown.

    Args:
        model: that reads the store.
        store: of inputs.
        modalities: which ones; None: all.
    """
    readings = plan_of(model.experiment).modalities
    names = [name for name in modalities or readings if not readings[name].numbers]
    return {f"{name}.{code}": n for name in names for code, n in store.entry(name).unread.items()}


def strays(store: Store) -> dict[str, int]:
    """By modality, rows of ids that no sample has, where there are any."""
    counts = {name: store.entry(name).report.get("of absent samples", 0) for name in store.modalities}
    return {name: n for name, n in counts.items() if n}


@torch.inference_mode()
def predict_stored(
    model: Model,
    store: Store,
    samples: np.ndarray,
    *,
    every_step: bool = False,
    calibration: Calibration | None = None,
    processes: Processes = ALONE,
) -> Predictions:
    """Predictions for samples of a store, in the order given: one row a sample, or one a step.

    Of several processes, the leader has them all; the others have none.

    Raises:
        ConfigError: a task of whole samples is to be read at each step, and the core looks at later ones.
        MemoryShort: a batch does not fit into memory.
    """
    if every_step and not model.core.causal and len(model.by_step) < len(model.heads):
        raise ConfigError(
            "predict: only with a causal core does a row for each step know nothing later; "
            f"{model.experiment.core.kind!r} looks at later steps; predict once a sample"
        )
    model.eval()
    device = next(model.parameters()).device
    assembler = Assembler(store, model, tasks=[])
    rows, unknown, carried = [], Counter[str](), Carried()
    length = dict(zip(store.ids[samples].tolist(), store.lengths[samples].tolist(), strict=True))
    window = model.experiment.training.window
    with telling_shortage(lambda: ("predict", carried.batch), FREE_SOME):
        for batch in evaluation_loader(assembler, samples, window=window, processes=processes):
            # Of static ones only once: every window has them.
            new = {name: e for name, e in batch.events.items() if not (batch.begin and name in model.static)}
            unknown.update(model.unknown(new))
            batch = batch.to(device)
            timeline = batch.timeline
            at = _places(batch, length, every_step)
            parameters = carried.run(reading(model, at), batch)
            at = timeline.last if at is None else at
            told = {"id": np.array(batch.ids, object)[timeline.sample[at].cpu().numpy()]}
            told["time"] = timeline.time[at].cpu().numpy()
            rows.append(told | decode(model, parameters, calibration))
    with telling_shortage(lambda: ("predict: the table", None), FREE_SOME):
        parts = processes.gather((rows, unknown))
        rows = [row for theirs, _ in parts for row in theirs]
        return Predictions(_table(rows, model, store, samples), sum((u for _, u in parts), Counter[str]()))


def reading(
    model: Model, at: Int64[Tensor, "query"] | None
) -> Callable[[Batch, State | None], tuple[dict[str, Tensor], State]]:
    """The model as a function of batch and state that predicts at these steps; None: at the last."""
    return lambda batch, state: model.predict_at(batch, at, state)


def _places(batch: Batch, length: Mapping[str, int], every_step: bool) -> Int64[Tensor, "query"] | None:
    """The steps of a batch to predict at; None: the last of each sample."""
    timeline = batch.timeline
    if every_step:
        return torch.arange(timeline.n_steps, device=timeline.starts.device)
    steps = zip(batch.ids, timeline.lengths_list, strict=True)
    ends = [n > 0 and batch.begin + n == length[id] for id, n in steps]  # else a later window has its last
    return None if all(ends) else timeline.last[torch.tensor(ends, device=timeline.starts.device)]


def decode(
    model: Model, parameters: Mapping[str, Tensor], calibration: Calibration | None = None
) -> dict[str, np.ndarray]:
    """The parameters of every task → the columns of a prediction table, calibrated where that is given."""
    columns = {}
    for task, head in model.heads.items():
        own = parameters[task].cpu()
        further: dict[str, np.ndarray] = {}
        if calibration is not None:
            own, further = calibration.apply(task, head, own)
        for name, values in told_once([*head.decode(own).items(), *further.items()]).items():
            columns[join(task, name)] = values
    return columns


def _uncalibrated(model: Model, calibration: Calibration, every_step: bool) -> list[str]:
    """What a calibration leaves out, and why."""
    of_samples = [task for task in model.heads if every_step and task not in model.by_step]
    return calibration.remarks(dict(model.heads.items())) + [
        f"{task}: calibrated as of the last step of a sample; at earlier steps nobody has checked it"
        for task in of_samples
        if not isinstance(calibration.tasks[task], NoTask)
    ]


def _table(rows: list[dict[str, np.ndarray]], model: Model, store: Store, samples: np.ndarray) -> pa.Table:
    """Samples in the order they were asked for, steps in time, which is told as in training."""
    if not rows:  # of a process that does not lead
        return pa.table({"id": pa.array([], pa.string())})
    columns = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    place = {id: i for i, id in enumerate(store.ids[samples].tolist())}
    asked = np.array([place[id] for id in columns["id"]], np.int64)
    order = np.lexsort((columns["time"], asked))
    columns["time"] = told_times(model, store, samples[asked], columns["time"])
    return table_of({name: values[order] for name, values in columns.items()})


def told_times(
    model: Model, store: Store, samples: Int64[np.ndarray, "row"], time: Float64[np.ndarray, "row"]
) -> Shaped[np.ndarray, "row"]:
    """Times as training had them: numbers, or dates and times, NaT where a sample has no event.

    Args:
        model: says what training had.
        store: holds the samples.
        samples: whose times they are.
        time: as the model counts it.
    """
    if model.facts.clock == "number":
        return time
    origin = np.full(len(time), NO_ORIGIN) if store.origins is None else store.origins[samples]
    return moments(origin, time, store.manifest.unit)


def table_of(columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Columns → a prediction table."""
    return pa.table({name: column_of(values) for name, values in columns.items()})


def column_of(values: np.ndarray) -> pa.Array:
    """A column of a prediction table: moments in UTC, words of type string even where there is none."""
    array = pa.array(values, pa.string() if values.dtype == object else None)
    return array.cast(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(array.type) else array


def check_ending(path: Path) -> None:
    """Raises ConfigError where a file's ending is none that `write_table` knows."""
    if path.suffix not in _WRITERS:
        raise ConfigError(f"{path}: predictions are written as {', '.join(_WRITERS)}; name such a file")


def check_output(path: Path, source: Path) -> None:
    """Raises ConfigError where a table cannot be written so, or would replace one that it is made from."""
    check_ending(path)
    if path.exists() and path.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{path}: must not be of the input; came a file of {source}; name another file")


def write_table(table: pa.Table, path: Path) -> None:
    """Writes CSV, JSON lines or Parquet, by the file's ending; complete or not at all."""
    check_ending(path)
    write_whole(path, lambda aside: _WRITERS[path.suffix](table, aside))


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Has a file written beside its place and moves it there; complete or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            write(aside)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; name another file") from error


def _write_csv(table: pa.Table, path: Path) -> None:
    pyarrow.csv.write_csv(with_iso_times(table), path)


def _write_jsonl(table: pa.Table, path: Path) -> None:
    with path.open("w") as stream:
        stream.writelines(json_row(row) + "\n" for row in with_iso_times(table).to_pylist())


def json_row(row: Mapping[str, Any]) -> str:
    """A row of a table as strict JSON, which has neither infinity, nor NaN, nor dates."""
    return json.dumps({name: _strict(v) for name, v in row.items()}, ensure_ascii=False, allow_nan=False)


def _strict(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_iso_times(table: pa.Table) -> pa.Table:
    """Timestamps as text: `2024-02-28T10:00:00Z`, with a fraction where there is any.

    Of another zone with its offset, `+01:00`, and of none without.
    """
    for i, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            zone = "%z" if column.type.tz else ""
            words = pc.strftime(table.column(i), f"%Y-%m-%dT%H:%M:%S{zone}")
            for pattern, word in _OF_STRFTIME:
                words = pc.replace_substring_regex(words, pattern, word)
            table = table.set_column(i, column.name, words)
    return table


_OF_STRFTIME = (
    (r"\.0+([+-]\d{4})?$", r"\1"),  # no fraction
    (r"([+-]\d\d)(\d\d)$", r"\1:\2"),
    (r"\+00:00$", "Z"),
)
_WRITERS = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": pyarrow.parquet.write_table}
