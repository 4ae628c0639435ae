"""Nothing that only held-out samples have reaches the facts, the order or the weights.

The weights that are compared are those of the last step: the validation split says which epoch was best.
"""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

import mmseq
import mmseq.fit
import mmseq.training.sitting as sitting
from mmseq.batch.assemble import Assembler
from mmseq.config.data import SplitConfig
from mmseq.config.splits import SPLITS
from mmseq.data import prepare
from mmseq.errors import DataError
from mmseq.modalities import numeric
from mmseq.modalities.category import UNKNOWN
from mmseq.split import split_samples

YAML = """\
name: leak
plugins: [SILENT]
data:
  source: {kind: tables, root: data, id: id, group: family}
  samples: samples.csv
  split: {train: 0.6, validation: 0.2, test: 0.2}
timeline: {unit: minutes}
modalities:
  vitals: {kind: numeric, table: vitals.csv, time: minute, columns: [heart, noise], fill: decay}
  labs: {kind: numeric, table: labs.csv, time: minute, pivot: {code: item, value: value}, columns: [k, na]}
  codes: {kind: category, table: codes.csv, time: minute, column: code}
  frames: {kind: silent, table: vitals.csv, time: minute, columns: [heart, noise]}
  ward: {kind: category, table: samples.csv, columns: [ward]}
  age: {kind: numeric, table: samples.csv, columns: [age]}
fusion: {kind: gated, width: 8}
core: {kind: lstm, hidden: 16, dropout: 0.1}
readout: [{kind: last}, {kind: mean}]
tasks:
  sick: {kind: classification, table: labels.csv, column: sick}
  level: {kind: regression, table: labels.csv, column: level}
  flags: {kind: multilabel, table: labels.csv, columns: [low, high]}
  stage: {kind: classification, table: stages.csv, time: minute, column: stage}
  next: {kind: next_step, modality: vitals, weight: 0.1, time: true}
  code: {kind: next_step, modality: codes, weight: 0.1}
  seen: {kind: next_step, modality: frames, weight: 0.1, negatives: 3}
balance: {kind: uncertainty}
training: {epochs: 2, batch: {samples: 8}, optimizer: {lr: 1e-2}, threads: 1, accelerator: cpu, log_every: 1}
""".replace("SILENT", str(Path(__file__).parents[1] / "silent.py"))

Row = dict[str, str]
Tables = dict[str, list[Row]]
Change = Callable[[Tables, set[str]], None]
Changed = Callable[..., Path]


