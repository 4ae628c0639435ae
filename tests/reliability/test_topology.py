"""One model, whatever the number of processes, workers and micro-batches, and wherever it went on.

Processes are simulated by giving each its rank and no one to talk to: what each draws, and the gradient that
it adds, is all that DistributedDataParallel sums. Two real ones train at the end.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import mmseq
from mmseq.batch import Batch
from mmseq.config.experiment import Experiment
from mmseq.config.training import CheckpointConfig
from mmseq.place import Place
from mmseq.processes import Processes
from mmseq.training.module import TrainingModule
from mmseq.training.schedule import rate
from mmseq.training.sitting import Sitting

N, EPOCHS = 10_000, 34  # of 6 steps: 204
WHOLE = list(itertools.product((1, 2, 4), (0, 1, 2), (1, 2, 4)))  # processes, workers, accumulation
QUICK = [(2, 0, 2), (4, 1, 1)]
TOPOLOGIES = [one if one in QUICK else pytest.param(*one, marks=pytest.mark.slow) for one in WHOLE]


def _sittings(experiment: Experiment, size: int, workers: int, accumulation: int) -> list[Sitting]:
    """One for each process."""
    training = experiment.training.model_copy(update={"workers": workers, "accumulation": accumulation})
    experiment, store = experiment.model_copy(update={"training": training}), mmseq.prepare(experiment)
    places = [Place(rank, size, rank, size) for rank in range(size)]
    return [Sitting(experiment, store, processes=Processes(place)) for place in places]


def _steps(sittings: list[Sitting], epoch: int, step: int = 0) -> Iterator[list[Batch]]:
    """The micro-batches of all processes, step by step, from where `step` of them had been taken."""
    for sitting in sittings:
        sitting.progress.step = step
    each = sittings[0].config.accumulation
    loaders = [zip(*[iter(sitting.feed().batches(epoch))] * each, strict=True) for sitting in sittings]
    for ranks in zip(*loaders, strict=True):
        yield [micro for micros in ranks for micro in micros]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Samples of a few steps, half of them with a label, to be drawn rather than trained on."""
    root = tmp_path_factory.mktemp("many")
    rows = [f"s{i},{t},{i % 7}" for i in range(N) for t in range(1 + i % 5)]
    (root / "x.csv").write_text("\n".join(["id,time,a", *rows]) + "\n")
    labels = [f"s{i},{'abc'[i % 3]}" for i in range(0, N, 2)]
    (root / "y.csv").write_text("\n".join(["id,kind", *labels]) + "\n")
    tree = {
        "name": "many",
        "data": {
            "source": {"kind": "tables", "root": str(root), "id": "id"},
            "split": {"train": 1.0, "validation": 0.0, "test": 0.0},
            "store": str(root / "stores"),
        },
        "modalities": {"x": {"kind": "numeric", "table": "x.csv", "time": "time", "columns": ["a"]}},
        "core": {"kind": "gru", "hidden": 4},
        "tasks": {"kind": {"kind": "classification", "table": "y.csv", "column": "kind"}},
        "training": {"epochs": 2, "batch": {"samples": 250}, "accelerator": "cpu", "threads": 1},
    }
    return mmseq.load_config(tree)


@pytest.fixture(scope="module")
def order(many: Experiment) -> list[list[str]]:
    """The ids of each step of an epoch, as one process without workers has them."""
    return [micro.ids for (micro,) in _steps(_sittings(many, 1, 0, 1), 1)]


