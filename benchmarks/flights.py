"""The flights over five splits by week, beside boosted trees on plain features; JSON lines.

    python benchmarks/flights.py [split …] [--set KEY=VALUE …]

The weeks, shuffled once, are dealt into five folds: each is the test split once, half of the next one chooses
the epoch, the rest trains. For each split: the model of configs/flights.yaml, the same on departures alone,
and a HistGradientBoosting on last, mean, min, max and count of every input (trained on the training and
validation weeks together), all judged on the same test weeks. R² is of log1p(mean delay). Needs
`pip install 'mmseq[dev]'` and the tables that `python examples/flights_tables.py data/flights` writes.
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
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import f1_score, r2_score, roc_auc_score

import mmseq
from mmseq.config.splits import SPLITS
from mmseq.random import permutation
from mmseq.store import Store

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "flights.yaml"
TABLES = ROOT / "data" / "flights"
JUDGED = {"level": ("f1_macro", 1), "delay": ("r2_log1p", 1), "late": ("auroc", 1), "next": ("loss", -1)}
ALONE = [
    "modalities={flights: {kind: numeric, table: flights.csv, time: minute, columns: [delay, distance]}, "
    "carrier: {kind: category, table: flights.csv, time: minute, column: carrier}}"
]
SIDES = {"model": [], "alone": ALONE, "trees": []}
WEATHER = ("temp", "dewp", "humid", "wind_speed", "gust", "precip", "pressure", "visib")


def features() -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """Plain features of each sample up to noon, its labels, and its id."""
    summaries = {
        "flights": ("delay", "distance"),
        "weather": WEATHER,
    }
    parts = []
    for table, columns in summaries.items():
        terms = ", ".join(
            f"{f} AS {table}_{c}_{i}"
            for c in columns
            for i, f in enumerate(
                (f"arg_max({c}, minute)", f"avg({c})", f"min({c})", f"max({c})", f"count({c})")
            )
        )
        parts.append(
            f"(SELECT sample_id, {terms} FROM '{TABLES}/{table}.csv' WHERE minute <= 720 GROUP BY sample_id)"
        )
    morning = f"SELECT sample_id, carrier, delay FROM '{TABLES}/flights.csv' WHERE minute <= 720"
    carriers = f"(PIVOT ({morning}) ON carrier USING avg(delay) GROUP BY sample_id)"
    query = f"""
        SELECT s.* EXCLUDE (week), f.* EXCLUDE (sample_id), w.* EXCLUDE (sample_id),
            c.* EXCLUDE (sample_id), l.* EXCLUDE (sample_id)
        FROM '{TABLES}/samples.csv' AS s LEFT JOIN {parts[0]} AS f USING (sample_id)
        LEFT JOIN {parts[1]} AS w USING (sample_id) LEFT JOIN {carriers} AS c USING (sample_id)
        JOIN '{TABLES}/labels.csv' AS l USING (sample_id) ORDER BY s.sample_id"""
    frame = duckdb.sql(query).df()
    targets = [c for c in frame.columns if c in ("level", "mean_delay") or c.startswith("late_")]
    labels = {name: frame[name].to_numpy() for name in targets}
    inputs = frame.drop(columns=[*targets, "sample_id"])
    for name in ("weekday", "airport"):
        inputs[name] = inputs[name].astype("category").cat.codes
    return inputs.to_numpy(float), labels, frame["sample_id"].tolist()


def trees(
    x: np.ndarray, labels: dict[str, np.ndarray], train: np.ndarray, test: np.ndarray
) -> dict[str, float]:
    """Boosted trees, one model a label, with their default settings."""
    x = told(x, train)
    log = np.log1p(labels["mean_delay"].astype(float))
    regressor = HistGradientBoostingRegressor(random_state=0).fit(x[train], log[train])
    classifier = HistGradientBoostingClassifier(random_state=0).fit(x[train], labels["level"][train])
    late = []
    for name in late_names():
        y = labels[name].astype(float)
        rows, held = train[~np.isnan(y[train])], test[~np.isnan(y[test])]
        if len(set(y[rows])) == 2 == len(set(y[held])):
            model = HistGradientBoostingClassifier(random_state=0).fit(told(x, rows)[rows], y[rows])
            late.append(roc_auc_score(y[held], model.predict_proba(told(x, rows)[held])[:, 1]))
    return {
        "delay_r2_log1p": r2_score(log[test], regressor.predict(x[test])),
        "level_f1_macro": f1_score(labels["level"][test], classifier.predict(x[test]), average="macro"),
        "late_auroc": float(np.mean(late)),
    }


def told(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The features that take more than one value in these rows; the trees cannot take others."""
    return x[:, [len(np.unique(column[~np.isnan(column)])) > 1 for column in x[rows].T]]


