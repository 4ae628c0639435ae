"""A whole run on small tables: what it learns, what it leaves, and what it predicts."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import mmseq
from mmseq.data import prepare
from mmseq.errors import ConfigError, DataError
from mmseq.inference.evaluate import evaluate_model
from mmseq.inference.predict import predict_stored


def test_learns_more_than_its_baseline(toy_run: mmseq.Run) -> None:
    report = toy_run.read_report("validation")
    assert report["sick"]["metrics"]["auroc"] > 0.9
    assert report["level"]["metrics"]["r2"] > 0.5 > report["level"]["baseline"]["r2"]
    assert report["stage"]["metrics"]["accuracy"] > report["stage"]["baseline"]["accuracy"]
    assert set(report) == {"sick", "level", "flags", "stage", "next"}


def test_leaves_the_folder_of_the_design(toy_run: mmseq.Run) -> None:
    files = {str(p.relative_to(toy_run.path)) for p in toy_run.path.rglob("*") if p.is_file()}
    assert files >= {
        "config.yaml", "config.resolved.yaml", "environment.json", "log.txt", "metrics.csv",
        "metrics/validation.json", "predictions/validation.parquet", "model/manifest.json",
        "model/weights.safetensors", "checkpoints/step-000000036/manifest.json",
        "checkpoints/best/manifest.json",
    }  # fmt: skip
    assert not [f for f in files if f.endswith((".pkl", ".pt", ".ckpt", ".pickle"))]
    assert "metrics/test.json" not in files, "training must not read the test split"


def test_resolved_config_is_the_experiment(toy_run: mmseq.Run) -> None:
    assert toy_run.experiment == toy_run.model().experiment


def test_evaluation_counts_each_sample_once(toy_run: mmseq.Run) -> None:
    report = mmseq.evaluate(toy_run, "test")
    ids = pq.read_table(toy_run.path / "predictions" / "test.parquet")["id"].to_pylist()
    assert len(ids) == len(set(ids)) == report["level"]["labels"]
    assert json.loads((toy_run.path / "metrics" / "test.json").read_text())["level"]["labels"] == len(ids)


def test_best_epoch_is_what_is_kept(toy_run: mmseq.Run) -> None:
    progress = json.loads((toy_run.path / "checkpoints" / "step-000000036" / "progress.json").read_text())
    kept = toy_run.read_report("validation")["sick"]["metrics"]["auroc"]
    assert math.isclose(kept, progress["best"], abs_tol=1e-12)


def test_same_seed_trains_the_same_model(toy: Path, tmp_path: Path) -> None:
    weights = []
    for name in ("a", "b"):
        experiment = mmseq.load_config(toy, [f"data.store={tmp_path / 'stores'}", "training.epochs=2"])
        run = mmseq.train(experiment, output=tmp_path / name)
        weights.append((run.path / "model" / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]
    other = mmseq.load_config(toy, [f"data.store={tmp_path / 'stores'}", "training.epochs=2", "seed=1"])
    assert (
        mmseq.train(other, output=tmp_path).path / "model" / "weights.safetensors"
    ).read_bytes() != weights[0]


def test_accumulation_trains_the_same_model(toy: Path, tmp_path: Path) -> None:
    """Micro-batches of a global batch add up to it. By SGD: Adam blows rounding errors up."""
    models = []
    for parts in (1, 3):
        overrides = [
            f"data.store={tmp_path / 'stores'}", "training.epochs=2", "training.precision=64-true",
            f"training.accumulation={parts}", "training.optimizer={kind: sgd, lr: 0.01}",
        ]  # fmt: skip
        run = mmseq.train(mmseq.load_config(toy, overrides), output=tmp_path / str(parts))
        models.append(run.model().state_dict())
    for name, weight in models[0].items():
        assert (weight - models[1][name]).abs().max() < 1e-13, name


def test_prediction_does_not_depend_on_company(toy_run: mmseq.Run) -> None:
    model = toy_run.model().double()
    store = prepare(model.experiment)
    together = predict_stored(model, store, np.arange(len(store.ids))).table
    alone = predict_stored(model, store, np.array([5])).table
    for name in alone.column_names[1:]:
        ours, theirs = alone[name][0].as_py(), together[name][5].as_py()
        assert ours == theirs or abs(ours - theirs) < 1e-13, name


def test_each_step_predicts_as_if_the_later_ones_were_not_there(toy_run: mmseq.Run, tmp_path: Path) -> None:
    model = toy_run.model().double()
    store = prepare(model.experiment)
    steps = predict_stored(model, store, np.arange(10), every_step=True).table.to_pylist()
    last = {row["id"]: row for row in predict_stored(model, store, np.arange(10)).table.to_pylist()}
    final = {row["id"]: row for row in steps}  # the last of each id
    assert len(steps) == store.lengths[:10].sum()
    for name, row in last.items():
        assert row["time"] == final[name]["time"]
        assert abs(row["level"] - final[name]["level"]) < 1e-9


def test_predicts_raw_folder_without_labels(toy: Path, toy_run: mmseq.Run, tmp_path: Path) -> None:
    for name in ("vitals", "codes", "samples"):
        (tmp_path / f"{name}.csv").write_text((toy.parent / "data" / f"{name}.csv").read_text())
    table = toy_run.model().predict(tmp_path)
    store = prepare(toy_run.experiment)
    expected = predict_stored(toy_run.model(), store, np.arange(len(store.ids))).table
    assert table["id"].to_pylist() == expected["id"].to_pylist()
    assert np.allclose(table["level"], expected["level"], atol=1e-5)


def test_unknown_categories_are_counted(toy: Path, toy_run: mmseq.Run, tmp_path: Path) -> None:
    from mmseq.inference.predict import predict

    for name in ("vitals", "samples"):
        (tmp_path / f"{name}.csv").write_text((toy.parent / "data" / f"{name}.csv").read_text())
    (tmp_path / "codes.csv").write_text("id,minute,code\np0,1,new\np0,2,x\np1,3,newer\n")
    assert predict(toy_run.model(), tmp_path).unknown == {"codes.code": 2}


def test_untrained_task_stays_untrained(toy: Path, tmp_path: Path) -> None:
    """A weight of 0 leaves a head's own weights as they were initialised."""
    from mmseq.training.sitting import Sitting

    overrides = [
        f"data.store={tmp_path / 'stores'}", "training.epochs=1", "tasks.next.weight=0",
        "balance.kind=fixed", "training.optimizer.weight_decay=0",
    ]  # fmt: skip
    experiment = mmseq.load_config(toy, overrides)
    before = Sitting(experiment, prepare(experiment)).model.state_dict()
    after = mmseq.train(experiment, output=tmp_path).model().state_dict()
    moved = {name for name in before if not before[name].equal(after[name])}
    assert not [name for name in moved if name.startswith("heads.next")]
    assert [name for name in moved if name.startswith("heads.sick")]


