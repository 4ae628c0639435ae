"""Metrics against the share of a sequence that was seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmseq.config.experiment import Experiment
from mmseq.errors import ConfigError
from mmseq.fit import fit
from mmseq.inference.early import early_model
from mmseq.inference.evaluate import evaluate_model
from mmseq.inference.predict import predict_stored
from mmseq.model import Model
from mmseq.store import Store

SAMPLES = np.arange(36)


def build(experiment: Experiment, store: Store, window: int | None = None) -> Model:
    torch.manual_seed(0)
    training = experiment.training.model_copy(update={"window": window})
    experiment = experiment.model_copy(update={"training": training})
    return Model(experiment, fit(experiment, store, SAMPLES)).double()


def test_of_everything_it_is_the_evaluation(experiment: Experiment, store: Store) -> None:
    model = build(experiment, store)
    whole, early = evaluate_model(model, store, SAMPLES), early_model(model, store, SAMPLES)
    assert list(early) == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1"]
    assert early["1"].keys() == {"sick", "level"}
    for task, result in early["1"].items():
        assert result["labels"] == whole[task]["labels"]
        for part in ("metrics", "baseline"):
            for name, value in result[part].items():
                assert value == pytest.approx(whole[task][part][name], nan_ok=True, abs=1e-9), name


def test_a_share_is_read_as_of_its_step(experiment: Experiment, store: Store) -> None:
    model = build(experiment, store)
    early = early_model(model, store, SAMPLES, [0.4])["0.4"]["level"]["metrics"]
    table = predict_stored(model, store, SAMPLES, every_step=True).table.to_pandas()
    starts = np.concatenate([[0], np.cumsum(store.lengths)])[:-1]
    rows = table.iloc[starts + np.ceil(0.4 * store.lengths - 1e-9).astype(int).clip(1) - 1]
    labels = store.gather(SAMPLES, [], ["level"]).targets["level"]
    sample = np.repeat(SAMPLES, np.diff(labels.starts))
    error = [
        abs(rows[f"level.{c}"].to_numpy()[sample] - labels.arrays["values"][:, i]) for i, c in enumerate("xy")
    ]
    for name, errors in zip("xy", error, strict=True):
        assert early[f"mae.{name}"] == pytest.approx(np.nanmean(errors), rel=1e-6)


def test_windows_change_nothing(experiment: Experiment, store: Store) -> None:
    whole = early_model(build(experiment, store), store, SAMPLES)
    windowed = early_model(build(experiment, store, window=3), store, SAMPLES)
    for share, tasks in whole.items():
        for task, result in tasks.items():
            for name, value in result["metrics"].items():
                assert windowed[share][task]["metrics"][name] == pytest.approx(value, nan_ok=True, abs=1e-9)


def test_a_core_that_looks_ahead_is_refused(experiment: Experiment, store: Store) -> None:
    model = build(experiment, store)
    model.core.causal = False
    with pytest.raises(ConfigError, match="only a causal one"):
        early_model(model, store, SAMPLES)