def late_names() -> list[str]:
    """The labels that the configuration asks for."""
    return mmseq.load_config(CONFIG).tasks["late"].columns


def fold(store: Store, k: int) -> dict[str, np.ndarray]:
    """Store indices of each split of fold k of five."""
    weeks = np.argsort(permutation(len(store.group_names), 0))  # each week's place in the shuffled order
    tenth = weeks[store.groups] % 10
    test, validation = tenth // 2 == k, tenth == (2 * k + 2) % 10
    return {
        name: np.flatnonzero(m)
        for name, m in zip(SPLITS, (~test & ~validation, validation, test), strict=True)
    }


def model(splits: dict[str, np.ndarray], store: Store, overrides: list[str]) -> dict[str, float]:
    """The toolkit's model on one split, judged on its test weeks."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "split.json"
        file.write_text(json.dumps({name: store.ids[rows].tolist() for name, rows in splits.items()}))
        experiment = mmseq.load_config(CONFIG, [f"data.split={{file: {file}}}", *overrides])
        run = mmseq.train(experiment, output=Path(folder))
        seconds = time.perf_counter() - begin
        report = mmseq.evaluate(run, "test")
    beaten = all(_better(task, result) for task, result in report.items())
    return {
        "delay_r2_log1p": report["delay"]["metrics"]["r2_log1p"],
        "level_f1_macro": report["level"]["metrics"]["f1_macro"],
        "late_auroc": report["late"]["metrics"]["auroc"],
        "next_loss": report["next"]["metrics"]["loss"],
        "next_loss_baseline": report["next"]["baseline"]["loss"],
        "every_task_beats_its_baseline": beaten,
        "seconds": round(seconds, 1),
    }


def _better(task: str, result: dict) -> bool:
    metric, more = JUDGED[task]
    return more * (result["metrics"][metric] - result["baseline"][metric]) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("splits", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--only", choices=list(SIDES), action="append")
    arguments = parser.parse_args()
    x, labels, ids = features()
    experiment = mmseq.load_config(CONFIG)
    store = mmseq.prepare(experiment)
    place = {name: i for i, name in enumerate(ids)}
    rows = []
    for k in arguments.splits:
        splits = fold(store, k)
        members = {name: np.array([place[i] for i in store.ids[s].tolist()]) for name, s in splits.items()}
        known = np.concatenate([members["train"], members["validation"]])
        for side in arguments.only or SIDES:
            if side == "trees":
                result = trees(x, labels, known, members["test"])
            else:
                result = model(splits, store, [*arguments.overrides, *SIDES[side]])
            rows.append({"split": k, "side": side, **result})
            print(json.dumps(rows[-1]), flush=True)
    for side in {row["side"]: None for row in rows}:
        mine = [row for row in rows if row["side"] == side]
        names = ("delay_r2_log1p", "level_f1_macro", "late_auroc")
        means = {name: round(statistics.mean(row[name] for row in mine), 4) for name in names}
        print(json.dumps({"mean of": side, **means}))


if __name__ == "__main__":
    main()
