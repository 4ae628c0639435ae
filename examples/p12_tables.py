"""Writes PhysioNet's Challenge 2012 (P12) as plain tables.

    python examples/p12_tables.py p12_long.csv.gz outcomes.csv raindrop_splits_recordids.json.gz data/p12

The first two files hold the three sets of https://physionet.org/content/challenge-2012/1.0.0/ together: all
measurements as rows `set, record, minute, param, value`, and the outcomes as rows `set, RecordID, SAPS-I,
…`. The third holds the record ids of five splits, `{"1": {"train": […], "valid": […], "test": […]}, …}`, as
published with Raindrop (Zhang et al. 2022), which leave out 12 stays without a series.

    series.csv    stay, minute, param, value: what was measured over the first 48 hours
    stays.csv     stay, split1 … split5, age, gender, height, weight, icu, death, los, saps, sofa
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from pathlib import Path

STATIC = {"Age": "age", "Gender": "gender", "Height": "height", "ICUType": "icu"}
OUTCOMES = {"In-hospital_death": "death", "Length_of_stay": "los", "SAPS-I": "saps", "SOFA": "sofa"}
SPLITS = {"train": "train", "valid": "validation", "val": "validation", "test": "test"}


def split_names(source: Path) -> dict[str, dict[str, str]]:
    """By stay, the part of each of the five splits that it is in."""
    stays: dict[str, dict[str, str]] = {}
    with gzip.open(source, "rt") as file:
        for number, parts in json.load(file).items():
            for part, records in parts.items():
                for record in records:
                    stays.setdefault(str(record), {})[f"split{number}"] = SPLITS[part]
    return stays


def outcomes(source: Path) -> dict[str, dict[str, str]]:
    """By stay, its outcomes; missing ones, -1 in the file, are empty."""
    with source.open(newline="") as file:
        return {
            row["RecordID"]: {
                name: "" if row[column] == "-1" else row[column] for column, name in OUTCOMES.items()
            }
            for row in csv.DictReader(file)
        }


def main(series: Path, labels: Path, splits: Path, folder: Path) -> None:
    """Writes both tables into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    stays, known = split_names(splits), outcomes(labels)
    about: dict[str, dict[str, str]] = {stay: {} for stay in stays}
    with gzip.open(series, "rt", newline="") as rows, (folder / "series.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["stay", "minute", "param", "value"])
        for _, stay, minute, param, value in list(csv.reader(rows))[1:]:
            if stay not in stays or float(value) == -1:
                continue
            if param in STATIC:
                about[stay][STATIC[param]] = value
            elif param == "Weight" and minute == "0" and "weight" not in about[stay]:
                about[stay]["weight"] = value
            else:
                table.writerow([stay, minute, param, value])
    columns = [*(f"split{i}" for i in range(1, 6)), *STATIC.values(), "weight", *OUTCOMES.values()]
    with (folder / "stays.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stay", *columns])
        for stay, names in stays.items():
            facts = {**names, **about[stay], **known[stay]}
            writer.writerow([stay, *(facts.get(column, "") for column in columns)])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
