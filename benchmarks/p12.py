"""P12 on its five published splits, beside boosted trees on plain features; JSON lines.

    python benchmarks/p12.py [split …] [--only model|trees] [--set KEY=VALUE …]

For each split: the one model of configs/p12.yaml, which learns four tasks, and a HistGradientBoosting a task
with its default settings, on age, gender, height, weight and ward, and last, mean, min, max and count of each
parameter. Both learn from the training stays and are judged on the test stays; the model chooses its epoch on
the validation stays. Needs `pip install 'mmseq[dev]'` and the tables of `python examples/p12_tables.py …`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

import mmseq

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "p12.yaml"
SIDES = ("model", "trees")
STATIC = ["age", "gender", "height", "weight", "icu"]
METRICS = {
    "auroc": ("death", "auroc"),
    "auprc": ("death", "auprc"),
    "los_r2_log1p": ("los", "r2_log1p"),
    "saps_r2": ("saps", "r2"),
    "sofa_r2": ("sofa", "r2"),
}


def features(tables: Path) -> pd.DataFrame:
    """One row a stay: its row of `stays.csv`, and five summaries of each parameter."""
    summaries = ("arg_max(value, minute)", "avg(value)", "min(value)", "max(value)", "count(*)")
    terms = ", ".join(f"{term} AS f{i}" for i, term in enumerate(summaries))
    query = f"""
        PIVOT (SELECT stay, param, value, minute FROM '{tables}/series.csv' ORDER BY stay, minute)
        ON param USING {terms} GROUP BY stay"""
    return duckdb.sql(f"SELECT * FROM '{tables}/stays.csv' JOIN ({query}) USING (stay) ORDER BY stay").df()


def trees(frame: pd.DataFrame, split: int) -> dict[str, float]:
    """Boosted trees, one model a task."""
    begin = time.perf_counter()
    labels = [*(f"split{i}" for i in range(1, 6)), "death", "los", "saps", "sofa", "stay"]
    x = frame.drop(columns=labels)
    part = frame[f"split{split}"]
    result = {}
    for task in ("death", "los", "saps", "sofa"):
        y = np.log1p(frame[task]) if task == "los" else frame[task]
        train, test = (part == "train") & y.notna(), (part == "test") & y.notna()
        if task == "death":
            classifier = HistGradientBoostingClassifier(random_state=0).fit(x[train], y[train])
            p = classifier.predict_proba(x[test])[:, 1]
            result["auroc"] = roc_auc_score(y[test], p)
            result["auprc"] = average_precision_score(y[test], p)
        else:
            regressor = HistGradientBoostingRegressor(random_state=0).fit(x[train], y[train])
            name = "los_r2_log1p" if task == "los" else f"{task}_r2"
            result[name] = r2_score(y[test], regressor.predict(x[test]))
    return {**result, "seconds": round(time.perf_counter() - begin, 1)}


def model(split: int, overrides: list[str]) -> dict[str, float]:
    """The toolkit's model, judged on the test stays."""
    experiment = mmseq.load_config(CONFIG, [f"data.split={{column: split{split}}}", *overrides])
    mmseq.prepare(experiment)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = mmseq.train(experiment, output=Path(folder))
        seconds = time.perf_counter() - begin
        report = mmseq.evaluate(run, "test")
    result = {name: report[task]["metrics"][metric] for name, (task, metric) in METRICS.items()}
    return {**result, "los_mae": report["los"]["metrics"]["mae"], "seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("splits", nargs="*", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--only", choices=SIDES, action="append")
    arguments = parser.parse_args()
    sides = arguments.only or list(SIDES)
    experiment = mmseq.load_config(CONFIG, arguments.overrides)
    frame = features(Path(experiment.data.source.root)) if "trees" in sides else pd.DataFrame()
    rows = []
    for split in arguments.splits:
        for side in sides:
            result = trees(frame, split) if side == "trees" else model(split, arguments.overrides)
            rows.append({"split": split, "side": side, **result})
            print(json.dumps(rows[-1]), flush=True)
    for side in sides:
        for name in METRICS:
            mine = [row[name] for row in rows if row["side"] == side]
            spread = statistics.stdev(mine) if len(mine) > 1 else 0.0
            mean = round(statistics.mean(mine), 4)
            print(json.dumps({"side": side, "metric": name, "mean": mean, "sd": round(spread, 4)}))


if __name__ == "__main__":
    main()
