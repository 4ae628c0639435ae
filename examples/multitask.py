"""Three sets of tasks on the same pumps, compared and plotted: `python examples/multitask.py`.

Reads like a notebook: samples from pandas, a configuration as a dict, a loop over task sets, a picture. It
needs pandas, and matplotlib (`pip install mmseq[plots]`).

A pump wears out. Its vibration is measured now and then, and events such as restarts have a clock of their
own. Of the pumps to learn from only one in five was inspected, and has the label that counts: whether the
bearing is worn. How many days a pump lasted is known of most, and what is measured next needs no label.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

import mmseq

matplotlib.use("agg")
from matplotlib import pyplot as plt

# %% Samples from pandas: a table for each stream, and one with a row a pump.


def pumps(n: int = 600, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Tables `samples`, `vibration` and `events`; the wear of a pump is in all of them, and nowhere plain."""
    rng = np.random.default_rng(seed)
    wear = rng.uniform(0, 1, n)
    held_out = rng.random(n) < 0.5
    inspected = held_out | (rng.random(n) < 0.2)
    samples = pd.DataFrame(
        {
            "pump": np.arange(n),
            "split": np.where(held_out, "test", np.where(rng.random(n) < 0.2, "validation", "train")),
            "site": rng.choice(["north", "south"], n),
            "bearing": np.where(inspected, np.where(wear > 0.5, "worn", "good"), None),
            "days": np.where(rng.random(n) < 0.9, 400 * (1 - wear) + rng.normal(0, 20, n), np.nan),
        }
    )
    vibration, events = [], []
    for pump in range(n):
        hours = np.cumsum(rng.exponential(6, rng.integers(10, 40)))
        swing = np.sin(hours / 24 * 2 * np.pi + rng.uniform(0, 6))
        level = wear[pump] * hours / 100 + 0.5 * swing + rng.normal(0, 0.7, len(hours))
        heat = np.where(rng.random(len(hours)) < 0.6, 40 + 5 * level + rng.normal(0, 3, len(hours)), np.nan)
        vibration.append(pd.DataFrame({"pump": pump, "hour": hours, "rms": level, "heat": heat}))
        restarts = np.sort(rng.uniform(0, hours[-1], rng.poisson(1 + 3 * wear[pump])))
        events.append(pd.DataFrame({"pump": pump, "hour": restarts, "event": "restart"}))
    return {"samples": samples, "vibration": pd.concat(vibration), "events": pd.concat(events)}


data = pumps()

# %% One configuration; only the tasks change.

BASE = {
    "data": {
        "source": {"kind": "memory", "id": "pump"},
        "samples": "samples",
        "split": {"column": "split"},
    },
    "timeline": {"unit": "hours"},
    "modalities": {
        "vibration": {"kind": "numeric", "table": "vibration", "time": "hour", "columns": ["rms", "heat"]},
        "events": {"kind": "category", "table": "events", "time": "hour", "column": "event"},
        "site": {"kind": "category", "table": "samples", "column": "site"},
    },
    "fusion": {"kind": "gated", "width": 16},
    "core": {"kind": "gru", "hidden": 32, "dropout": 0.2},
    "readout": [{"kind": "last"}, {"kind": "mean"}],
    "training": {"epochs": 30, "batch": {"samples": 32}, "optimizer": {"lr": 3e-3}, "threads": 1},
}
BEARING = {"kind": "classification", "table": "samples", "column": "bearing"}
DAYS = {"kind": "regression", "table": "samples", "column": "days"}
NEXT = {"kind": "next_step", "modality": "vibration", "weight": 0.2}
TASK_SETS = {
    "bearing alone": {"bearing": BEARING},
    "+ days": {"bearing": BEARING, "days": DAYS},
    "+ days + next": {"bearing": BEARING, "days": DAYS, "next": NEXT},
}

# %% Train each set, and look at the task that all of them have.

scores = {}
for name, tasks in TASK_SETS.items():
    experiment = mmseq.load_config(
        {**BASE, "name": name.replace(" ", "-").replace("+", "and"), "tasks": tasks}
    )
    run = mmseq.train(experiment, data=data)
    report = mmseq.evaluate(run, "test", data=data)
    scores[name] = report["bearing"]["metrics"]
table = pd.DataFrame(scores).T
print(table.round(3).to_string())

# %% Plot.

path = Path(sys.argv[1] if len(sys.argv) > 1 else "multitask.png")
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
table["auroc"].plot.barh(ax=axes, xlim=(0.5, 1), xlabel="AUROC of a worn bearing, test pumps")
axes.invert_yaxis()
figure.savefig(path, dpi=120)
print(f"the picture is in {path}")
