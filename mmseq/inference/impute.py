"""Raw samples → a modality's own table, its missing cells filled and marked."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import evaluation_loader
from mmseq.carried import Carried
from mmseq.data import inputs_of, store_inputs
from mmseq.errors import ConfigError
from mmseq.heads import HidingConfig
from mmseq.heads.imputation import ImputationHead
from mmseq.inference.predict import (
    strays,
    unknown_codes,
    unknown_notes,
    with_iso_times,
    write_table,
    write_whole,
)
from mmseq.memory import FREE_SOME, telling_shortage
from mmseq.processes import ALONE, Processes, together
from mmseq.registry import did_you_mean
from mmseq.run import Run, model_of
from mmseq.sources.files import text
from mmseq.state import State
from mmseq.store.layout import index_file
from mmseq.store.original import Original, original
from mmseq.store.query import database

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store import Store

MARK = "_imputed"
LEFT = {
    "of absent samples": "of ids that no sample has",
    "after until": "after `data.until`",
    "after the last anchor": "after the last step of `timeline.anchor`",
    "of unknown codes": "of codes that training never had",
}
"""Why the store leaves out rows, and how a user is told."""


@dataclass
class Imputed:
    """What came out.

    Attributes:
        table: the modality's table with its missing cells filled; after its own columns, of each feature a
            column `<feature>_imputed`, true where its cell was filled.
        filled: by feature, how many cells were filled.
        notes: what a user should know of the inputs.
    """

    table: pa.Table
    filled: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def impute(
    model: Model | Run | str | Path, samples: Any, *, task: str | None = None, keep_text: bool = False
) -> Imputed:
    """Fills the missing cells of a numeric modality's table by a task of kind `imputation`.

    Cells that are there stay as they are, rows in their order; of a pivoted table, the wide one is given, a
    row for each sample and time at which it has a value. Codes that training never had follow the features,
    each in a column, as they are.

    Under torchrun or srun every process makes this call; the leader gets the table.

    Args:
        model: with such a task, or its run, or the folder of either.
        samples: tables by name, as `train` takes them in memory, or a folder as the source's root.
        task: which one, where there are several.
        keep_text: features that are text in the source, as all of a CSV file is, stay text, letter by letter;
            else they become numbers.

    Raises:
        ConfigError: there is no such task, or several; or a column has the name of a mark.
        MemoryShort: a batch does not fit into memory.
    """
    model = model_of(model)
    task = _task(model, task)
    name = cast(HidingConfig, model.experiment.tasks[task]).modality
    with together() as processes, tempfile.TemporaryDirectory(prefix="mmseq-") as folder:
        plan, source = inputs_of(model, samples)
        store = store_inputs(model, plan, source, Path(folder))
        predicted, unknown = _predicted(model, store, task, name, processes)
        if not processes.leads:
            return Imputed(pa.table({}))
        codes = unknown_codes(model, store, [name])
        others = [code.removeprefix(f"{name}.") for code in codes]
        found = original(store, source, name, plan.modalities[name], others)
        read, missing = model.modalities[name].read, model.facts.modalities[name].missing
        imputed = _filled(found, predicted, read, np.array(missing) < 1, keep_text)
        report = store.entry(name).report | {"of unknown codes": found.n_bare}
        imputed.notes += _left(found, report) + unknown_notes(unknown | codes)
        imputed.notes += [
            f"{n} rows of {where} are of ids that no sample has" for where, n in strays(store).items()
        ]
        return imputed


def _task(model: Model, task: str | None) -> str:
    """The task that fills."""
    known = [name for name, config in model.experiment.tasks.items() if config.kind == "imputation"]
    if not known:
        raise ConfigError("impute: needs a task of kind 'imputation'; the model has none; train one that has")
    if task is None and len(known) > 1:
        raise ConfigError(
            f"impute: fills one modality at a time; name a task of {', '.join(known)} by --task"
        )
    if task not in (None, *known):
        raise ConfigError(
            f"--task {task}: must be of kind 'imputation'{did_you_mean(str(task), known)}; there are: "
            f"{', '.join(known)}"
        )
    return task or known[0]


@torch.inference_mode()
def _predicted(
    model: Model, store: Store, task: str, name: str, processes: Processes = ALONE
) -> tuple[Float64[np.ndarray, "event feature"], Counter[str]]:
    """What the task says of each event of its modality, in the order of the store."""
    model.eval()
    head, device = cast(ImputationHead, model.heads[task]), next(model.parameters()).device
    index, place = store.index(index_file(name)), {id: i for i, id in enumerate(store.ids.tolist())}
    coming, carried, unknown = index[:-1].copy(), Carried(), Counter[str]()
    rows: list[tuple[np.ndarray, np.ndarray]] = []
    assembler, window = Assembler(store, model, tasks=[]), model.experiment.training.window
    with telling_shortage(lambda: ("impute", carried.batch), FREE_SOME):
        everyone = np.arange(len(store))
        for batch in evaluation_loader(assembler, everyone, window=window, processes=processes):
            unknown.update(model.unknown({name: batch.events[name]}))
            said = carried.run(partial(_answer, model, task, name), batch.to(device))
            member = np.array([place[id] for id in batch.ids], np.int64)
            sample = batch.timeline.sample[batch.events[name].step].numpy()
            counts = np.bincount(sample, minlength=len(member))
            rank = np.arange(len(sample)) - (np.cumsum(counts) - counts)[sample]
            rows.append((coming[member[sample]] + rank, head.original(said.cpu()).numpy()))
            coming[member] += counts
    predicted = np.full((int(index[-1]), head.n_columns), np.nan)
    parts = processes.gather((rows, unknown))
    for event, values in (row for theirs, _ in parts for row in theirs):
        predicted[event] = values
    return predicted, sum((own for _, own in parts), Counter[str]())


def _answer(model: Model, task: str, name: str, batch: Batch, state: State | None) -> tuple[Tensor, State]:
    """The task's parameters at each event of the modality."""
    hidden, _, after = model.trunk(batch, state)
    return model.heads[task](hidden.index_select(0, batch.events[name].step)), after


