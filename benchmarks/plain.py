"""What trees on plain features reach on the engines and the vowels of `examples`; JSON lines.

    python benchmarks/plain.py cmapss data/cmapss
    python benchmarks/plain.py vowels data/vowels

`cmapss`: a HistGradientBoosting on the cycle's number, the measurements, and each sensor's mean over the last
5 and 20 cycles and over all up to then. `vowels`: 500 extremely randomised trees on mean, standard deviation,
minimum, maximum, first and last of each channel, and the number of frames. They learn from the training split
with default settings, three seeds each. Needs `pip install 'mmseq[dev]'`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingRegressor

SEEDS = (0, 1, 2)
Rows = Iterator[dict[str, float]]


def cmapss(root: Path, split: str) -> Rows:
    """Boosted trees on the last cycles."""
    sensors = [f"sensor_{i}" for i in range(1, 22)]
    means = ", ".join(
        f"avg({s}) OVER (PARTITION BY engine ORDER BY cycle ROWS {n} PRECEDING) AS {s}_{n}"
        for s in sensors
        for n in ("4", "19", "UNBOUNDED")
    )
    frame = duckdb.sql(f"""
        SELECT * FROM (SELECT *, {means} FROM '{root}/cycles.csv')
        JOIN '{root}/left.csv' USING (engine, cycle)
        JOIN '{root}/engines.csv' USING (engine) ORDER BY engine, cycle""").df()
    inputs = frame.drop(columns=["engine", "left", "split"])
    inputs = inputs.loc[:, inputs.nunique() > 1]
    train, held = frame["split"] == "train", frame["split"] == split
    for seed in SEEDS:
        model = HistGradientBoostingRegressor(random_state=seed).fit(inputs[train], frame["left"][train])
        error = model.predict(inputs[held]) - frame["left"][held]
        yield {"seed": seed, "n": int(held.sum()), "rmse": float(np.sqrt((error**2).mean()))}


def vowels(root: Path, split: str) -> Rows:
    """Trees on summaries of each channel."""
    series = pd.read_csv(root / "series.csv").sort_values(["sample", "frame"]).drop(columns="frame")
    about = pd.read_csv(root / "samples.csv", index_col="sample")
    by_sample = series.groupby("sample")
    parts = [by_sample.agg([name]) for name in ("mean", "std", "min", "max", "first", "last")]
    inputs = pd.concat([*parts, by_sample.size()], axis=1).loc[about.index].to_numpy()
    train, held = (about["split"] == "train").to_numpy(), (about["split"] == split).to_numpy()
    for seed in SEEDS:
        model = ExtraTreesClassifier(500, random_state=seed).fit(inputs[train], about["label"][train])
        accuracy = model.score(inputs[held], about["label"][held])
        yield {"seed": seed, "n": int(held.sum()), "accuracy": accuracy}


TABLES = {"cmapss": cmapss, "vowels": vowels}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", choices=list(TABLES))
    parser.add_argument("root", type=Path)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    arguments = parser.parse_args()
    for row in TABLES[arguments.tables](arguments.root, arguments.split):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
