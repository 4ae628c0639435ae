"""`mmseq generate`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmseq as package

Run = Callable[..., Any]

CYCLE = """\
name: cycle
data:
  source: {kind: tables, root: data, id: id}
  split: {train: 1, validation: 0, test: 0}
timeline: {resolution: 1s}
modalities:
  letter: {kind: category, table: letters.csv, time: t, column: letter}
  level: {kind: numeric, table: levels.csv, time: t, columns: [level]}
core: {kind: gru, hidden: 24}
tasks:
  next: {kind: next_step, modality: letter, time: true}
  next_level: {kind: next_step, modality: level, time: true, weight: 0.3}
training: {epochs: 40, batch: {samples: 4}, optimizer: {lr: 1e-2}, threads: 1, accelerator: cpu}
"""


@pytest.fixture(scope="module")
def cycle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a, b, c, a, … once a second, with a level of about 5, 6, 7, …; and two prefixes."""
    folder, random = tmp_path_factory.mktemp("cycle"), np.random.default_rng(0)
    for name, n_samples, length in (("data", 24, 12), ("prefix", 2, 4)):
        (folder / name).mkdir()
        letters, levels = ["id,t,letter"], ["id,t,level"]
        for i in range(n_samples):
            letters += [f"p{i},{t},{'abc'[(t + i) % 3]}" for t in range(length)]
            levels += [f"p{i},{t},{5 + (t + i) % 3 + random.normal() / 5:.3f}" for t in range(length)]
        (folder / name / "letters.csv").write_text("\n".join(letters) + "\n")
        (folder / name / "levels.csv").write_text("\n".join(levels) + "\n")
    (folder / "cycle.yaml").write_text(CYCLE)
    experiment = package.load_config(folder / "cycle.yaml", [f"data.store={folder / 'stores'}"])
    package.train(experiment, output=folder)
    return folder


@pytest.fixture
def work(cycle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("cycle", "prefix"):
        shutil.copytree(cycle / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_cycle_that_was_learned_goes_on(mmseq: Run, work: Path) -> None:
    outcome = mmseq("generate", "cycle", "--input", "prefix", "--horizon", 9, "--temperature", 0)
    assert (outcome.code, outcome.err) == (0, "")
    rows = _rows(outcome.out)
    for i in range(2):
        own = [row for row in rows if row["id"] == f"p{i}"]
        assert [row["time"] for row in own] == [float(t) for t in range(4, 13)]
        assert [row["letter"] for row in own] == ["abc"[(t + i) % 3] for t in range(4, 13)]
        expected = [5 + (t + i) % 3 for t in range(4, 13)]
        assert [row["level"] for row in own] == pytest.approx(expected, abs=0.5)
    assert all(row.keys() == {"id", "path", "time", "letter", "level"} for row in rows)


def test_a_file_holds_what_is_printed(mmseq: Run, work: Path) -> None:
    options = ("generate", "cycle", "-i", "prefix", "--steps", 3, "--n", 2, "--top-k", 2, "--seed", 5)
    outcome = mmseq(*options, "-o", "new/out.jsonl")
    assert (outcome.code, outcome.out, outcome.err) == (0, "12 lines written to new/out.jsonl\n", "")
    assert [path.name for path in (work / "new").iterdir()] == ["out.jsonl"]
    assert (work / "new" / "out.jsonl").read_text() == mmseq(*options).out
    assert {row["path"] for row in _rows(mmseq(*options).out)} == {0, 1}


def test_from_nothing(mmseq: Run, work: Path) -> None:
    outcome = mmseq("generate", "cycle", "--steps", 2)
    assert (outcome.code, outcome.err) == (0, "")
    assert [row["id"] for row in _rows(outcome.out)] == [None, None]


def test_quantiles(mmseq: Run, work: Path) -> None:
    arguments = ("--horizon", 4, "--n", 9, "--quantiles", "0.1, 0.9", "--every", 2)
    outcome = mmseq("generate", "cycle/model", "-i", "prefix", *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    rows = _rows(outcome.out)
    assert [(row["id"], row["time"], row["column"]) for row in rows] == [
        (id, t, "level.level") for id in ("p0", "p1") for t in (5, 7)
    ]
    assert all(row["0.1"] < row["0.9"] for row in rows)


def test_unknown_codes_are_told_beside_the_lines(mmseq: Run, work: Path) -> None:
    path = work / "prefix" / "letters.csv"
    path.write_text(path.read_text().replace(",a\n", ",new\n"))
    n = path.read_text().count(",new\n")
    told = f"warning: letter.letter: {n} values that training never had; they count as unknown\n"
    outcome = mmseq("generate", "cycle", "-i", "prefix", "--steps", 1)
    assert (outcome.code, outcome.err) == (0, told)
    assert len(_rows(outcome.out)) == 2
    assert mmseq("generate", "cycle", "-i", "prefix", "--steps", 1, "-o", "out.jsonl").out.endswith(told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "generate: something must say when to stop; neither came; set steps or horizon\n"),
        (("--steps", 0), "generate: steps must be at least 1; 0 came\n"),
        (("--steps", 1, "-i", "nowhere"), "--input nowhere: no such file or folder\n"),
        (
            ("--steps", 1, "-o", "out.csv"),
            "out.csv: what is generated is written as JSON lines; name a file that ends in .jsonl\n",
        ),
        (("--horizon", 1, "--quantiles", "0.1;0.9"), "needs numbers with commas between them"),
        (
            ("--horizon", 1, "--quantiles", "10"),
            "generate: quantiles must be numbers from 0 to 1; 10.0 came\n",
        ),
    ],
)
def test_bad_use_ends_with_2_and_no_output(
    mmseq: Run, work: Path, arguments: tuple[object, ...], message: str
) -> None:
    outcome = mmseq("generate", "cycle", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert sorted(path.name for path in work.iterdir()) == ["cycle", "prefix"]


def test_a_run_without_such_a_task_ends_with_2(mmseq: Run, toy_run: Any) -> None:
    outcome = mmseq("generate", toy_run.path, "--steps", 1)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(
        "generate: a task must predict a modality's next event and its time; none of "
    )
    assert outcome.err.endswith("give the run a task of kind next_step with time: true, and train again\n")
