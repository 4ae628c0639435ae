"""The next activity and its time, judged as in Tax et al. 2017; JSON lines.

    python benchmarks/event_logs.py configs/helpdesk.yaml [--seeds 0 1 2] [--split test] [--set KEY=VALUE …]

For each seed: the model of the configuration, judged after the second event of each case of the split and
every later one but the last, by the share of next activities that are right and by the mean absolute error of
the time until then, in days. Beside it what the training cases tell without a model: the most common next
activity after the last one, and the median time until it.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import mmseq

Events = dict[str, list[tuple[float, str]]]


def read(root: Path) -> tuple[Events, dict[str, str]]:
    """The events of each case, by day and activity, and each case's split."""
    events: Events = defaultdict(list)
    with (root / "events.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            events[row["case"]].append((float(row["day"]), row["activity"]))
    with (root / "cases.csv").open(newline="") as file:
        return events, {row["case"]: row["split"] for row in csv.DictReader(file)}


def judge(events: Events, cases: list[str], answer: dict[tuple[str, int], tuple[str, float]]) -> dict:
    """Accuracy and error in days of answers by case and number of events seen."""
    right, errors = [], []
    for case in cases:
        own = events[case]
        for seen in range(2, len(own)):
            activity, wait = answer[case, seen]
            right.append(activity == own[seen][1])
            errors.append(abs(wait - (own[seen][0] - own[seen - 1][0])))
    return {"n": len(right), "accuracy": statistics.mean(right), "mae_days": statistics.mean(errors)}


def by_last(events: Events, known: list[str], cases: list[str]) -> dict[tuple[str, int], tuple[str, float]]:
    """What mostly follows the last activity, and the median wait after it."""
    follows: dict[str, Counter[str]] = defaultdict(Counter)
    waits: dict[str, list[float]] = defaultdict(list)
    for case in known:
        for (day, activity), (next_day, following) in zip(events[case], events[case][1:], strict=False):
            follows[activity][following] += 1
            waits[activity].append(next_day - day)
    answer = {}
    for case in cases:
        for seen, (_, activity) in enumerate(events[case], 1):
            if follows[activity]:
                most = follows[activity].most_common(1)[0][0]
                answer[case, seen] = (most, statistics.median(waits[activity]))
            else:
                answer[case, seen] = (activity, 0.0)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    experiment = mmseq.load_config(arguments.config, arguments.overrides)
    root = Path(experiment.data.source.root)
    events, split = read(root)
    cases = [case for case, part in split.items() if part == arguments.split]
    known = [case for case, part in split.items() if part == "train"]
    print(json.dumps({"side": "last activity", **judge(events, cases, by_last(events, known, cases))}))
    for seed in arguments.seeds:
        experiment = mmseq.load_config(arguments.config, [*arguments.overrides, f"seed={seed}"])
        mmseq.prepare(experiment)
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = mmseq.train(experiment, output=Path(folder))
            seconds = time.perf_counter() - begin
            table = run.model().predict(root, every_step=True)
        answer, seen = {}, Counter[str]()
        columns = (table[name].to_pylist() for name in ("id", "next", "next.wait"))
        for case, activity, wait in zip(*columns, strict=True):
            seen[case] += 1
            answer[case, seen[case]] = (activity, wait)
        result = judge(events, cases, answer)
        print(json.dumps({"seed": seed, **result, "seconds": round(seconds, 1)}), flush=True)


if __name__ == "__main__":
    main()
