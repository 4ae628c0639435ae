"""`mmseq train`."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmseq.training.keeper import Keeper

Run = Callable[..., Any]

SHORT = ("--set", "training.epochs=1")


def test_leaves_a_run_and_says_what_to_type_next(mmseq: Run, work: Any) -> None:
    outcome = mmseq("train", "-c", "toy.yaml", *SHORT)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-2:] == [
        "run folder: runs/toy",
        "next: mmseq evaluate runs/toy --split test",
    ]
    for title in ("inputs", "tasks", "training", "validation split"):
        assert any(line.startswith(title) for line in outcome.out.splitlines())
    assert re.search("^epoch 1  step 6  loss ", outcome.out, re.MULTILINE)
    run = work.path / "runs" / "toy"
    assert (run / "config.yaml").read_text() == (work.path / "toy.yaml").read_text()
    assert "epochs: 1" in (run / "config.resolved.yaml").read_text()
    assert not list(run.rglob(".*"))


def test_the_plan_counts_labels_not_rows(mmseq: Run, work: Any) -> None:
    work.edit("toy.yaml", "split: .*", "split: {train: 1, validation: 0, test: 0}")
    outcome = mmseq("train", "-c", "toy.yaml", *SHORT, "--set", "training.monitor=null")
    rows = (work.path / "data" / "labels.csv").read_text().splitlines()[1:]
    n_labels = sum(row.split(",")[1] != "" for row in rows)
    (plan,) = re.findall(r"sick .*classification\D+(\d+)", outcome.out)
    assert int(plan) == n_labels < len(rows)


def test_the_plan_counts_what_was_dropped(mmseq: Run, work: Any) -> None:
    options = ("--set", "data.until=50", "--set", "training.monitor=null")
    outcome = mmseq("train", "-c", "toy.yaml", *SHORT, *options)
    assert outcome.code == 0
    late = {}
    for name in ("vitals", "stages"):
        rows = (work.path / "data" / f"{name}.csv").read_text().splitlines()[1:]
        late[name] = sum(float(row.split(",")[1]) > 50 for row in rows)
    shown = " ".join(outcome.out.split())
    (vitals,) = re.findall(r"│ vitals .*?│ (\d+) after until", shown)
    (stages,) = re.findall(r"│ stage .*?│ (?:\d+ before the first step, )?(\d+) kept after until", shown)
    assert (int(vitals), int(stages)) == (late["vitals"], late["stages"])


@pytest.mark.filterwarnings("default::UserWarning")
def test_what_is_strange_in_the_data_is_told_in_a_line(mmseq: Run, work: Any) -> None:
    """Caught: it came as a warning of Python, with the file and the line of our code."""
    outcome = mmseq("train", "-c", "toy.yaml", *SHORT, "--set", "modalities.codes.min_count=1000")
    assert outcome.code == 0
    (line,) = outcome.err.splitlines()
    assert re.fullmatch(
        r"warning: codes\.code: \d+ values that training never had; they count as unknown", line
    )


def test_a_second_run_has_a_folder_of_its_own(mmseq: Run, work: Any) -> None:
    for _ in range(2):
        outcome = mmseq("train", "-c", "toy.yaml", *SHORT, "--output", "a folder")
        assert outcome.code == 0
    assert sorted(path.name for path in (work.path / "a folder").iterdir()) == ["toy", "toy-2"]
    assert outcome.out.splitlines()[-1] == "next: mmseq evaluate 'a folder/toy-2' --split test"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "train: needs one of --config FILE and --resume RUN"),
        (["-c", "toy.yaml", "--resume", "runs/toy"], "train: needs one of --config FILE and --resume RUN"),
        (
            ["-c", "toy.yaml", "--from", "step-000000000"],
            "train --from: names a checkpoint of the run to",
        ),
        (["--resume", "data"], "data: needs the folder of a run"),
        (["-c", "none.yaml"], "none.yaml: cannot be read"),
        (["-c", "toy.yaml", "--set", "core.kind=lstmm"], "unknown kind 'lstmm'; known: "),
        (["-c", "toy.yaml", "--set", "fusion.kind=mine"], "name its file under `plugins:` or by --plugin"),
        (["-c", "toy.yaml", "--set", "training.monitor=sick/aurok"], "'aurok'; did you mean 'auroc'?"),
        (["--resume", "runs/toy", "--output", "runs"], "train --resume: a run goes on where it is; leave --"),
        (["-c", "toy.yaml", "--output", "toy.yaml"], "toy.yaml/toy: a run's folder cannot be made there"),
        (["-c", "toy.yaml", "--plugin", "none.py"], "--plugin none.py: no such file"),
    ],
)
def test_wrong_use_ends_with_2_and_no_run(mmseq: Run, work: Any, arguments: list[str], message: str) -> None:
    outcome = mmseq("train", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert not (work.path / "runs").exists()


def test_a_column_that_would_be_told_as_another(mmseq: Run, work: Any) -> None:
    """Caught: predictions of the column `heart.scale` stood in the place of the scale of `heart`."""
    work.edit("data/vitals.csv", "heart,noise", "heart,heart.scale")
    work.edit("toy.yaml", r"\[heart, noise\]", "[heart, heart.scale]")
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out, outcome.err) == (
        2,
        "",
        "tasks.next: a column of predictions must have a name of its own; 'heart.scale' is a column of the "
        "data, and what is told of another; rename it in the data\n",
    )
    assert not (work.path / "runs").exists()


def test_metric_that_only_the_data_tell_is_looked_for_before_training(mmseq: Run, work: Any) -> None:
    work.edit("toy.yaml", "monitor: .*", "monitor: next/mae.hart")
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    row = work.row("toy.yaml", "monitor: ")
    assert outcome.err.startswith(
        f"toy.yaml:{row}:12: training.monitor: must name a metric of task 'next', after the /; came "
    ), outcome.err
    assert "did you mean 'mae.heart'?" in outcome.err
    assert outcome.err.endswith(f"  monitor: next/mae.hart\n    {' ' * 11}^\n")
    assert not (work.path / "runs").exists()


def test_a_metric_that_is_best_in_between_picks_no_epoch(mmseq: Run, work: Any) -> None:
    work.edit("toy.yaml", "kind: regression", "kind: quantile")
    work.edit("toy.yaml", "monitor: .*", "monitor: level/coverage")
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert (
        "training.monitor: needs a metric that is better when it is more, or less; 'coverage' is"
        in outcome.err
    )
    assert "best in between; name another of task 'level'" in outcome.err
    assert not (work.path / "runs").exists()


def _validation_without(work: Any, file: str) -> None:
    """Leaves the last samples for validation, and no label of theirs in a file."""
    splits = {"train": range(60), "validation": range(60, 80)}
    (work.path / "split.json").write_text(json.dumps({k: [f"p{i}" for i in v] for k, v in splits.items()}))
    work.edit("toy.yaml", "split: .*", "split: {file: split.json}")
    work.edit("toy.yaml", ", group: family", "")
    _drop_last(work, file)


def _drop_last(work: Any, *files: str) -> None:
    """Drops the rows of the last samples."""
    for file in files:
        path = work.path / "data" / file
        rows = path.read_text().splitlines()
        path.write_text("\n".join(row for row in rows if not re.match("p[67]\\d,", row)) + "\n")


@pytest.mark.parametrize(("file", "task"), [("labels.csv", "sick"), ("vitals.csv", "next")])
def test_monitored_task_without_a_validation_label(mmseq: Run, work: Any, file: str, task: str) -> None:
    _validation_without(work, file)
    work.edit("toy.yaml", "monitor: .*", f"monitor: {task}/loss")
    outcome = mmseq("train", "-c", "toy.yaml", *SHORT)
    assert (outcome.code, outcome.out) == (2, "")
    row = work.row("toy.yaml", "monitor: ")
    assert outcome.err.startswith(
        f"toy.yaml:{row}:12: training.monitor: looks at the validation split, which has no label of "
        f"'{task}'; monitor another task, or see data.split\n"
    ), outcome.err
    assert not (work.path / "runs").exists()


def test_patience_without_any_validation_label(mmseq: Run, work: Any) -> None:
    _validation_without(work, "labels.csv")
    _drop_last(work, "vitals.csv", "stages.csv")
    options = ("--set", "training.monitor=null", "--set", "training.patience=2")
    outcome = mmseq("train", "-c", "toy.yaml", *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("--set training.patience=2: training.patience: looks at the validation ")
    assert mmseq("train", "-c", "toy.yaml", *SHORT, *options[:2]).code == 0


def test_finished_run_has_nothing_left_to_do(mmseq: Run, work: Any) -> None:
    mmseq("train", "-c", "toy.yaml", *SHORT)
    before = work.files()
    outcome = mmseq("train", "--resume", "runs/toy")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("runs/toy: training has ended already; nothing is left to do")
    assert work.files() == before


def test_run_that_was_killed_before_its_model_was_written_is_finished(mmseq: Run, work: Any) -> None:
    mmseq("train", "-c", "toy.yaml", *SHORT)
    model = work.path / "runs" / "toy" / "model"
    model.rename(work.path / "whole")
    assert mmseq("train", "--resume", "runs/toy").code == 0
    for path in (work.path / "whole").iterdir():
        assert path.read_bytes() == (model / path.name).read_bytes()


def test_run_without_a_checkpoint_says_how_to_start_anew(mmseq: Run, work: Any) -> None:
    mmseq("train", "-c", "toy.yaml", *SHORT)
    run = work.path / "runs" / "toy"
    for path in (run / "model", *(run / "checkpoints").glob("step-*")):
        path.rename(work.path / path.name)
    outcome = mmseq("train", "--resume", "runs/toy")
    assert (outcome.code, outcome.out) == (2, "")
    assert "start anew with `mmseq train --config runs/toy/config.resolved.yaml`" in outcome.err
    assert mmseq("train", "--config", "runs/toy/config.resolved.yaml").code == 0


def test_only_how_it_is_worked_out_may_change_on_the_way(mmseq: Run, work: Any) -> None:
    mmseq("train", "-c", "toy.yaml", *SHORT)
    run = work.path / "runs" / "toy"
    (run / "model").rename(work.path / "model")
    outcome = mmseq("train", "--resume", "runs/toy", "--set", "training.optimizer.lr=0.5")
    assert (outcome.code, outcome.out) == (2, "")
    told = "--resume: a run goes on as it began; training.optimizer.lr was 0.01, and 0.5 came; leave it out"
    assert told in outcome.err and "training.devices" in outcome.err
    assert mmseq("train", "--resume", "runs/toy", "--set", "training.workers=1").code == 0


def test_damaged_checkpoint_is_refused_and_the_one_before_it_offered(mmseq: Run, work: Any) -> None:
    mmseq("train", "-c", "toy.yaml", "--set", "training.checkpoint.steps=5")
    run = work.path / "runs" / "toy"
    (run / "model").rename(work.path / "whole")
    *_, before, last = sorted((run / "checkpoints").glob("step-*"))
    (last / "weights.safetensors").write_bytes((last / "weights.safetensors").read_bytes()[:-1])
    outcome = mmseq("train", "--resume", "runs/toy")
    assert (outcome.code, outcome.out) == (1, "")
    assert f"{last}/weights.safetensors: needs " in outcome.err.replace("runs/", f"{work.path}/runs/")
    command = f"mmseq train --resume runs/toy --from {before.name}"
    assert f"{before.name} before it is whole: go on from there with `{command}`" in outcome.err
    assert mmseq(*command.split()[1:]).code == 0
    for path in (work.path / "whole").iterdir():
        assert path.read_bytes() == (run / "model" / path.name).read_bytes()
    assert (last.parent / f"{last.name}.left").is_dir() and last.is_dir()


def test_several_processes_go_on_from_the_checkpoint_that_was_named(
    mmseq: Run, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caught: a name that the processes started here are not told."""
    mmseq("train", "-c", "toy.yaml", *SHORT, "--set", "training.checkpoint.steps=2")
    (work.path / "runs" / "toy" / "model").rename(work.path / "model")
    told: list[list[str]] = []
    monkeypatch.setattr(
        "mmseq.training.train.launch", lambda arguments, size: told.append([*arguments, size])
    )
    arguments = ["--from", "step-000000004", "--set", "training.devices=2"]
    assert mmseq("train", "--resume", "runs/toy", *arguments).code == 0
    ((verb, *rest, size),) = told
    assert (verb, size) == ("train", 2) and rest[:4] == ["--resume", "runs/toy", *arguments[:2]]
    assert {"training.devices=2", "training.workers=0", "data.shard_events=2000000"} < set(rest)
    assert any(word.startswith("training.checkpoint=") and '"steps": 2' in word for word in rest)


