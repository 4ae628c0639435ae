"""What is kept of an epoch, and what is said of its gradients."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from mmseq.balancers.fixed import FixedBalancer
from mmseq.carried import Carried
from mmseq.config.training import TrainingConfig
from mmseq.errors import Interrupted, NumericError
from mmseq.run import Run
from mmseq.training.checkpoint import Checkpoint, Progress
from mmseq.training.checkpoints import Checkpoints
from mmseq.training.guard import Guard
from mmseq.training.keeper import Keeper
from mmseq.training.module import TrainingModule


def _keeper(path: Path, **options: Any) -> Keeper:
    (path / "config.resolved.yaml").touch()
    training = {"patience": None, "log_every": 1, "checkpoint": {"minutes": 1e-9}}
    training |= {name: options.pop(name) for name in (*training, "guard") if name in options}
    defaults = {
        "monitor": lambda report: report["task"]["metrics"]["value"], "direction": "max", "first_epoch": 0,
        "say": lambda line: None,
    }  # fmt: skip
    run, config = Run(path), TrainingConfig.model_validate(training)
    checkpoints = Checkpoints(path / "checkpoints", "", config.checkpoint.keep, run.command("train --resume"))
    return Keeper(run, Progress(), checkpoints, config, **{**defaults, **options})


def _best(keeper: Keeper) -> Checkpoint:
    return keeper.checkpoints.best(keeper.progress.best_step)


def _latest(keeper: Keeper) -> Checkpoint:
    return keeper.checkpoints.latest()


def _log(path: Path) -> list[str]:
    return (path / "log.txt").read_text().splitlines()


class Module(TrainingModule):
    """As much of a training module as a keeper reads."""

    step = first_step = 0
    value = 0.0

    def __init__(self) -> None:
        pl.LightningModule.__init__(self)
        self.weight = nn.Parameter(torch.zeros(2))
        self.model = SimpleNamespace(facts=SimpleNamespace(to_json=dict))
        self.losses, self.loss = {"task": torch.tensor(1.5)}, torch.tensor(1.5)
        self.fault, self.guard, self.asked = None, Guard(), None
        self.balancer, self.whole = FixedBalancer({"task": 1.0}), None
        self.gradient_norm, self.carried = torch.tensor(1.0), Carried()
        self.evaluator = SimpleNamespace(compute=self._report)

    def _report(self) -> dict[str, Any]:
        return {"task": {"loss": 0.5, "metrics": {"value": self.value}, "labels": 1}}


class Trainer(pl.Trainer):
    """As much of a trainer as a keeper reads."""

    current_epoch = 0
    max_epochs = 9
    should_stop = False
    is_last_batch = False
    num_training_batches = 1_000
    optimizers: ClassVar[list[torch.optim.Optimizer]] = []

    def __init__(self, module: Module, epochs: int = 9) -> None:
        self.max_epochs = epochs
        self.optimizers = [torch.optim.SGD(module.parameters(), lr=0.1)]


def _epoch(keeper: Keeper, trainer: Any, module: Module, value: float) -> None:
    module.value = value
    keeper.on_validation_epoch_end(trainer, module)
    keeper.on_train_epoch_end(trainer, module)
    trainer.current_epoch += 1


@pytest.mark.parametrize(
    ("norms", "warning"),
    [
        ([1e-9] * 5, "gradients vanish (median norm 1.0e-09): a gated core, fewer layers or a higher rate"),
        ([1.0, 1.0, 1.0, 500.0], "gradients explode (norm 5.0e+02, median 1.0e+00): lower lr or clip"),
        ([0.5, 1.0, 2.0, 30.0], None),
        ([1e-9, 500.0], None),  # too few to tell
    ],
)
def test_warns_of_gradients(tmp_path: Path, norms: list[float], warning: str | None) -> None:
    said: list[str] = []
    keeper, module = _keeper(tmp_path, say=said.append), Module()
    trainer = Trainer(module)
    for norm in norms:
        module.step, module.gradient_norm = module.step + 1, torch.tensor(norm)
        keeper.on_train_batch_end(trainer, module)
    _epoch(keeper, trainer, module, 0.5)
    _epoch(keeper, trainer, module, 0.5)  # without steps of its own there is nothing to warn of
    assert [line for line in said if line.startswith("warning")] == [f"warning: {warning}"] * bool(warning)
    logged = [line for line in _log(tmp_path) if "warning" in line]
    assert logged == [f"epoch 1  warning: {warning}"] * bool(warning)


@pytest.mark.parametrize(("direction", "values"), [("max", [1.0, 3.0, 2.0]), ("min", [3.0, 1.0, 2.0])])
def test_keeps_the_best_epoch(tmp_path: Path, direction: str, values: list[float]) -> None:
    keeper, module = _keeper(tmp_path, direction=direction), Module()
    trainer = Trainer(module)
    for i, value in enumerate(values):
        module.weight.data.fill_(i)
        _epoch(keeper, trainer, module, value)
    progress = keeper.progress
    assert (progress.best, progress.stale) == (values[1], 1)
    assert _best(keeper).weights["weight"].tolist() == [1, 1]
    assert _latest(keeper).weights["weight"].tolist() == [2, 2]


def test_writes_when_it_is_time_and_at_the_end(tmp_path: Path) -> None:
    """Until then the best epoch is kept as it was, though training goes on in place."""
    keeper, module = _keeper(tmp_path, checkpoint={"minutes": 1e9}), Module()
    trainer = Trainer(module, epochs=3)
    for i, value in enumerate((1.0, 3.0)):
        module.weight.data.fill_(i)
        _epoch(keeper, trainer, module, value)
    assert not (tmp_path / "checkpoints").exists()
    module.weight.data.fill_(2)
    _epoch(keeper, trainer, module, 2.0)
    best, last = _best(keeper), _latest(keeper)
    assert best.weights["weight"].tolist() == [1, 1] and best.progress.best == 3.0
    assert last.weights["weight"].tolist() == [2, 2] and last.progress.done


def test_no_value_is_never_the_best(tmp_path: Path) -> None:
    keeper, module = _keeper(tmp_path), Module()
    trainer = Trainer(module)
    for value in (float("nan"), 1.0, float("nan")):
        _epoch(keeper, trainer, module, value)
    assert (keeper.progress.best, keeper.progress.stale) == (1.0, 1)
    endings = [line.partition("monitor ")[2] for line in _log(tmp_path)]
    assert endings == ["nan  (none yet)", "1.0000  (best)", "nan  (best 1.0000)"]


def test_patience_ends_training(tmp_path: Path) -> None:
    keeper, module = _keeper(tmp_path, patience=2), Module()
    trainer = Trainer(module)
    stops = []
    for value in (2.0, 1.0, 1.5):
        _epoch(keeper, trainer, module, value)
        stops.append(trainer.should_stop)
    assert stops == [False, False, True]
    assert _latest(keeper).progress.done


def test_the_last_epoch_is_done_and_epochs_go_on_from_earlier_sittings(tmp_path: Path) -> None:
    keeper, module = _keeper(tmp_path, first_epoch=5), Module()
    trainer = Trainer(module, epochs=2)
    _epoch(keeper, trainer, module, 1.0)
    assert not keeper.progress.done
    _epoch(keeper, trainer, module, 2.0)
    assert keeper.progress.done
    assert [line.split("  ")[0] for line in _log(tmp_path)] == ["epoch 6", "epoch 7"]


def test_logs_every_so_many_steps_and_once_a_step(tmp_path: Path) -> None:
    keeper, module = _keeper(tmp_path, log_every=2), Module()
    trainer = Trainer(module)
    for step in (1, 1, 2, 2, 3, 4):  # a step of two micro-batches shows itself twice
        module.step = step
        keeper.on_train_batch_end(trainer, module)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [(row["step"], row["metric"], row["value"]) for row in rows] == [
        (step, metric, value)
        for step in ("2", "4")
        for metric, value in (("loss", "1.5"), ("gradient_norm", "1"), ("lr", "0.1"), ("loss", "1.5"))
    ]


def test_a_step_without_labels_is_no_step(tmp_path: Path) -> None:
    keeper, module = _keeper(tmp_path), Module()
    module.losses, module.loss = {}, torch.tensor(0.0)
    module.step = 1
    keeper.on_train_batch_end(Trainer(module), module)
    assert keeper.progress.step == 1 and not keeper.progress.n_losses and not keeper.norms
    assert not (tmp_path / "metrics.csv").exists()


def test_a_stop_amid_an_epoch_is_at_once_and_at_its_end_after_validation(tmp_path: Path) -> None:
    keeper, module = _keeper(tmp_path), Module()
    trainer = Trainer(module)
    keeper.stop.number = signal.SIGTERM
    module.step, trainer.is_last_batch = 4, True
    keeper.on_train_batch_end(trainer, module)
    assert not (tmp_path / "checkpoints").exists()
    with pytest.raises(Interrupted, match=r"interrupted after step 4; .* `mmseq train --resume ") as error:
        _epoch(keeper, trainer, module, 1.0)
    assert error.value.exit_code == 143
    assert _latest(keeper).progress.best == 1.0
    module.step, trainer.is_last_batch = 5, False
    with pytest.raises(Interrupted, match="interrupted after step 5"):
        keeper.on_train_batch_end(trainer, module)
    assert _latest(keeper).progress.step == 5


def test_a_stop_after_the_last_step_changes_nothing(tmp_path: Path) -> None:
    keeper, module = _keeper(tmp_path), Module()
    keeper.stop.number = signal.SIGTERM
    _epoch(keeper, Trainer(module, epochs=1), module, 1.0)
    assert keeper.progress.done


def test_signals_are_noted_while_training_and_handed_back(tmp_path: Path) -> None:
    keeper, before = _keeper(tmp_path), signal.getsignal(signal.SIGTERM)
    with keeper.stop.noting():
        os.kill(os.getpid(), signal.SIGTERM)
        assert keeper.stop.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_writes_every_so_many_steps(tmp_path: Path) -> None:
    keeper, module = _keeper(tmp_path, checkpoint={"minutes": 1e9, "steps": 2, "keep": 2}), Module()
    written = []
    for step in range(1, 8):
        module.step = step
        keeper.on_train_batch_end(Trainer(module), module)
        written.append(keeper.checkpoints.names())
    assert written[0] == [] and written[2] == ["step-000000002"]
    assert written[-1] == ["step-000000004", "step-000000006"]


def test_bad_steps_in_a_row_end_training(tmp_path: Path) -> None:
    """A good one between them starts the count anew; nothing is logged, averaged or kept of a bad one."""
    said: list[str] = []
    keeper, module = _keeper(tmp_path, say=said.append, guard={"in_a_row": 2}), Module()
    keeper.progress.guard = module.guard
    for step, fault in enumerate([None, "bad", None, "bad", "worse"], start=1):
        module.step, module.fault = step, fault
        if fault:
            module.guard.skip()
        else:
            module.guard.in_a_row = 0
        if step == 5:
            with pytest.raises(NumericError, match="worse; 2 bad steps in a row end training"):
                keeper.on_train_batch_end(Trainer(module), module)
        else:
            keeper.on_train_batch_end(Trainer(module), module)
    assert said[0] == "warning: bad; the step was not taken (1 so far)" and len(said) == 3
    assert keeper.progress.n_losses == 2 and keeper.checkpoints.names()[-1] == "step-000000003"


def test_a_signal_that_came_since_all_were_asked_waits(tmp_path: Path) -> None:
    """Caught: a process that stops, or writes, alone, while the others go on."""
    keeper, module = _keeper(tmp_path, checkpoint={"minutes": 1e9}), Module()
    trainer = Trainer(module)
    keeper.stop.number = signal.SIGTERM
    module.step, module.asked = 1, [False, False, False]
    keeper.on_train_batch_end(trainer, module)
    assert not keeper.checkpoints.names()
    module.step, module.asked = 2, None
    with pytest.raises(Interrupted, match="interrupted after step 2"):
        keeper.on_train_batch_end(trainer, module)
    assert keeper.checkpoints.names() == ["step-000000002"]


def test_states_that_nobody_has_taken_up_yet_are_kept(tmp_path: Path) -> None:
    """As where the one step that is left of an epoch is before a second stop amid its validation.

    Caught: a checkpoint of the states of this sitting alone.
    """
    keeper, module = _keeper(tmp_path), Module()
    trainer = Trainer(module)
    module.carried = Carried({"a": {"x": torch.ones(1, 2)}})
    trainer.num_training_batches = 1
    keeper.on_train_epoch_start(trainer, module)
    assert keeper.before_last is not None and list(keeper.before_last.carried) == ["a"]
    module.step = 1  # whoever it belonged to has taken it by now
    keeper.on_train_epoch_start(trainer, module)
    assert not keeper.before_last.carried
