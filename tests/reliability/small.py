"""A small experiment, its model and a checkpoint, each of which holds a number that tells it apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mmseq.config.experiment import Experiment
from mmseq.config.load import load_config
from mmseq.data import prepare
from mmseq.fit import fit
from mmseq.model import Model
from mmseq.training.checkpoint import Checkpoint, Progress

OLD, NEW = 1.0, 2.0
YAML = """\
name: small
data: {source: {kind: tables, root: data, id: id}}
modalities:
  v: {kind: numeric, table: v.csv, time: t, columns: [x]}
  c: {kind: category, table: c.csv, time: t, column: k}
core: {kind: gru, hidden: 3}
fusion: {kind: sum, width: 2}
tasks: {y: {kind: regression, table: y.csv, column: y}}
training: {epochs: 1, batch: {samples: 2}, threads: 1, accelerator: cpu}
"""


ONE_MODALITY = "modalities={v: {kind: numeric, table: v.csv, time: t, columns: [x]}}"
"""An override with which a store has half as many files."""


def make_experiment(folder: Path, value: float, n_shards: int = 1, *overrides: str) -> Experiment:
    """On six samples, in tables below the folder, beside its YAML."""
    (folder / "data").mkdir()
    samples = "abcdef"
    v = [f"{s},{t},{value + t * i}" for i, s in enumerate(samples) for t in range(i % 3 + 1)]
    c = [f"{s},{i % 2},{'uv'[(i + int(value)) % 2]}" for i, s in enumerate(samples)]
    y = [f"{s},{value * i}" for i, s in enumerate(samples)]
    for name, header, rows in (("v", "id,t,x", v), ("c", "id,t,k", c), ("y", "id,y", y)):
        (folder / "data" / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "small.yaml").write_text(YAML)
    stores, size = folder / "stores", 18 // n_shards
    there = [f"data.store={stores}", f"data.shard_events={size}"]
    return load_config(folder / "small.yaml", [*there, *overrides])


def make_model(experiment: Experiment, value: float) -> Model:
    """With every weight the same."""
    store = prepare(experiment)
    return fill(Model(experiment, fit(experiment, store, np.arange(len(store)))), value)


def fill(model: Model, value: float) -> Model:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


def checkpoint(value: float) -> Checkpoint:
    """Weights longer than a buffer, moments, facts and a carried state."""
    return Checkpoint(
        {"w": torch.full((4_000,), value), "b": torch.zeros(0)},
        {"0.exp_avg": torch.full((3,), -value)},
        Progress(step=int(value)),
        {"time_scale": value},
        {"p1": {"core/hidden": torch.full((1, 2), value)}},
    )
