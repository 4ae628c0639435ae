"""P12's four tasks with each core, each balancer, and few labels with and without `next_step`; JSON lines.

    python benchmarks/p12_choices.py cores|balancers|labels [name …] [--split 1] [--epochs 6] [--seeds 0 …]
        [--set KEY=VALUE …]

Each row is configs/p12.yaml, its tasks' losses added up (`balance: fixed`), with one thing changed, on one
split, for the same number of epochs; the epoch is chosen on the validation stays, and what is told is of
the test stays.

    cores       every core in the configuration's stack of one layer, 96 wide
    balancers   every balancer, the tasks' weights all 1
    labels      5 % of the training stays keep their labels, the same for all rows: those tasks alone; with
                `next_step` of the measurements beside them; and with `next_step` alone for the first epochs

Needs the tables of `python examples/p12_tables.py …`; `labels` writes others, into a folder beside theirs.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from p12 import CONFIG, METRICS

import mmseq
from mmseq.balancers import balancers
from mmseq.cores import cores

SHARE, FIRST = 0.05, 3
STACKED = {"hierarchical", "stack", "bidirectional"}  # of other cores, which are named below
OTHERS = {
    "bidirectional lstm": {"kind": "bidirectional", "core": {"kind": "lstm", "hidden": 48}},
}
NEXT = {"kind": "next_step", "modality": "series", "weight": 0.3}


def with_each_core() -> dict[str, dict[str, Any]]:
    """Overrides by row."""
    kinds = [kind for kind in cores.kinds() if kind not in STACKED]
    inner: dict[str, dict[str, Any]] = {kind: {"kind": kind, "hidden": 96} for kind in kinds} | OTHERS
    return {name: {"core.core": core} for name, core in inner.items()}


def with_each_balancer() -> dict[str, dict[str, Any]]:
    """Overrides by row."""
    return {kind: {"balance": {"kind": kind}} for kind in balancers.kinds()}


def with_few_labels() -> dict[str, dict[str, Any]]:
    """Overrides by row."""
    first = {"training.pretrain": {"epochs": FIRST, "tasks": ["next"]}}
    return {"labels alone": {}, "beside": {"tasks.next": NEXT}, "first": {"tasks.next": NEXT, **first}}


CHOICES = {"cores": with_each_core, "balancers": with_each_balancer, "labels": with_few_labels}


def few_labels(tables: Path, split: int) -> Path:
    """A copy of the tables in which most training stays have lost their labels."""
    folder = tables.with_name(f"{tables.name}_{SHARE:.0%}_of_{split}")
    folder.mkdir(exist_ok=True)
    if not (folder / "series.csv").exists():
        (folder / "series.csv").symlink_to((tables / "series.csv").resolve())
    with (tables / "stays.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    train = [row for row in rows if row[f"split{split}"] == "train"]
    random.Random(0).shuffle(train)
    for row in train[round(SHARE * len(train)) :]:
        row.update(dict.fromkeys(("death", "los", "saps", "sofa"), ""))
    with (folder / "stays.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return folder


def result(overrides: list[str]) -> dict[str, float]:
    """What a run has on the test stays, and the seconds of CPU that its training took."""
    experiment = mmseq.load_config(CONFIG, overrides)
    mmseq.prepare(experiment)
    begin, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with tempfile.TemporaryDirectory() as folder:
        run = mmseq.train(experiment, output=Path(folder))
        seconds, cpu = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_utime - used
        report = mmseq.evaluate(run, "test")
    figures = {name: round(report[task]["metrics"][metric], 4) for name, (task, metric) in METRICS.items()}
    return {**figures, "seconds": round(seconds), "cpu_seconds": round(cpu)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("choice", choices=CHOICES)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--split", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    common = [f"data.split={{column: split{arguments.split}}}", f"training.epochs={arguments.epochs}"]
    common += ["balance={kind: fixed}", *arguments.overrides]
    if arguments.choice == "labels":
        tables = Path(mmseq.load_config(CONFIG, common).data.source.root)
        common.append(f"data.source.root={few_labels(tables, arguments.split)}")
    choices = CHOICES[arguments.choice]()
    for name in arguments.names or choices:
        for seed in arguments.seeds:
            changed = [f"{key}={json.dumps(value)}" for key, value in choices[name].items()]
            told = {"choice": arguments.choice, "name": name, "seed": seed}
            print(json.dumps({**told, **result([*common, f"seed={seed}", *changed])}), flush=True)


if __name__ == "__main__":
    main()
