"""A run whose only task tells next events apart: it learns; what else a run can do works, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import mmseq
from mmseq.batch import VectorEvents
from mmseq.batch.assemble import Assembler
from mmseq.errors import ConfigError
from mmseq.inference.early import evaluate_early
from mmseq.split import listed_samples

SAMPLES, STEPS = 300, 10


def _rotating() -> dict[str, Any]:
    """Two points on circles, each turning by an angle that is the sample's own, and a little noise."""
    rng = np.random.default_rng(0)
    begin, turn = rng.uniform(-np.pi, np.pi, (2, SAMPLES, 1, 2))
    at = begin + turn / 2 * np.arange(STEPS)[:, None]
    values = np.concatenate([np.cos(at), np.sin(at)], 2) + 0.05 * rng.normal(size=(SAMPLES, STEPS, 4))
    ids, times = np.repeat([f"s{i}" for i in range(SAMPLES)], STEPS), np.tile(np.arange(STEPS), SAMPLES)
    return {"points": pd.DataFrame({"id": ids, "t": times, "v": values.reshape(-1, 4).tolist()})}


def _tree(folder: Path, **task: Any) -> dict[str, Any]:
    points = {"kind": "vector", "table": "points", "time": "t", "column": "v", "shape": [4]}
    return {
        "name": "rotating",
        "data": {
            "source": {"kind": "memory", "id": "id"},
            "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
            "store": str(folder / "stores"),
        },
        "modalities": {"points": points},
        "fusion": {"kind": "concat", "width": 16},
        "core": {"kind": "gru", "hidden": 32},
        "tasks": {"next": {"kind": "next_step", "modality": "points", **task}},
        "training": {"epochs": 10, "optimizer": {"lr": 1e-2}, "threads": 1, "accelerator": "cpu"},
    }


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return _rotating()


@pytest.fixture(scope="module")
def run(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> mmseq.Run:
    folder = tmp_path_factory.mktemp("rotating")
    return mmseq.train(mmseq.load_config(_tree(folder)), data=data, output=folder)


def test_it_learns(run: mmseq.Run, data: dict[str, Any]) -> None:
    """On held-out samples, far above chance, and above taking what is most like the last event."""
    report = mmseq.evaluate(run, "test", data=data)["next"]
    assert report["labels"] == 60 * (STEPS - 1)
    assert report["baseline"]["accuracy"] == pytest.approx(1 / 17, rel=0.02)
    assert report["baseline"]["loss"] == pytest.approx(np.log(17), rel=0.01)
    assert report["metrics"]["accuracy"] > max(0.45, 2 * _like_the_last(run, data))
    assert report["metrics"]["loss"] < 0.6 * report["baseline"]["loss"]
    assert mmseq.evaluate(run, "test", data=data)["next"] == report


def test_of_noise_it_learns_nothing(tmp_path: Path) -> None:
    """Neither by how many events share a step, of which there are one to four."""
    rng = np.random.default_rng(0)
    count = rng.integers(1, 5, (SAMPLES, STEPS)).reshape(-1)
    ids, times = np.repeat([f"s{i}" for i in range(SAMPLES)], STEPS), np.tile(np.arange(STEPS), SAMPLES)
    table = pd.DataFrame({"id": ids.repeat(count), "t": times.repeat(count)})
    data = {"points": table.assign(v=rng.normal(size=(len(table), 4)).tolist())}
    run = mmseq.train(mmseq.load_config(_tree(tmp_path, negatives=7)), data=data, output=tmp_path)
    report = mmseq.evaluate(run, "test", data=data)["next"]
    assert report["metrics"]["accuracy"] == pytest.approx(1 / 8, abs=0.04)  # 540 labels: 3 deviations
    assert report["metrics"]["loss"] > 0.98 * report["baseline"]["loss"]


def _like_the_last(run: mmseq.Run, data: dict[str, Any]) -> float:
    """How often the candidate that is nearest to the last event is the next one."""
    model = run.model()
    store = mmseq.prepare(model.experiment, data)
    samples = listed_samples(run.splits, store)["test"]
    batch = Assembler(store, model, tasks=["next"], among=samples).batch(samples)
    target, events = batch.targets["next"], batch.events["points"]
    assert isinstance(events, VectorEvents) and target.candidates is not None
    own, drawn = target.candidates.own, target.candidates.drawn
    assert isinstance(own, VectorEvents) and isinstance(drawn, VectorEvents)
    others = drawn.values.view(len(samples), -1, 4)[target.candidates.sample]
    candidates = torch.cat([own.values[target.candidates.positive][:, None], others], 1)
    distance = (candidates - events.values[target.where][:, None]).norm(dim=2)
    return float((distance.argmin(1) == 0).double().mean())


def test_encodings_do_not_collapse(run: mmseq.Run, data: dict[str, Any]) -> None:
    """They point in as many directions as the four numbers do."""
    model = run.model()
    store = mmseq.prepare(model.experiment, data)
    batch = Assembler(store, model, tasks=[]).batch(np.arange(len(store)))
    seen, _ = model.see("points", batch.events["points"], batch.timeline)
    directions = torch.nn.functional.normalize(seen.values.detach(), dim=1)
    spread = torch.linalg.svdvals(directions - directions.mean(0)).square()
    assert float(spread.sum() / len(directions)) > 0.5  # 0 where all are alike, 1 where they have no mean
    assert float(spread.sum().square() / spread.square().sum()) > 3  # as many directions


def test_predictions_tell_samples_and_times_alone(run: mmseq.Run, data: dict[str, Any]) -> None:
    table = run.model().predict(data)
    assert table.column_names == ["id", "time"] and table.num_rows == SAMPLES
    row = mmseq.Stream(run.model()).push("x", 0, {"points": [0.5, 0.5, 0.5, 0.5]})
    assert row == {"id": "x", "time": 0}


def test_what_needs_a_likelihood_or_a_sample_label_is_refused(run: mmseq.Run, data: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="generate: a task must predict a modality's next event"):
        run.model().generate(data, steps=3)
    with pytest.raises(ConfigError, match="tasks: every one predicts at steps"):
        evaluate_early(run, "test", data)


def test_with_the_time_it_predicts_when_but_draws_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    tree = _tree(tmp_path, time=True, negatives=4, temperature=0.2)
    tree["training"]["epochs"] = 1
    run = mmseq.train(mmseq.load_config(tree), data=data, output=tmp_path)
    assert run.model().predict(data).column_names == ["id", "time", "next.wait", "next.wait.scale"]
    report = mmseq.evaluate(run, "test", data=data)["next"]
    assert report["baseline"]["accuracy"] == pytest.approx(1 / 5, rel=0.02)
    assert {"loss", "accuracy", "wait.mae"} <= report["metrics"].keys()
    with pytest.raises(ConfigError, match="that of next has none: its next event is only told apart"):
        run.model().generate(data, horizon=3.0)


def test_an_option_that_would_do_nothing_is_refused(data: dict[str, Any], tmp_path: Path) -> None:
    tree = _tree(tmp_path, negatives=4)
    tree["modalities"]["points"] = {"kind": "numeric", "table": "points", "time": "t", "columns": ["t"]}
    with pytest.raises(ConfigError, match="'negatives' is for a modality whose next event has no likelihood"):
        mmseq.train(mmseq.load_config(tree), data=data, output=tmp_path)
    assert not (tmp_path / "rotating").exists()