@pytest.mark.parametrize(("size", "workers", "accumulation"), TOPOLOGIES)
def test_the_same_samples_at_each_step(
    many: Experiment, order: list[list[str]], size: int, workers: int, accumulation: int
) -> None:
    """Each once an epoch, and in equal parts by steps; also where it goes on after 17 steps of the epoch.

    Caught: an order that depends on the rank; a split that leaves the last sample out.
    """
    assert sorted(itertools.chain(*order)) == sorted(f"s{i}" for i in range(N))
    sittings = _sittings(many, size, workers, accumulation)
    for begun in (0, 17):
        drawn, loads, weights = [], [], []  # not the batches: what workers send holds files open
        for micros in _steps(sittings, 1, step=len(order) + begun):
            drawn.append(sorted(id for micro in micros for id in micro.ids))
            loads.append([micro.timeline.n_steps for micro in micros])
            weights.append({tuple(micro.weights.values()) for micro in micros})
        assert drawn == [sorted(ids) for ids in order[begun:]]
        assert (np.ptp(np.array(loads), axis=1) <= 5).all()  # no part has a whole sample more than it must
        assert weights == [{(sum(int(id[1:]) % 2 == 0 for id in ids),)} for ids in order[begun:]]


@pytest.fixture(scope="module")
def exact(toy: Path, silent: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Six tasks, most labels missing, one by contrast, dropout, a learned balance; in float64.

    By descent that is neither clipped nor scaled, since to Adam a gradient and its half are alike.
    """
    store = tmp_path_factory.mktemp("exact") / "stores"
    settings = ["training.precision=64-true", f"training.epochs={EPOCHS}", f"data.store={store}"]
    frames = "{kind: silent, table: vitals.csv, time: minute, columns: [heart, noise]}"
    contrast = "{kind: next_step, modality: frames, negatives: 3, time: true, weight: 0.1}"
    settings += [f"plugins=[{silent}]", f"modalities.frames={frames}", f"tasks.contrast={contrast}"]
    settings += ["training.clip=null", "training.optimizer={kind: sgd, lr: 1e-2}"]
    return mmseq.load_config(toy, [*settings, "training.checkpoint.steps=50", "training.checkpoint.keep=9"])


def _gradients(module: TrainingModule, micros: list[Batch]) -> dict[str, Tensor]:
    """What the processes' gradients sum to."""
    module.zero_grad()
    for batch in micros:
        parameters = module(batch)
        losses = {
            task: head.loss_sum(parameters[task], batch.targets[task]) / (batch.weights[task] or 1.0)
            for task, head in module.model.heads.items()
        }
        module.balancer(losses, batch.weights, batch.share).backward()
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("size", "workers", "accumulation"), TOPOLOGIES)
def test_the_same_gradient(exact: Experiment, size: int, workers: int, accumulation: int) -> None:
    """To 1e-12 of the largest entry, in each tensor.

    Caught: losses divided by the labels of a part instead of the whole; a constant of the balancer in each
    part; dropout, or negatives, drawn by the row of a batch.
    """
    alone, shared = _sittings(exact, 1, 0, 1), _sittings(exact, size, workers, accumulation)
    module = alone[0].module(alone[0].feed())
    for whole, parts in zip(_steps(alone, 0), _steps(shared, 0), strict=True):
        expected = {name: grad.clone() for name, grad in _gradients(module, whole).items()}
        found = _gradients(module, parts)
        assert found.keys() == expected.keys() == dict(module.named_parameters()).keys()
        for name, grad in expected.items():
            assert (found[name] - grad).abs().max() <= 1e-12 * max(1.0, float(grad.abs().max())), name


def _trained(experiment: Experiment, size: int, accumulation: int) -> dict[str, Tensor]:
    """The weights after all epochs, by a loop of our own over the parts of simulated processes."""
    sittings = _sittings(experiment, size, 0, accumulation)
    config, feed = experiment.training, sittings[0].feed()
    module, step = sittings[0].module(feed), 0
    optimizer = module.configure_optimizers()
    for epoch in range(config.epochs):
        for micros in _steps(sittings, epoch):
            _gradients(module, micros)
            for group in optimizer.param_groups:
                schedule = (config.optimizer.warmup, config.optimizer.schedule)
                group["lr"] = config.optimizer.lr * rate(step, feed.total_steps, *schedule)
            torch.nn.utils.clip_grad_norm_(module.parameters(), config.clip or float("inf"))
            optimizer.step()
            step += 1
    return module.state_dict()


