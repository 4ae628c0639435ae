"""A step with bad numbers is not taken, and told; what is written down is finite."""

from __future__ import annotations

import math
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from poison import Poison, load, trained
from torch import Tensor

import mmseq
from mmseq.carried import bad_tensors
from mmseq.errors import Interrupted, NumericError
from mmseq.registry import FAMILIES, family
from mmseq.state import map_state
from mmseq.store import Store
from mmseq.training.checkpoint import Checkpoint, read_checkpoint
from mmseq.training.sitting import Sitting

NAN, INF = math.nan, math.inf
HALVES, WINDOW = "training.accumulation=2", "training.window=5"
SGD = "training.optimizer.kind=sgd"
Case = tuple[str, float, list[int], list[str]]
QUICK: list[Case] = [
    ("input", INF, [3], []),
    ("label", NAN, [4], [HALVES]),
    ("loss", -INF, [1], [WINDOW]),
    ("gradient", NAN, [0], []),
]
MORE: list[Case] = [
    ("output", INF, [9, 11], [HALVES]),
    ("weight", NAN, [5], []),
    ("input", NAN, [0], []),
    ("input", -INF, [5], [HALVES]),
    ("input", INF, [11], [SGD]),
    ("label", INF, [2, 3], []),
    ("loss", NAN, [1], []),
    ("loss", INF, [6, 8, 10], [HALVES]),
    ("gradient", INF, [7], [HALVES]),
    ("gradient", NAN, [4], [WINDOW]),
    ("gradient", -INF, [1, 3], [SGD, "training.clip=null"]),
    ("output", NAN, [2], []),
    ("output", -INF, [3, 4], [HALVES]),
    ("weight", INF, [2], [HALVES]),
    ("balance", NAN, [4, 7], []),
]
CASES = [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE)]
TOLD = {
    "input": "the output of modalities.vitals; the loss of .*level.*",
    "label": "the loss of level",
    "loss": "the loss of level",
    "gradient": "the gradient of encoders.vitals.linear.weight, encoders.vitals.linear.bias",
    "output": "the output of encoders.vitals; the loss of .*level.*",
    "weight": r"the weights core\.rnn\.weight_ih_l0(; .*)?",
    "balance": "the weights balancer.*",
}


@pytest.fixture(scope="module", autouse=True)
def _tidied_up() -> Iterator[None]:
    """The plugin is no longer there afterwards."""
    yield
    sys.modules.pop("mmseq_plugin_poisoned", None)
    for registry in map(family, FAMILIES):
        registry._classes.pop("poisoned", None)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


def _checkpoints(run: mmseq.Run) -> list[Checkpoint]:
    """All of them, in order, each of which must be finite."""
    checkpoints = [read_checkpoint(path) for path in sorted((run.path / "checkpoints").glob("step-*"))]
    for checkpoint in [*checkpoints, *map(read_checkpoint, (run.path / "checkpoints").glob("best"))]:
        for value in [*checkpoint.weights.values(), *checkpoint.moments.values()]:
            assert torch.isfinite(value).all()
        assert not any(bad_tensors(row) for row in checkpoint.carried.values())
    return checkpoints


def _warnings(run: mmseq.Run) -> list[str]:
    return [line for line in (run.path / "log.txt").read_text().splitlines() if "not taken" in line]


def _must_be_told(run: mmseq.Run, poison: Poison) -> None:
    """Step, place and sample of each step that was not taken; how many."""
    warnings = _warnings(run)
    assert len(warnings) == len(poison.steps)
    for n, (step, line) in enumerate(zip(poison.steps, warnings, strict=True), 1):
        sample = poison.samples[step]
        samples = f"{sample}(, .*)?" if sample else "p.*, .*"
        found = re.search(
            rf"warning: step {step}: needs finite numbers; these are not: {TOLD[poison.where]}; "
            rf"samples: {samples}; losses: .*level .*; the step was not taken \({n} so far\)$",
            line,
        )
        assert found, line