def _filled(
    found: Original,
    predicted: Float64[np.ndarray, "event feature"],
    columns: Sequence[str],
    seen: Bool[np.ndarray, "feature"],
    keep_text: bool,
) -> Imputed:
    """The table with what is missing and can be told."""
    table, imputed = found.table, Imputed(found.table)
    if taken := [f"{column}{MARK}" for column in columns if f"{column}{MARK}" in table.column_names]:
        raise ConfigError(f"impute: the table has a column {taken[0]!r}, as a mark is called; rename it")
    if not len(predicted):  # nor any row that could be filled
        predicted = np.full((1, len(columns)), np.nan)
    is_missing, known = np.isnan(found.values), found.event >= 0
    marks: Mapping[str, np.ndarray] = {
        column: is_missing[:, f] & known & seen[f] for f, column in enumerate(columns)
    }
    for f, (column, mark) in enumerate(marks.items()):
        values = np.where(mark, predicted[found.event, f], found.values[:, f])
        place, own = table.column_names.index(column), table.column(column).combine_chunks()
        table = table.set_column(place, column, _column(own, mark, values, keep_text))
        if mark.any() and (n := _rounded(own)):
            imputed.notes.append(
                f"{column}: {n} whole numbers beyond 2^53 were rounded; a filled column has floats"
            )
    for column, mark in marks.items():
        table = table.append_column(f"{column}{MARK}", pa.array(mark))
    imputed.table, imputed.filled = table, {column: int(mark.sum()) for column, mark in marks.items()}
    if never := [column for column, is_seen in zip(columns, seen, strict=True) if not is_seen]:
        imputed.notes.append(f"{', '.join(never)}: never observed in training; left as it is")
    return imputed


def _left(found: Original, report: Mapping[str, int]) -> list[str]:
    """What to say of rows that the store left out; `report` counts why, in rows of the source."""
    if not (left := int((found.event < 0).sum())):
        return []
    why = " or ".join(words for reason, words in LEFT.items() if report.get(reason))
    return [f"{left} rows were left as they are: {why}"]


def _column(
    column: pa.Array,
    mark: Bool[np.ndarray, "row"],
    values: Float64[np.ndarray, "row"],
    keep_text: bool,
) -> pa.Array:
    """A column with the marked cells replaced, the others as they are; beside those integers are floats."""
    if not mark.any() and (pa.types.is_primitive(column.type) or pa.types.is_decimal(column.type)):
        return column
    if pa.types.is_integer(column.type):
        column = column.cast(pa.float64(), safe=False)
    if pa.types.is_floating(column.type):
        return pc.replace_with_mask(column, pa.array(mark), pa.array(values[mark]).cast(column.type))
    if keep_text and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        told = pa.array([repr(value) for value in values[mark].tolist()], column.type)
        return pc.replace_with_mask(column, pa.array(mark), told)
    return pa.array(values, from_pandas=True)


def _rounded(column: pa.Array) -> int:
    """How many whole numbers a float does not hold."""
    if not pa.types.is_integer(column.type):
        return 0
    numbers = column.drop_null().to_numpy()
    large = numbers[np.abs(numbers.astype(np.float64)) >= 2**53].tolist()
    return sum(int(float(number)) != number for number in large)


def write_imputed(table: pa.Table, path: Path) -> None:
    """Writes CSV, JSON lines or Parquet, by the file's ending; complete or not at all.

    Text in CSV is quoted where it has to be alone, for cells that were not are to stay as they were.
    """
    if path.suffix != ".csv":
        write_table(table, path)
    else:
        write_whole(path, lambda aside: _write_csv(with_iso_times(table), aside))


def _write_csv(table: pa.Table, path: Path) -> None:
    with database() as connection:
        connection.register("filled", table)
        connection.execute(f"COPY filled TO {text(path)} (FORMAT csv, HEADER)")
