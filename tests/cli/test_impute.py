"""`mmseq impute`: a table with gaps in, the same table filled and marked out."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml

from mmseq.cli.main import main, make_app
from mmseq.cores import cores
from mmseq.cores.nested import is_causal
from mmseq.heads import heads

Run = Callable[..., Any]

YAML = """\
name: gaps
data: {source: {kind: tables, root: data, id: id}, until: 9}
timeline: {unit: hours}
modalities:
  vitals: {kind: numeric, table: vitals.csv, time: hour, columns: [hr, bp]}
  ward: {kind: category, table: wards.csv, column: ward}
core: {kind: gru, hidden: 6}
tasks: {fill: {kind: imputation, modality: vitals, hide: 0.3}}
training: {epochs: 2, window: 4, batch: {samples: 8}, threads: 1, accelerator: cpu}
"""
HEADER = ["note", "id", "hour", "hr", "bp"]


def write_data(root: Path) -> list[list[str]]:
    """Rows in no order, with cells that are missing in several ways, and text that no number prints as."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(24):
        for hour in random.permutation(11):
            hr = random.choice(
                ["", "NA", "070.50", f"{60 + 10 * random.normal():.3f}"], p=[0.2, 0.1, 0.1, 0.6]
            )
            bp = "" if random.random() < 0.3 else f"{random.normal():.2f}"
            rows.append([f'a, "{hour}"', f"p{i}", f"{hour}.0", str(hr), bp])
    random.shuffle(rows)
    root.mkdir()
    with (root / "vitals.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([HEADER, *rows])
    wards = "".join(f"p{i},{'north' if i % 2 else 'south'}\n" for i in range(24))
    (root / "wards.csv").write_text(f"id,ward\n{wards}")
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gaps")
    write_data(root / "data")
    (root / "gaps.yaml").write_text(YAML)
    assert (
        main(["train", "-c", str(root / "gaps.yaml"), "-o", str(root), "--set", f"data.store={root / 's'}"])
        == 0
    )
    return root


@pytest.fixture
def run(folder: Path) -> Path:
    (found,) = {path.parent for path in folder.rglob("splits.json")}
    return found


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_fills_what_is_missing_and_nothing_else(mmseq: Run, folder: Path, run: Path, tmp_path: Path) -> None:
    """Caught: rows matched by their order in the file; the filled value of the row before."""
    output = tmp_path / "new" / "filled.csv"
    outcome = mmseq("impute", run, "--input", folder / "data", "--output", output)
    assert (outcome.code, outcome.err) == (0, "")
    header, *filled = _rows(output)
    before = _rows(folder / "data" / "vitals.csv")[1:]
    assert header == [*HEADER, "hr_imputed", "bp_imputed"] and len(filled) == len(before)
    counts = [0, 0]
    for old, new in zip(before, filled, strict=True):
        assert new[:3] == old[:3]
        late = float(old[2]) > 9  # after `until`
        for f, (was, now, mark) in enumerate(zip(old[3:], new[3:5], new[5:], strict=True)):
            filling = was in ("", "NA") and not late
            counts[f] += filling
            assert mark == str(filling).lower()
            assert np.isfinite(float(now)) if filling else now == was
    assert f"264 rows written to {output}; filled: {counts[0]} of hr, {counts[1]} of bp" in outcome.out
    assert "24 rows were left as they are" in outcome.out
    assert [path.name for path in output.parent.iterdir()] == ["filled.csv"]


def test_what_is_filled_is_what_the_task_says_at_the_step(
    mmseq: Run, folder: Path, run: Path, tmp_path: Path
) -> None:
    steps, filled = tmp_path / "steps.parquet", tmp_path / "filled.parquet"
    assert mmseq("predict", run, "-i", folder / "data", "-o", steps, "--every-step").code == 0
    assert mmseq("impute", run, "-i", folder / "data", "-o", filled).code == 0
    said = {(row["id"], row["time"]): row for row in pq.read_table(steps).to_pylist()}
    rows = [row for row in pq.read_table(filled).to_pylist() if float(row["hour"]) <= 9]
    assert len(said) == len(rows) == 240
    for row in rows:
        for feature in ("hr", "bp"):
            if row[f"{feature}_imputed"]:
                expected = said[row["id"], float(row["hour"])][f"fill.{feature}"]
                assert row[feature] == pytest.approx(expected, rel=1e-6)


def test_tables_keep_their_types(run: Path) -> None:
    """A float column stays one, whole numbers become floats; observed cells are bit-identical."""
    table = pa.table(
        {
            "id": ["x", "x", "y"],
            "hour": [2, 1, 1],
            "hr": pa.array([0.1, None, 70.3], pa.float32()),
            "bp": pa.array([None, 3, 5], pa.int64()),
        }
    )
    imputed = _impute(run, {"vitals.csv": table, "wards.csv": pa.table({"id": ["x"], "ward": ["north"]})})
    assert imputed.schema.field("hr").type == pa.float32()
    assert imputed["hr"].to_pylist()[::2] == table["hr"].to_pylist()[::2]
    assert imputed["bp"].to_pylist()[1:] == [3.0, 5.0]
    assert imputed["hr_imputed"].to_pylist() == [False, True, False]
    assert imputed["bp_imputed"].to_pylist() == [True, False, False]
    assert imputed["hour"].to_pylist() == [2, 1, 1]


def _impute(run: Path, tables: Any) -> pa.Table:
    import mmseq

    return mmseq.impute(run, tables).table


def test_without_a_row_nothing_is_filled(run: Path) -> None:
    table = pa.table({"id": ["x"], "hour": [10.0], "hr": [None], "bp": [1.0]})
    imputed = _impute(run, {"vitals.csv": table, "wards.csv": pa.table({"id": ["x"], "ward": ["north"]})})
    assert imputed["hr"].to_pylist() == [None] and imputed["hr_imputed"].to_pylist() == [False]


def test_the_page_on_missing_numbers_can_be_typed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "missing.md").read_text()
    tasks, core = (yaml.safe_load(part) for part in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    assert heads.parse(tasks["tasks"]["fill"]).kind == "imputation"
    assert not is_causal(cores.parse(core["core"]))
    (line,) = re.findall(r"```bash\nmmseq (.*?)\n```", page)
    verb, *words = line.split()
    typer.main.get_command(make_app()).commands[verb].make_context(verb, words)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out.xlsx"], "out.xlsx: predictions are written as .csv, .jsonl, .parquet"),
        (
            ["-o", "out.csv", "--task", "fil"],
            "--task fil: must be of kind 'imputation'; did you mean 'fill'?",
        ),
    ],
)
def test_what_is_wrong_is_told(
    mmseq: Run, folder: Path, run: Path, arguments: list[str], message: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = mmseq("impute", run, "-i", folder / "data", *arguments)
    assert outcome.code == 2 and message in re.sub(r"\s+", " ", outcome.err)
    assert not [*tmp_path.iterdir()]


def test_a_model_without_such_a_task_is_told(mmseq: Run, toy_run: Any, toy: Path, tmp_path: Path) -> None:
    outcome = mmseq("impute", toy_run.path, "-i", toy.parent / "data", "-o", tmp_path / "out.csv")
    assert outcome.code == 2 and "needs a task of kind 'imputation'; the model has none" in outcome.err
    assert not [*tmp_path.iterdir()]


def test_evaluate_shows_both_baselines(mmseq: Run, folder: Path, run: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(folder)
    outcome = mmseq("evaluate", run, "--split", "test")
    assert outcome.code == 0, outcome.err
    assert re.search(r"metric +┃ +model +┃ +baseline +┃ +mean", outcome.out), outcome.out
