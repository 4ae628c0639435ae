"""The next activity and its time after each judged event of a log, beside a plain method; JSON lines.

    python benchmarks/event_logs.py data/helpdesk [run …] [--split test]

The plain method tells what is most common after the last activity in the training cases, an activity or the
end, and the median wait. After it a line for each folder of a trained run. `accuracy` and `mae_days` are
as in Tax et al. 2017: only where an event follows, and yet the end is an answer, which is always wrong.
`accuracy_given_one_follows` is of the best answer other than the end.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import duckdb
import pandas as pd

import mmseq

END = "end"


def read(root: Path) -> pd.DataFrame:
    """A row a label: case, day, next, wait, activity, split."""
    return duckdb.sql(f"""
        SELECT CAST("case" AS VARCHAR) AS id, day AS time, split, activity, next, wait
        FROM '{root}/next.csv' JOIN '{root}/events.csv' USING ("case", day)
        JOIN '{root}/cases.csv' USING ("case") ORDER BY id, time""").df()


def judge(held: pd.DataFrame, told: pd.DataFrame) -> dict[str, float]:
    """Of answers in the order of the labels: `next`, `wait`, and `following`, which is never the end."""
    return {
        "n": len(held),
        "accuracy": float((told["next"].to_numpy() == held["next"].to_numpy()).mean()),
        "mae_days": float(abs(told["wait"].to_numpy() - held["wait"].to_numpy()).mean()),
        "accuracy_given_one_follows": float((told["following"].to_numpy() == held["next"].to_numpy()).mean()),
    }


def by_last(train: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """What mostly follows the last activity, and the median wait after it."""
    common = train.groupby("activity")["next"].agg(lambda after: after.value_counts().index[0])
    real = train[train["next"] != END].groupby("activity")
    following = real["next"].agg(lambda after: after.value_counts().index[0])
    last = held["activity"]
    return pd.DataFrame(
        {
            "next": last.map(common),
            "following": last.map(following),
            "wait": last.map(real["wait"].median()).fillna(0),
        }
    )


def by_model(run: Path, root: Path, held: pd.DataFrame) -> pd.DataFrame:
    """What a run's model tells at the labels' events."""
    told = mmseq.Run(run).model().predict(root, every_step=True).to_pandas()
    told["id"] = told["id"].astype(str)
    real = [name for name in told if name.startswith("next.p_") and name != f"next.p_{END}"]
    told["following"] = told[real].idxmax(axis=1).str.removeprefix("next.p_")
    told = told.set_index(["id", told["time"].round(6)])
    return told.loc[list(zip(held["id"], held["time"].round(6), strict=True))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    arguments = parser.parse_args()
    labels = read(arguments.root)
    held = labels[labels["split"] == arguments.split]
    train = labels[labels["split"] == "train"]
    print(json.dumps({"side": "last activity", **judge(held, by_last(train, held))}))
    for run in arguments.runs:
        print(json.dumps({"side": str(run), **judge(held, by_model(run, arguments.root, held))}), flush=True)


if __name__ == "__main__":
    main()