def _last_weights(run: Path) -> dict[str, Tensor]:
    return load_file(max((run / "checkpoints").glob("step-*")) / "weights.safetensors")


def _furthest(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.fixture(scope="module")
def alone(exact: Experiment, tmp_path_factory: pytest.TempPathFactory) -> mmseq.Run:
    return mmseq.train(exact, output=tmp_path_factory.mktemp("alone"))


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_same_weights_after_200_steps(
    exact: Experiment, alone: mmseq.Run, size: int, accumulation: int
) -> None:
    """Caught: label weights of a part in place of the whole's; a constant of the balancer in each part."""
    assert _furthest(_trained(exact, size, accumulation), _last_weights(alone.path)) <= 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "settings"),
    [
        (2, ["training.accumulation=2"]),
        (2, ["training.workers=1"]),
        (1, ["training.workers=2", "training.accumulation=4"]),
    ],
)
def test_two_real_processes_and_a_change_on_the_way(
    alone: mmseq.Run, tmp_path: Path, in_processes: Any, size: int, settings: list[str]
) -> None:
    """Two train; from step 100 on it goes on as told; they evaluate alike, each sample once.

    Caught: Lightning's mean over processes left in, or over micro-batches.
    """
    _train_again(alone, tmp_path / "run", in_processes, 100, size, settings)


def test_two_real_processes(exact: Experiment, tmp_path: Path, in_processes: Any) -> None:
    """The same in short: two go on from step 20 of a run that one began, in more micro-batches.

    Caught: Lightning's mean over processes left in; a validation that each process does whole.
    """
    training = exact.training.model_copy(
        update={"epochs": 5, "checkpoint": CheckpointConfig(steps=10, keep=9)}
    )
    run = mmseq.train(exact.model_copy(update={"training": training}), output=tmp_path / "alone")
    _copy(run.path, tmp_path / "run", 20)
    resume = ["train", "--resume", "run", "--plugin", str(run.plugins[0])]
    _must_end_well(in_processes([*resume, "--set", "training.accumulation=2"], 2))
    assert _furthest(_last_weights(tmp_path / "run"), _last_weights(run.path)) <= 1e-9
    _compare_reports(tmp_path / "run", run.path)


def _train_again(
    alone: mmseq.Run, run: Path, in_processes: Any, step: int, size: int, settings: list[str]
) -> None:
    """From step 0 in two processes, then from another step as told; each ends as the run did alone."""
    _copy(alone.path, run, 0)
    again = ["train", "--resume", run.name, "--plugin", str(alone.plugins[0])]
    _must_end_well(in_processes(again, 2))
    assert _furthest(_last_weights(run), _last_weights(alone.path)) <= 1e-9
    shutil.rmtree(run / "model")
    changed = [word for setting in settings for word in ("--set", setting)]
    begin = ["--from", f"step-{step:09d}"]
    _must_end_well(in_processes([*again, *begin, *changed], size))
    assert _furthest(_last_weights(run), _last_weights(alone.path)) <= 1e-9
    _compare_reports(run, alone.path)


def _copy(alone: Path, run: Path, step: int) -> None:
    """A run as it was at a step."""
    shutil.copytree(alone, run)
    shutil.rmtree(run / "model")
    for late in [path for path in (run / "checkpoints").glob("step-*") if int(path.name[5:]) > step]:
        shutil.rmtree(late)


def _must_end_well(processes: list[Any]) -> None:
    assert [ended.code for ended in processes] == [0] * len(processes), [ended.err for ended in processes]


def _compare_reports(run: Path, alone: Path) -> None:
    found, expected = (json.loads((path / "metrics/validation.json").read_text()) for path in (run, alone))
    for task, report in expected.items():
        assert found[task]["labels"] == report["labels"]
        for name, value in report["metrics"].items():
            assert found[task]["metrics"][name] == pytest.approx(value, rel=1e-9, nan_ok=True), (task, name)