def cohort(n: int, seed: int) -> Tables:
    """Vitals and labs that tell a hidden level, codes and static columns; labels for most."""
    random = np.random.default_rng(seed)
    tables: Tables = {name: [] for name in ("vitals", "labs", "codes", "samples", "labels", "stages")}
    for i in range(n):
        level, times = random.normal(), np.sort(random.choice(100, random.integers(2, 9), replace=False))

        def add(table: str, i: int = i, **cells: Any) -> None:
            tables[table].append({"id": f"p{i}", **{name: str(cell) for name, cell in cells.items()}})

        add("samples", family=i // 3, ward="abc"[i % 3], age=40 + i % 7)
        add("labels", sick="no" if level < 0 else "yes", level=f"{level:.4f}", low=int(level > -0.5),
            high="" if i % 4 == 0 else int(level > 0.5))  # fmt: skip
        for t in times:
            heart = "" if random.random() < 0.3 else f"{level + random.normal() / 4:.4f}"
            add("vitals", minute=t, heart=heart, noise=f"{random.normal():.4f}")
            add(
                "labs",
                minute=t,
                item=["k", "na"][random.integers(2)],
                value=f"{level * 3 + random.normal():.3f}",
            )
            add("stages", minute=t, stage="late" if t > 50 else "early")
        for t in np.sort(random.choice(100, random.integers(1, 6), replace=False)):
            add("codes", minute=t, code="xyz"[random.integers(3)])
    return tables


def write(folder: Path, tables: Tables, yaml: str = YAML) -> Path:
    (folder / "data").mkdir(parents=True)
    for name, rows in tables.items():
        with (folder / "data" / f"{name}.csv").open("w", newline="") as stream:
            out = csv.DictWriter(stream, list(rows[0]))
            out.writeheader()
            out.writerows(rows)
    path = folder / "leak.yaml"
    path.write_text(yaml)
    return path


def of(rows: Iterable[Row], held: set[str]) -> list[Row]:
    return [row for row in rows if row["id"] in held]


def scale(rows: Iterable[Row], *columns: str) -> None:
    for row in rows:
        for column in columns:
            row[column] = str(float(row[column]) * 1e6) if row[column] else ""


def large_values(tables: Tables, held: set[str]) -> None:
    scale(of(tables["vitals"], held), "heart", "noise")
    scale(of(tables["labs"], held), "value")
    scale(of(tables["samples"], held), "age")


def large_times(tables: Tables, held: set[str]) -> None:
    for name in ("vitals", "labs", "codes", "stages"):
        scale(of(tables[name], held), "minute")


def other_labels(tables: Tables, held: set[str]) -> None:
    turned = {"no": "yes", "yes": "no", "0": "1", "1": "0", "early": "late", "late": "early", "": ""}
    scale(of(tables["labels"], held), "level")
    for row in of(tables["labels"], held):
        row.update({name: turned[row[name]] for name in ("sick", "low", "high")})
    for row in of(tables["stages"], held):
        row["stage"] = turned[row["stage"]]


def new_words(tables: Tables, held: set[str]) -> None:
    """They sort before, between and behind those of training."""
    for name, column in (("codes", "code"), ("samples", "ward")):
        for i, row in enumerate(of(tables[name], held)):
            row[column] = ("0new", "bnew", "xnew", "~new")[i % 4]


def fewer_events(tables: Tables, held: set[str]) -> None:
    """The first of each table alone."""
    for name in ("vitals", "labs", "stages"):
        first = {row["id"]: row for row in reversed(tables[name])}
        tables[name] = [row for row in tables[name] if row["id"] not in held or row is first[row["id"]]]


def missing_values(tables: Tables, held: set[str]) -> None:
    for row in of(tables["vitals"], held):
        row["heart"] = ""


def all_at_once(tables: Tables, held: set[str]) -> None:
    for change in CHANGES[:-1]:
        change(tables, held)


CHANGES: list[Change] = [
    large_values, large_times, other_labels, new_words, fewer_events, missing_values, all_at_once,
]  # fmt: skip


@dataclass
class Seen:
    """What training is made of.

    Attributes:
        splits: ids by split.
        facts: everything fitted.
        order: ids of each global batch of each epoch.
        weights: before the first step and, where it was trained, after the last.
    """

    splits: dict[str, list[str]]
    facts: dict[str, Any]
    order: list[list[str]]
    weights: list[dict[str, bytes]]


class Watch(pl.Callback):
    """Keeps what was trained on, and the weights at both ends."""

    def __init__(self) -> None:
        self.order: list[list[str]] = []
        self.weights: list[dict[str, bytes]] = []

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.weights.append(raw(module))

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.order.append(list(batch.ids))

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.weights.append(raw(module))


def raw(module: torch.nn.Module) -> dict[str, bytes]:
    return {name: tensor.detach().numpy().tobytes() for name, tensor in module.state_dict().items()}


def plan(yaml: Path) -> Seen:
    """All that is decided before the first step."""
    experiment = mmseq.load_config(yaml, [f"data.store={yaml.parent / 'stores'}"])
    store = prepare(experiment)
    made = sitting.Sitting(experiment, store)
    ids = store.ids.tolist()
    order = made.feed().order
    return Seen(
        {name: [ids[i] for i in samples] for name, samples in made.splits.items()},
        made.model.facts.to_json(),
        [[ids[i] for i in batch] for epoch in range(2) for batch in order.epoch(epoch)],
        [raw(made.model)],
    )


def train(yaml: Path, watch: Watch) -> mmseq.Run:
    experiment = mmseq.load_config(yaml, [f"data.store={yaml.parent / 'stores'}"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* that training never had; they count as unknown", UserWarning)
        return mmseq.train(experiment, output=yaml.parent, callbacks=[watch])


def trained(yaml: Path) -> Seen:
    """What training did."""
    watch = Watch()
    return seen_in(train(yaml, watch), watch)


def seen_in(run: mmseq.Run, watch: Watch) -> Seen:
    return Seen(json.loads(run.splits.read_bytes()), run.model().facts.to_json(), watch.order, watch.weights)


def check_same(one: Seen, other: Seen) -> None:
    """Equal, and made of the training split alone."""
    for seen in (one, other):
        trained_on = sorted(sample for batch in seen.order for sample in batch)
        assert trained_on == sorted(2 * seen.splits["train"]), "order"
    for part in ("splits", "facts", "order", "weights"):
        assert getattr(one, part) == getattr(other, part), part


@pytest.fixture(scope="module")
def base(silent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("base"), cohort(60, 0))


@pytest.fixture(scope="module")
def base_plan(base: Path) -> Seen:
    return plan(base)


@pytest.fixture(scope="module")
def base_run(base: Path) -> tuple[mmseq.Run, Watch]:
    watch = Watch()
    return train(base, watch), watch


@pytest.fixture(scope="module")
def base_trained(base_run: tuple[mmseq.Run, Watch]) -> Seen:
    return seen_in(*base_run)


HELD = ("validation", "test")


@pytest.fixture(scope="module")
def changed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Changed:
    """Writes the same tables, but for the samples of some splits; once each."""
    experiment = mmseq.load_config(base, [f"data.store={base.parent / 'stores'}"])
    store = prepare(experiment)
    found = split_samples(experiment.data.split, store)
    written: dict[tuple[Change, tuple[str, ...]], Path] = {}

    def write_changed(change: Change, splits: tuple[str, ...] = HELD) -> Path:
        if (change, splits) not in written:
            tables, held = cohort(60, 0), {str(store.ids[i]) for name in splits for i in found[name]}
            assert held
            change(tables, held)
            written[change, splits] = write(tmp_path_factory.mktemp("changed"), tables)
        return written[change, splits]

    return write_changed


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_is_held_out_decides_nothing_before_the_first_step(
    base_plan: Seen, changed: Changed, change: Change
) -> None:
    """caught: every fault of FAULTS below."""
    check_same(base_plan, plan(changed(change)))


@pytest.mark.parametrize(
    "change",
    [all_at_once, *(pytest.param(change, marks=pytest.mark.slow) for change in CHANGES[:-1])],
    ids=lambda change: change.__name__,
)
def test_weights_are_the_same_bit_by_bit(base_trained: Seen, changed: Changed, change: Change) -> None:
    """caught: training on the validation split, too (planted below); means of all samples."""
    check_same(base_trained, trained(changed(change)))
    assert base_trained.weights[0] != base_trained.weights[1]


def test_the_test_split_decides_nothing_at_all(base_run: tuple[mmseq.Run, Watch], changed: Changed) -> None:
    """The best epoch, what is written of it and every metric of training are the same, too.

    caught: the best epoch chosen by the test split.
    """
    runs = [base_run[0], train(changed(all_at_once, ("test",)), Watch())]
    written = [
        {
            name: (run.path / name).read_bytes()
            for name in ("metrics.csv", "splits.json", "model/weights.safetensors")
        }
        for run in runs
    ]
    assert written[0] == written[1]


Fault = Callable[[pytest.MonkeyPatch], None]


def everyone(store: Any) -> np.ndarray:
    return np.arange(len(store.ids))


def fit_on_all(patch: pytest.MonkeyPatch) -> None:
    fit = sitting.fit
    patch.setattr(sitting, "fit", lambda e, store, samples, data: fit(e, store, everyone(store), data))


def modality_of_all(name: str) -> Fault:
    """Bounds, means and vocabularies of one modality."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        stored = mmseq.fit._stored

        def of_all(store: Any, modality: str, samples: np.ndarray, scale: float) -> Any:
            return stored(store, modality, everyone(store) if modality == name else samples, scale)

        patch.setattr(mmseq.fit, "_stored", of_all)

    return plant


def bounds_of_all(patch: pytest.MonkeyPatch) -> None:
    """Means of training values, clipped by the percentiles of all."""
    percentiles = numeric.percentiles

    def of_all(stored: Any, clip: Any) -> Any:
        chunks = stored.chunks  # partial(store.chunks, name, samples)
        store, name = chunks.func.__self__, chunks.args[0]
        return percentiles(mmseq.fit._stored(store, name, everyone(store), 1.0), clip)

    patch.setattr(numeric, "percentiles", of_all)


def labels_of_all(name: str) -> Fault:
    """Classes, their counts, rates, means and baselines of one task."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        labels = mmseq.fit.labels

        def of_all(store: Any, task: str, samples: np.ndarray) -> Any:
            return labels(store, task, everyone(store) if task == name else samples)

        patch.setattr(mmseq.fit, "labels", of_all)

    return plant


def time_scale_of_all(patch: pytest.MonkeyPatch) -> None:
    scale_of = mmseq.fit._time_scale
    patch.setattr(mmseq.fit, "_time_scale", lambda store, samples: scale_of(store, everyone(store)))


def waits_of_all(patch: pytest.MonkeyPatch) -> None:
    waits = mmseq.fit._waits
    patch.setattr(mmseq.fit, "_waits", lambda store, c, samples: waits(store, c, everyone(store)))


def train_on_validation(patch: pytest.MonkeyPatch) -> None:
    feed = sitting.Sitting.feed

    def of_both(self: Any) -> Any:
        own, self.splits = self.splits, {**self.splits, "train": np.concatenate([*self.splits.values()][:2])}
        made = feed(self)
        self.splits = own
        return made

    patch.setattr(sitting.Sitting, "feed", of_both)


def split_by_length(patch: pytest.MonkeyPatch) -> None:
    def by_length(config: Any, store: Any) -> Any:
        parts = np.array_split(np.argsort(store.lengths, kind="stable")[::-1], 3)
        return dict(zip(("train", "validation", "test"), parts, strict=True))

    patch.setattr(sitting, "split_samples", by_length)


FAULTS: dict[str, tuple[Fault, Change]] = {
    "everything is fitted on all": (fit_on_all, large_values),
    "numbers are fitted on all": (modality_of_all("vitals"), large_values),
    "a long table is fitted on all": (modality_of_all("labs"), large_values),
    "static numbers are fitted on all": (modality_of_all("age"), large_values),
    "shares of missing values of all": (modality_of_all("vitals"), missing_values),
    "clipping bounds of all": (bounds_of_all, large_values),
    "vocabulary of all": (modality_of_all("codes"), new_words),
    "static vocabulary of all": (modality_of_all("ward"), new_words),
    "class counts of all": (labels_of_all("sick"), other_labels),
    "class counts of all steps": (labels_of_all("stage"), other_labels),
    "mean label of all": (labels_of_all("level"), other_labels),
    "rates of all": (labels_of_all("flags"), other_labels),
    "time scale of all": (time_scale_of_all, large_times),
    "waits of all": (waits_of_all, large_times),
    "the order is of two splits": (train_on_validation, other_labels),
    "samples are split by their length": (split_by_length, fewer_events),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_planted_fault_is_caught(
    name: str, base: Path, changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """caught: a check that sees nothing."""
    plant, change = FAULTS[name]
    other = changed(change)
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=r"^(splits|facts|order)"):
        check_same(plan(base), plan(other))


def test_training_on_validation_changes_weights(
    base: Path, changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """caught: weights that are compared before they are trained."""
    train_on_validation(monkeypatch)
    first, second = trained(base), trained(changed(other_labels))
    assert first.weights[-1] != second.weights[-1]


def test_drawing_negatives_from_all_changes_weights(
    base_trained: Seen, changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """caught: negatives of the validation split, which train what tells events apart."""
    init = Assembler.__init__
    monkeypatch.setattr(Assembler, "__init__", lambda *given, among=None, **options: init(*given, **options))
    assert trained(changed(large_values)).weights[-1] != base_trained.weights[-1]


def test_words_and_sizes_that_only_held_out_samples_have(base: Path, changed: Changed) -> None:
    """The store knows such words, the model takes them for unknown; large values end at the bounds.

    caught: a vocabulary of the store; bounds of all samples.
    """
    yaml = changed(all_at_once)
    experiment = mmseq.load_config(yaml, [f"data.store={yaml.parent / 'stores'}"])
    store = prepare(experiment)
    made = sitting.Sitting(experiment, store)
    assemble = Assembler(store, made.model, tasks=[])
    inside, outside = assemble.batch(made.splits["train"]), assemble.batch(made.splits["test"])
    with (yaml.parent / "data" / "codes.csv").open() as stream:
        of_training = {row["code"] for row in csv.DictReader(stream) if row["id"] in inside.ids}
    assert of_training == {"x", "y", "z"}
    for name in ("codes", "ward"):
        words = store.vocabularies(name)[0]
        assert {"0new", "~new"} <= set(words) or name == "ward", words
        assert not {word for word in made.model.facts.modalities[name].vocabularies[0] if "new" in word}
        assert (inside.events[name].code > UNKNOWN).all()
        assert len(outside.events[name].code) and (outside.events[name].code == UNKNOWN).all()
    vitals = made.model.modalities["vitals"]
    seen = vitals.normalise(inside.events["vitals"].values)
    large = vitals.normalise(outside.events["vitals"].values)
    assert outside.events["vitals"].values.abs().max() > 1e5
    assert seen.amin() <= large.amin() and large.amax() <= seen.amax() < 10


def test_a_class_that_only_held_out_samples_have_is_refused(base: Path, changed: Changed) -> None:
    """caught: it becomes a class of the model, or the first one."""

    def new_class(tables: Tables, held: set[str]) -> None:
        of(tables["labels"], held)[0]["sick"] = "maybe"

    with pytest.raises(DataError, match=r"labels\.csv row \d+.*'maybe' has a label here but none"):
        plan(changed(new_class, ("test",)))


def test_no_group_is_in_two_splits(base: Path) -> None:
    """caught: samples that are drawn one by one."""
    experiment = mmseq.load_config(base, [f"data.store={base.parent / 'stores'}"])
    store = prepare(experiment)
    family = {row["id"]: row["family"] for row in cohort(60, 0)["samples"]}
    for seed in range(100):
        shares = (0.5, 0.3, 0.2) if seed % 2 else (0.34, 0.33, 0.33)
        config = SplitConfig(**dict(zip(SPLITS, shares, strict=True)), seed=seed)
        found = split_samples(config, store)
        families = [{family[str(store.ids[i])] for i in found[name]} for name in SPLITS]
        assert sum(map(len, families)) == len(set.union(*families)) == 20
        assert sum(map(len, found.values())) == 60