def _must_be(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize(("where", "value", "steps", "settings"), CASES)
def test_a_step_with_bad_numbers_is_not_taken(
    toy: Path, stores: Path, tmp_path: Path, where: str, value: float, steps: list[int], settings: list[str]
) -> None:
    """It leaves weights and moments as they were; the others are those of a run that leaves it out.

    Caught: a step with zeroed gradients, by which moments and decay go on; gradients looked at after they
    were clipped, which names all parameters; only the loss looked at.
    """
    experiment, poison = load(toy, stores, settings), Poison(where, value, steps)
    run = mmseq.train(experiment, output=tmp_path, callbacks=[poison])
    assert poison.same == [True] * len(steps)
    _must_be_told(run, poison)
    last = _checkpoints(run)[-1]
    assert (last.progress.guard.skipped, last.progress.done) == (len(steps), True)
    weights, moments = trained(experiment, steps)
    _must_be(last.weights, weights)
    _must_be(last.moments, moments)


class _BadState(pl.Callback):
    """Makes a state bad that a window hands on, and nothing else.

    Attributes:
        steps: of that window, and of those that go on from it.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        if self.steps and batch.begin and self.steps[-1] == module.step - 1:
            self.steps.append(module.step)
        if not self.steps and module.step > 2 and batch.timeline.continues and not batch.begin:
            self.steps.append(module.step)
            self.hook = module.model.core.register_forward_hook(self._spoil)

    @staticmethod
    def _spoil(core: Any, inputs: Any, said: Any) -> Any:
        return said[0], map_state(lambda value: torch.full_like(value, INF), said[1])

    def on_train_batch_end(self, *_: Any) -> None:
        if self.steps:
            self.hook.remove()


ONE_TASK = "tasks={level: {kind: poisoned, table: labels.csv, column: level}}"


@pytest.mark.parametrize(
    "settings", [[], [ONE_TASK, "training.batch.samples=1", "training.epochs=1"]], ids=["labels", "no labels"]
)
def test_a_bad_state_is_not_handed_on_in_silence(
    toy: Path, stores: Path, tmp_path: Path, settings: list[str]
) -> None:
    """Its window is a bad step, whether there are labels in it or not, and so are those that go on from it.

    Caught: such a window learned from; a checkpoint that keeps such a state, or ends the run over it.
    """
    experiment = load(toy, stores, [WINDOW, "training.guard.in_a_row=9", *settings])
    bad = _BadState()
    run = mmseq.train(experiment, output=tmp_path, callbacks=[bad])
    warnings = _warnings(run)
    assert len(warnings) == len(bad.steps) > 1
    losses = "none" if settings else "sick .*"
    first = (
        rf"warning: step {bad.steps[0]}: .* not: the state after it: core/.*; samples: .*; losses: {losses};"
    )
    assert re.match(first, warnings[0]), warnings[0]
    *earlier, last = _checkpoints(run)
    assert last.progress.guard.skipped == len(bad.steps)
    assert not {checkpoint.progress.step - 1 for checkpoint in earlier} & {*bad.steps}
    if not settings:
        _must_be(last.weights, trained(experiment, bad.steps)[0])


def _bad_steps(experiment: mmseq.Experiment, sample: str) -> list[int]:
    """The steps whose global batch has a sample."""
    sitting = Sitting(experiment, mmseq.prepare(experiment))
    feed = sitting.feed()
    drawn = [batch.ids for epoch in range(experiment.training.epochs) for batch in feed.batches(epoch)]
    return [step for step, ids in enumerate(drawn) if sample in ids]


def test_a_sample_whose_stored_numbers_went_bad_is_left_out_each_time(
    toy: Path, stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Infinity in the arrays as they come from the store, behind all checks of preparation.

    Caught: an infinite value that is fitted with the healthy ones.
    """
    experiment, gather = load(toy, stores), Store.gather
    trained_on = Sitting(experiment, mmseq.prepare(experiment)).splits["train"]
    victim = int(trained_on[7])

    def poisoned(self: Store, samples: np.ndarray, *rest: Any, **options: Any) -> Any:
        gathered = gather(self, samples, *rest, **options)
        for place in np.flatnonzero(samples == victim):
            if (rows := gathered.events.get("vitals")) is None or "values" not in rows.arrays:
                continue  # labels, or steps, alone
            own = (rows.step >= gathered.starts[place]) & (rows.step < gathered.starts[place + 1])
            rows.arrays["values"][own] = np.inf
        return gathered

    monkeypatch.setattr(Store, "gather", poisoned)
    sample = str(mmseq.prepare(experiment).ids[victim])
    steps = _bad_steps(experiment, sample)
    run = mmseq.train(experiment, output=tmp_path)
    warnings = _warnings(run)
    assert len(warnings) == len(steps) == 2
    for step, line in zip(steps, warnings, strict=True):
        assert f"step {step}: " in line and "modalities.vitals; " in line and f"samples: {sample};" in line
    last = _checkpoints(run)[-1]
    _must_be(last.weights, trained(experiment, steps)[0])


@pytest.mark.parametrize(
    ("where", "settings"), [("loss", []), pytest.param("weight", [HALVES], marks=pytest.mark.slow)]
)
def test_bad_steps_in_a_row_end_the_run_and_the_last_good_checkpoint_stays(
    toy: Path, stores: Path, tmp_path: Path, where: str, settings: list[str]
) -> None:
    """From it the run goes on, and ends as one in which nothing was bad.

    Caught: checkpoints written amid bad steps, by which the good ones rotate out; a count that a bad step
    starts anew.
    """
    experiment = load(toy, stores, [*settings, "training.checkpoint.keep=2", "training.guard.in_a_row=2"])
    poison = Poison(where, NAN, [5, 6, 7])
    with pytest.raises(NumericError, match=r"^step 6: .*; 2 bad steps in a row end training") as error:
        mmseq.train(experiment, output=tmp_path, callbacks=[poison])
    assert error.value.exit_code == 1
    assert poison.same == [True, True]
    run = mmseq.Run(tmp_path / "toy")
    *_, good = _checkpoints(run)
    assert (good.progress.step, good.progress.guard.in_a_row) == (5, 0)
    mmseq.train(experiment, resume=run)
    *_, last = _checkpoints(run)
    _must_be(last.weights, trained(experiment, [])[0])
    assert last.progress.guard.skipped == 0


def test_a_bad_weight_that_no_sample_meets_is_not_written_down(
    toy: Path, stores: Path, tmp_path: Path
) -> None:
    """The run ends, and names it; the checkpoints are from before.

    Caught: a checkpoint that is not looked at before it is written.
    """
    experiment = load(toy, stores, ["modalities.codes.encoder.kind=embedding"])

    class Unseen(pl.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            if module.step == 4:
                weights = next(module.model.encoders["codes"].parameters())
                weights.data[0] = NAN  # of an unknown code

    with pytest.raises(NumericError, match=r"step-000000005: keeps finite numbers only; weights model\.enc"):
        mmseq.train(experiment, output=tmp_path, callbacks=[Unseen()])
    assert _checkpoints(mmseq.Run(tmp_path / "toy"))[-1].progress.step == 4


class _Stop(pl.Callback):
    """Asks the run to stop after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        if module.step == self.step - 1:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_a_spike_is_not_learned_from_also_after_a_resume(toy: Path, stores: Path, tmp_path: Path) -> None:
    """Counted once, by a run left alone and by one that had just gone on, with the same numbers.

    Caught: the running mean not kept in the checkpoint; a spike that enters the mean.
    """
    settings = ["training.epochs=5", "training.guard.spike=8"]
    experiment = load(toy, stores, settings)
    whole = mmseq.train(experiment, output=tmp_path / "whole", callbacks=[Poison("loss", 1e6, [24, 26])])
    last = _checkpoints(whole)[-1]
    assert last.progress.guard.skipped == 2
    said = _warnings(whole)
    assert re.search(
        r"warning: step 24: the loss .* is a spike above .* \(training.guard.spike 8\); ", said[0]
    )
    mean = float(re.findall("above ([0-9.]+) ±", said[1])[0])
    assert mean < 10
    _must_be(last.weights, trained(experiment, [24, 26])[0])
    with pytest.raises(Interrupted):
        mmseq.train(experiment, output=tmp_path / "cut", callbacks=[_Stop(22)])
    run = mmseq.Run(tmp_path / "cut" / "toy")
    assert _checkpoints(run)[-1].progress.step == 22
    mmseq.train(experiment, resume=run, callbacks=[Poison("loss", 1e6, [24, 26])])
    again = _checkpoints(run)[-1]
    assert again.progress == last.progress
    _must_be(again.weights, last.weights)
    _must_be(again.moments, last.moments)


SCRIPT = """\
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import mmseq
from poison import Poison, load
poison = Poison({where!r}, {value}, {steps}, rank={rank})
mmseq.train(load(Path({yaml!r}), Path({stores!r}), {settings}), output={output!r}, callbacks=[poison])
assert poison.same == [True] * len({steps})
print(list(poison.samples.values()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "value", "steps", "rank", "settings"),
    [("input", "float('inf')", [3, 7], 1, []), ("gradient", "float('nan')", [4], 0, [HALVES])],
)
def test_a_step_that_is_bad_in_one_of_two_processes_is_taken_in_none(
    toy: Path,
    stores: Path,
    tmp_path: Path,
    in_processes: Any,
    where: str,
    value: str,
    steps: list[int],
    rank: int,
    settings: list[str],
) -> None:
    """The leader tells of it, whichever process had it.

    Caught: a process that judges by its own loss alone, and goes on; findings of the leader alone.
    """
    settings = [*settings, "training.precision=64-true"]
    words = {
        "here": str(Path(__file__).parent), "where": where, "value": value, "steps": steps, "rank": rank,
        "yaml": str(toy), "stores": str(stores), "settings": settings, "output": str(tmp_path),
    }  # fmt: skip
    processes = in_processes(SCRIPT.format(**words), 2)
    assert [ended.code for ended in processes] == [0, 0], [ended.err for ended in processes]
    run, experiment = mmseq.Run(tmp_path / "toy"), load(toy, stores, settings)
    poison = Poison(where, 0.0, steps)
    poison.samples = dict(zip(steps, eval(processes[rank].out), strict=True))
    _must_be_told(run, poison)
    last = _checkpoints(run)[-1]
    assert last.progress.guard.skipped == len(steps)
    weights, _ = trained(experiment, steps)
    for name, expected in weights.items():
        assert (last.weights[name] - expected).abs().max() <= 1e-9, name