PLUGIN = """\
from typing import Literal

from mmseq.encoders import encoders
from mmseq.encoders.linear import LinearConfig, LinearEncoder


class OwnConfig(LinearConfig):
    kind: Literal["own_linear"]


@encoders.register(OwnConfig)
class OwnEncoder(LinearEncoder):
    pass
"""

TRAIN = """\
import os, signal, sys
from mmseq.cli.main import run
from mmseq.training.keeper import Keeper

original = Keeper.on_train_batch_end

def hook(self, trainer, module, *rest):
    if module.step == {step}:
        os.kill(os.getpid(), {number})
    original(self, trainer, module, *rest)

Keeper.on_train_batch_end = hook
sys.argv = ["mmseq", *{arguments}]
run()
"""


def _train_interrupted(step: int, number: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`mmseq train` in a process of its own, which a signal reaches after a step."""
    script = TRAIN.format(step=step, number=int(number), arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_goes_on_by_the_command_it_printed(work: Any, number: signal.Signals) -> None:
    """With a plugin, which the command has to name, in a folder whose name has a space."""
    (work.path / "own.py").write_text(PLUGIN)
    work.edit("toy.yaml", "columns: .heart, noise.", "columns: [heart, noise], encoder: {kind: own_linear}")
    arguments = ["-c", "toy.yaml", "--plugin", "own.py", "--set", "training.epochs=3"]
    done = _train_interrupted(9, number, "train", *arguments, "--output", "my runs")
    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr
    message = (
        "interrupted after step 9; a checkpoint was written: go on with `mmseq train --resume 'my runs/toy'"
    )
    assert done.stderr.startswith(message)
    (command,) = re.findall("`(mmseq .*)`", done.stderr)
    assert not (work.path / "my runs" / "toy" / "model").exists()
    program, *words = shlex.split(command)
    on = subprocess.run(
        [Path(sys.executable).with_name(program), *words], capture_output=True, text=True, timeout=300
    )
    assert on.returncode == 0, on.stderr
    assert _train_interrupted(-1, number, "train", *arguments, "--output", "whole").returncode == 0
    for name in ("model/weights.safetensors", "metrics.csv", "metrics/validation.json"):
        cut, whole = (work.path / folder / "toy" / name for folder in ("my runs", "whole"))
        assert cut.read_bytes() == whole.read_bytes(), name


def test_signal_amid_training_ends_with_its_code(
    mmseq: Run, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    original = Keeper.on_train_batch_end

    def hook(self: Keeper, trainer: Any, module: Any, *rest: Any) -> None:
        if module.step == 6 and not told:  # the end of the first epoch, so amid its validation
            told.append(os.getpid())
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, trainer, module, *rest)

    monkeypatch.setattr(Keeper, "on_train_batch_end", hook)
    outcome = mmseq("train", "-c", "toy.yaml", "--set", "training.epochs=2")
    assert outcome.code == 143
    assert outcome.err == (
        "interrupted after step 5; a checkpoint was written: go on with `mmseq train --resume runs/toy`\n"
    )
    assert "epoch 1  step 6  " not in outcome.out
    again = mmseq("train", "--resume", "runs/toy")
    assert again.code == 0 and "epoch 1  step 6  " in again.out


def test_a_gradient_that_is_not_finite_ends_with_1(
    mmseq: Run, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.edit("toy.yaml", "lr: 1e-2", "lr: 1e38, kind: sgd, warmup: 0")
    outcome = mmseq("train", "-c", "toy.yaml", "--set", "training.clip=null")
    assert outcome.code == 1
    assert re.match(r"step \d+: needs finite numbers; these are not: the output of ", outcome.err), (
        outcome.err
    )
    assert "; 3 bad steps in a row end training" in outcome.err
    assert "lower training.optimizer.lr" in outcome.err
    assert mmseq("train", "--resume", "runs/toy").code == 1  # from a checkpoint that is whole
