"""From a prefix, or from nothing, what may come next: paths of events, or quantiles over them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import EVALUATION_BATCH, evaluation_loader
from mmseq.data import prepare_inputs
from mmseq.errors import ConfigError
from mmseq.inference.choice import Choice, clocks_of
from mmseq.inference.paths import Paths, nothing_known
from mmseq.inference.predict import Predictions, column_of, json_row, strays, told_times, unknown_codes
from mmseq.inference.quantiles import Grid, last_values, numeric_columns, quantile_rows
from mmseq.memory import telling_shortage
from mmseq.run import Run, model_of

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store import Store

_PATHS = 4_096  # side by side, about
_FEWER = "have fewer paths (`n`) or samples at a time, or go where there is more"

Row = dict[str, Any]


@torch.inference_mode()
def generate(
    model: Model | Run | str | Path,
    samples: Any = None,
    *,
    n: int = 1,
    steps: int | None = None,
    horizon: float | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    quantiles: Sequence[float] | None = None,
    every: float | None = None,
) -> Predictions:
    """What may come after each sample, and what was strange in the inputs; see `Model.generate`."""
    choice = Choice(n, steps, horizon, temperature, top_k, seed)
    grid = Grid.of(quantiles, horizon, every)
    model = model_of(model)
    names = [clock.modality for clock in clocks_of(model)]
    columns = numeric_columns(model, names) if grid else {}
    if grid and not columns:
        raise ConfigError(
            f"generate: quantiles are of numbers; what is generated has none: {', '.join(names)}; leave "
            "quantiles out"
        )
    model.eval()
    keys = ["id", "path", "time", *names] if grid is None else ["id", "time", "column", *grid.names]
    if samples is None:
        rows = _rows(model, nothing_known(model), choice, columns, grid)
        return Predictions(_table([{**row, "id": None} for row in rows], keys))
    with tempfile.TemporaryDirectory(prefix="mmseq-") as folder:
        store = prepare_inputs(model, samples, Path(folder))
        by_id, unknown = _of_store(model, store, choice, columns, grid)
        rows = [row for id in store.ids.tolist() for row in by_id[id]]
        table = _in_time(_table(rows, keys), model, store)
        return Predictions(table, unknown + Counter(unknown_codes(model, store)), strays(store))


def _of_store(
    model: Model, store: Store, choice: Choice, columns: dict[str, list[str]], grid: Grid | None
) -> tuple[dict[str, list[Row]], Counter[str]]:
    """The rows of each sample, by id; and codes that training never had."""
    assembler = Assembler(store, model, tasks=[])
    size = max(1, min(EVALUATION_BATCH, _PATHS // choice.n))
    unknown = Counter[str]()
    by_id: dict[str, list[Row]] = {id: [] for id in store.ids.tolist()}
    for batch in evaluation_loader(assembler, np.arange(len(store)), size):
        unknown.update(model.unknown(batch.events))
        for row in _rows(model, batch, choice, columns, grid):
            by_id[row["id"]].append(row)
    return by_id, unknown


def _rows(
    model: Model, batch: Batch, choice: Choice, columns: dict[str, list[str]], grid: Grid | None
) -> list[Row]:
    """The rows of a batch: sample after sample, path after path, in time."""
    of_sample: list[list[list[Row]]] = [[[] for _ in range(choice.n)] for _ in batch.ids]
    with telling_shortage(lambda: ("generate", batch), _FEWER):
        paths = Paths(model, batch, choice)
        begin = paths.now[:: choice.n].tolist()
        for made in paths:
            for i, (sample, path, time) in enumerate(zip(made.sample, made.path, made.time, strict=True)):
                row = {"id": batch.ids[sample], "path": path, "time": time}
                row |= {name: values[i] for name, values in made.values.items() if values[i] is not None}
                of_sample[sample][path].append(row)
    if grid is None:
        return [row for sample in of_sample for path in sample for row in path]
    known = last_values(batch, columns)
    return [
        row
        for i, id in enumerate(batch.ids)
        for row in quantile_rows(id, begin[i], of_sample[i], known[i], columns, grid)
    ]


def _table(rows: list[Row], keys: list[str]) -> pa.Table:
    """One column a key; of a modality, null where a step has no event of it."""
    return pa.table({key: pa.array([row.get(key) for row in rows]) for key in keys})


def _in_time(table: pa.Table, model: Model, store: Store) -> pa.Table:
    """Times as training had them."""
    place = {id: i for i, id in enumerate(store.ids.tolist())}
    samples = np.array([place[id] for id in table["id"].to_pylist()], np.int64)
    time = told_times(model, store, samples, np.array(table["time"].to_pylist(), np.float64))
    return table.set_column(table.schema.get_field_index("time"), "time", column_of(time))


def lines(table: pa.Table) -> Iterator[str]:
    """JSON, a row a line; what a step has not is left out."""
    for row in table.to_pylist():
        known = {name: value for name, value in row.items() if value is not None or name in ("id", "time")}
        yield json_row({name: _told(value) for name, value in known.items()}) + "\n"


def _told(value: Any) -> Any:
    """A value without the columns that it has not."""
    if isinstance(value, list):
        return [_told(inner) for inner in value]
    if isinstance(value, dict):
        return {name: inner for name, inner in value.items() if inner is not None}
    return value


def check_ending(path: Path) -> None:
    """Raises ConfigError for a file that is not of JSON lines."""
    if path.suffix != ".jsonl":
        raise ConfigError(
            f"{path}: what is generated is written as JSON lines; name a file that ends in .jsonl"
        )