def test_evaluation_does_not_change_the_model(toy_run: mmseq.Run) -> None:
    model = toy_run.model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    store = prepare(model.experiment)
    first = evaluate_model(model, store, np.arange(20))
    second = evaluate_model(model, store, np.arange(20)[::-1].copy())
    assert first["level"]["metrics"] == pytest.approx(second["level"]["metrics"])
    assert all(before[name].equal(weight) for name, weight in model.state_dict().items())


def test_the_test_split_stays_what_training_left_out(toy: Path, tmp_path: Path) -> None:
    """Samples that vanish from the data afterwards neither move others between splits nor go unnoticed."""
    folder = tmp_path / "copy"
    shutil.copytree(toy.parent, folder)
    overrides = [f"data.store={tmp_path / 'stores'}", "training.epochs=1"]
    run = mmseq.train(mmseq.load_config(folder / toy.name, overrides), output=tmp_path)
    splits = json.loads(run.splits.read_text())
    gone, kept = splits["train"][0], splits["test"]
    for path in (folder / "data").iterdir():
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith(f"{gone},")))
    with pytest.raises(DataError, match=f"train lists 1 ids that no sample has, first '{gone}'"):
        mmseq.evaluate(run, "test")
    run.splits.write_text(json.dumps({**splits, "train": splits["train"][1:]}))
    mmseq.evaluate(run, "test")
    assert pq.read_table(run.path / "predictions" / "test.parquet")["id"].to_pylist() == kept


def test_goes_on_only_with_the_data_it_began_with(toy: Path, tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(toy.parent, folder)
    overrides = [f"data.store={tmp_path / 'stores'}", "training.epochs=2"]
    run = mmseq.train(mmseq.load_config(folder / toy.name, overrides), output=tmp_path)
    shutil.rmtree(run.path / "model")  # as if it had been killed before
    (folder / "data" / "codes.csv").write_text("id,minute,code\np0,1,x\n")
    with pytest.raises(ConfigError, match="the data are not those that training began with"):
        mmseq.train(run.experiment, resume=run)
