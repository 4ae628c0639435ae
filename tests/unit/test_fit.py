"""What is fitted is fitted on the samples that were named, and on no others."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.facts import Facts
from mmseq.fit import fit, labels
from mmseq.store import Store

TRAIN = [0, 3, 5, 4, 8, 11, 14, 20, 21, 30]


@pytest.fixture(scope="module")
def facts(experiment: Experiment, store: Store) -> Facts:
    return fit(experiment, store, np.array(TRAIN))


@pytest.fixture(scope="module")
def table(experiment: Experiment, store: Store) -> Callable[[str], list[dict[str, str]]]:
    """The rows of a table that belong to the training samples."""
    root = Path(experiment.data.source.root)  # type: ignore[attr-defined]
    ids = set(store.ids[TRAIN].tolist())

    def read(name: str) -> list[dict[str, str]]:
        with (root / name).open() as stream:
            return [row for row in csv.DictReader(stream) if row["id"] in ids]

    return read


def test_numbers(facts: Facts, table: Callable[[str], list[dict[str, str]]]) -> None:
    spec, rows = facts.modalities["vitals"], table("vitals.csv")
    for i, column in enumerate(("a", "b")):
        values = np.array([float(row[column]) for row in rows if row[column]])
        low, high = np.percentile(values, [0.5, 99.5])
        clipped = values.clip(low, high)
        expected = (clipped.mean(), clipped.std(), 1 - len(values) / len(rows), low, high)
        found = (spec.mean[i], spec.std[i], spec.missing[i], spec.low[i], spec.high[i])
        assert found == pytest.approx(expected, rel=1e-5)


def test_words(facts: Facts, table: Callable[[str], list[dict[str, str]]]) -> None:
    rows = table("codes.csv")
    counts = Counter(row["c"] for row in rows if row["c"])
    assert dict(
        zip(facts.modalities["codes"].vocabularies[0], facts.modalities["codes"].counts[0], strict=True)
    ) == dict(counts)


def test_labels(facts: Facts, table: Callable[[str], list[dict[str, str]]]) -> None:
    rows = table("labels.csv")
    counts = Counter(row["sick"] for row in rows if row["sick"])
    assert dict(zip(facts.tasks["sick"].classes, facts.tasks["sick"].counts, strict=True)) == dict(counts)
    values = [float(row["y"]) for row in rows if row["y"]]
    assert facts.tasks["level"].mean[1] == pytest.approx(np.mean(values), rel=1e-5)


def test_time_scale_is_the_median_time_between_steps(
    facts: Facts, table: Callable[[str], list[dict[str, str]]]
) -> None:
    gaps = []
    for sample in {row["id"] for row in table("samples.csv")}:
        tables = ("vitals.csv", "codes.csv", "visits.csv")
        times = {float(row["t"]) for name in tables for row in table(name) if row["id"] == sample}
        gaps += np.diff(sorted(times)).tolist()
    assert facts.time_scale == pytest.approx(median(gaps))


def test_time_scale_of_single_steps_is_1(experiment: Experiment, store: Store) -> None:
    alone = np.flatnonzero(store.lengths == 1)
    tree = experiment.model_dump(mode="json")
    static = {name: tree["modalities"][name] for name in ("age", "ward")}
    tasks = {"level": tree["tasks"]["level"]}
    few = Experiment.model_validate(tree | {"modalities": static, "tasks": tasks})
    assert len(alone) and fit(few, store, alone).time_scale == 1.0


def test_order_of_the_samples_does_not_matter(experiment: Experiment, store: Store, facts: Facts) -> None:
    assert fit(experiment, store, np.array(TRAIN[::-1])) == facts


def test_other_samples_do_not_matter(experiment: Experiment, facts: Facts, tmp_path: Path) -> None:
    """Their values and words are spoiled; what is fitted stays."""
    root = Path(experiment.data.source.root)  # type: ignore[attr-defined]
    for path in root.glob("*.csv"):
        (tmp_path / path.name).write_text(_spoil(path))
    tree = experiment.model_dump(mode="json")
    tree["data"]["source"]["root"] = str(tmp_path)
    tree["data"]["store"] = str(tmp_path / "stores")
    spoiled = Experiment.model_validate(tree)
    store = prepare(spoiled)
    everyone: Any = fit(spoiled, store, np.arange(len(store)))
    assert "new" in everyone.modalities["codes"].vocabularies[0]
    assert everyone.modalities["vitals"].mean[0] > 1000
    assert fit(spoiled, store, np.array(TRAIN)) == facts


def _spoil(path: Path) -> str:
    """The file with other codes and numbers in the rows of samples that are not in the training split."""
    head, *rows = path.read_text().splitlines()
    kept = {f"p{i}" for i in TRAIN}
    column = {"codes.csv": (2, "new"), "vitals.csv": (2, "99999"), "labels.csv": (2, "99999")}.get(path.name)
    for i, row in enumerate(rows):
        cells = row.split(",")
        if column is not None and cells[0] not in kept:
            cells[column[0]] = column[1]
        rows[i] = ",".join(cells)
    return "\n".join([head, *rows]) + "\n"


def test_labels_name_their_task(store: Store) -> None:
    assert labels(store, "sick", np.array([0])).task == "sick"
