"""Labels that were shuffled score at chance on held-out samples: nothing about them came through.

Shuffling makes every assignment of the labels to samples as likely as another, and a model that never saw
those of the test split predicts the same under each. So, given its predictions and m positives among the n
test labels,
- the true positives are hypergeometric: n samples, m positive, k predicted so;
- AUROC is Mann-Whitney's U over m·(n − m): mean 1/2, variance (n + 1) / (12·m·(n − m)), less with ties.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import mmseq
import mmseq.training.sitting as sitting

# Without a validation split the last epoch's model is kept, which has learned its samples by heart: the best
# epoch would be an early one, and hide what came through later.
YAML = """\
name: shuffled
data:
  source: {kind: tables, root: data, id: id}
  split: {train: 0.5, validation: 0, test: 0.5}
timeline: {unit: minutes}
modalities:
  vitals: {kind: numeric, table: vitals.csv, time: minute, columns: [heart, noise, other]}
core: {kind: lstm, hidden: 64}
readout: [{kind: last}, {kind: mean}]
tasks:
  sick: {kind: classification, table: labels.csv, column: sick}
training: {epochs: 20, batch: {samples: 16}, optimizer: {lr: 1e-2}, threads: 1, accelerator: cpu}
"""
SHARE = (
    1e-4  # of right models that these tests would call wrong, in theory; the seeds are fixed, and are none
)
DEVIATIONS = 3.89  # of the normal distribution, that so many lie beyond, on both sides


def tables(folder: Path, seed: int, n: int = 200, *, shuffle: bool) -> Path:
    """Series around a level, and whether it is above nought."""
    random = np.random.default_rng(seed)
    level = random.normal(size=n)
    told = random.permutation(level) if shuffle else level
    (folder / "data").mkdir(parents=True)
    with (folder / "data" / "vitals.csv").open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["id", "minute", "heart", "noise", "other"])
        for i in range(n):
            for t in range(random.integers(2, 9)):
                heart, noise, other = random.normal(size=3)
                out.writerow([f"p{i}", t, f"{level[i] + heart / 4:.4f}", f"{noise:.4f}", f"{other:.4f}"])
    with (folder / "data" / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "sick"], *([f"p{i}", "ny"[int(told[i] > 0)]] for i in range(n))])
    path = folder / "shuffled.yaml"
    path.write_text(YAML)
    return path


def scored(yaml: Path) -> tuple[np.ndarray, np.ndarray]:
    """Trains; then the truth of the test split, and p(sick)."""
    experiment = mmseq.load_config(yaml, [f"data.store={yaml.parent / 'stores'}"])
    run = mmseq.train(experiment, output=yaml.parent)
    report = mmseq.evaluate(run, "test")
    table = pq.read_table(run.path / "predictions" / "test.parquet").to_pydict()
    with (yaml.parent / "data" / "labels.csv").open() as stream:
        label = {row["id"]: row["sick"] == "y" for row in csv.DictReader(stream)}
    truth, p = np.array([label[i] for i in table["id"]]), np.array(table["sick.p_y"])
    assert report["sick"]["metrics"]["accuracy"] == pytest.approx(((p > 0.5) == truth).mean())
    assert report["sick"]["metrics"]["auroc"] == pytest.approx(auroc(truth, p))
    return truth, p


def auroc(truth: np.ndarray, p: np.ndarray) -> float:
    """The share of pairs that are in the right order; half of those that are level."""
    difference = p[truth][:, None] - p[~truth][None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def auroc_deviations(truth: np.ndarray, p: np.ndarray) -> float:
    """How many standard deviations AUROC is above 1/2."""
    n, m = len(truth), int(truth.sum())
    return (auroc(truth, p) - 0.5) / math.sqrt((n + 1) / (12 * m * (n - m)))


def chance_of(truth: np.ndarray, p: np.ndarray) -> float:
    """Twice the probability that chance has so many true positives or more, or so many or fewer."""
    n, m, k = len(truth), int(truth.sum()), int((p > 0.5).sum())
    hits = int((truth & (p > 0.5)).sum())
    ways = [math.comb(m, h) * math.comb(n - m, k - h) for h in range(min(m, k) + 1)]
    return 2 * min(sum(ways[hits:]), sum(ways[: hits + 1])) / math.comb(n, k)


def at_chance(truth: np.ndarray, p: np.ndarray) -> bool:
    return chance_of(truth, p) > SHARE and abs(auroc_deviations(truth, p)) < DEVIATIONS


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_shuffled_labels_score_at_chance(seed: int, tmp_path: Path) -> None:
    """caught: training on the test split, too (planted below)."""
    truth, p = scored(tables(tmp_path, seed, shuffle=True))
    assert len(truth) == 100 and 0 < (p > 0.5).sum() < len(p)
    assert at_chance(truth, p), (auroc_deviations(truth, p), chance_of(truth, p))


def test_true_labels_do_not(tmp_path: Path) -> None:
    """caught: an interval that nothing leaves; a model that learns nothing."""
    truth, p = scored(tables(tmp_path, 0, shuffle=False))
    assert auroc_deviations(truth, p) > 6 and chance_of(truth, p) < 1e-9


@pytest.mark.slow
def test_nor_do_shuffled_ones_that_were_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """caught: a model too small to remember what it should not have seen."""
    feed = sitting.Sitting.feed

    def of_all(self: Any) -> Any:
        own, self.splits = self.splits, {**self.splits, "train": np.concatenate([*self.splits.values()])}
        made = feed(self)
        self.splits = own
        return made

    monkeypatch.setattr(sitting.Sitting, "feed", of_all)
    truth, p = scored(tables(tmp_path, 0, shuffle=True))
    assert auroc_deviations(truth, p) > 6 and chance_of(truth, p) < 1e-9


def test_the_measures_of_chance() -> None:
    """The exact and the normal one, against 10,000 shuffles.

    caught: a variance of n instead of n + 1; a tail that leaves out what was seen.
    """
    random = np.random.default_rng(0)
    truth, p = np.arange(12) < 5, random.permutation(12) / 12 + 0.04
    shuffles = [random.permutation(truth) for _ in range(10_000)]
    assert np.std([auroc_deviations(shuffled, p) for shuffled in shuffles]) == pytest.approx(1, rel=0.02)
    hits = np.array([(shuffled & (p > 0.5)).sum() for shuffled in shuffles])
    for shuffled in shuffles[:20]:
        own = (shuffled & (p > 0.5)).sum()
        expected = 2 * min((hits >= own).mean(), (hits <= own).mean())
        assert chance_of(shuffled, p) == pytest.approx(expected, abs=0.05)
