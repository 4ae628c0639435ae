"""`mmseq predict`."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

Run = Callable[..., Any]

COLUMNS = [
    "id", "time", "sick", "sick.p_no", "sick.p_yes", "level", "flags.low", "flags.high",
    "stage", "stage.p_early", "stage.p_late",
]  # fmt: skip


@pytest.fixture
def raw(toy: Path, toy_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a finished run, and raw inputs without any label."""
    shutil.copytree(toy_run.path, tmp_path / "run")
    (tmp_path / "raw").mkdir()
    for name in ("vitals", "codes", "samples"):
        shutil.copy(toy.parent / "data" / f"{name}.csv", tmp_path / "raw")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _predict(mmseq: Run, *arguments: object) -> Any:
    return mmseq("predict", "run", "--input", "raw", *arguments)


def test_every_format_holds_the_same(mmseq: Run, raw: Path) -> None:
    for ending in ("csv", "jsonl", "parquet"):
        outcome = _predict(mmseq, "-o", f"new/out.{ending}")
        assert (outcome.code, outcome.out, outcome.err) == (0, f"80 rows written to new/out.{ending}\n", "")
    table = pq.read_table("new/out.parquet")
    assert [name for name in table.column_names if not name.startswith("next")] == COLUMNS
    assert table["id"].to_pylist() == [f"p{i}" for i in range(80)]
    expected = table.to_pylist()
    assert [json.loads(line) for line in Path("new/out.jsonl").read_text().splitlines()] == expected
    with open("new/out.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, wanted in zip(rows, expected, strict=True):
        assert row["sick"] == wanted["sick"]
        assert float(row["level"]) == pytest.approx(wanted["level"])
    assert sorted(path.name for path in Path("new").iterdir()) == ["out.csv", "out.jsonl", "out.parquet"]


def test_every_step(mmseq: Run, raw: Path) -> None:
    assert _predict(mmseq, "-o", "last.parquet").code == 0
    outcome = _predict(mmseq, "-o", "steps.parquet", "--every-step")
    assert outcome.code == 0
    steps = pq.read_table("steps.parquet").to_pylist()
    assert outcome.out == f"{len(steps)} rows written to steps.parquet\n"
    assert len(steps) > 80
    final = {row["id"]: row for row in steps}
    for row in pq.read_table("last.parquet").to_pylist():
        assert final[row["id"]]["time"] == row["time"]
        assert final[row["id"]]["level"] == pytest.approx(row["level"], abs=1e-5)


@pytest.mark.parametrize("verb", ["predict", "impute"])
def test_the_input_is_never_written_over(mmseq: Run, raw: Path, verb: str) -> None:
    """Caught: a raw table replaced by what was guessed from it."""
    before = (raw / "raw" / "vitals.csv").read_bytes()
    outcome = mmseq(verb, "run", "--input", "raw", "-o", "./raw/vitals.csv")
    assert outcome.code == 2
    assert outcome.err == (
        "raw/vitals.csv: must not be of the input; came a file of raw; name another file\n"
    )
    assert (raw / "raw" / "vitals.csv").read_bytes() == before


def test_model_may_be_moved_away_from_its_run(mmseq: Run, raw: Path) -> None:
    shutil.copytree("run/model", "moved")
    shutil.rmtree("run")
    outcome = mmseq("predict", "moved", "-i", "raw", "-o", "out.csv")
    assert (outcome.code, outcome.err) == (0, "")


def test_unknown_categories_are_counted(mmseq: Run, raw: Path) -> None:
    path = raw / "raw" / "codes.csv"
    path.write_text(path.read_text().replace(",x\n", ",new\n"))
    n = path.read_text().count(",new\n")
    outcome = _predict(mmseq, "-o", "out.csv")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1:] == [
        f"warning: codes.code: {n} values that training never had; they count as unknown"
    ]


def _no_output(raw: Path) -> None:
    assert sorted(path.name for path in raw.iterdir()) == ["raw", "run"]


@pytest.mark.parametrize("name", ["out.txt", "out", "out.CSV", "out.parquet.gz"])
def test_wrong_ending_ends_with_2_before_anything_is_read(mmseq: Run, raw: Path, name: str) -> None:
    shutil.rmtree(raw / "raw")
    outcome = _predict(mmseq, "-o", name)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"{name}: predictions are written as .csv, .jsonl, .parquet; name such a file\n"


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "message"),
    [
        ("vitals", "heart", "haert", "vitals.csv: modality 'vitals' reads column 'heart'; the table has"),
        (
            "vitals",
            r"^p0,\d+",
            "p0,soon",
            "vitals.csv row 2, column 'minute': a time must be a finite number",
        ),
        ("samples", "^p1,", "p0,", "samples.csv row 2 and row 3, column 'id': the table of samples has one"),
    ],
)
def test_bad_inputs_end_with_2_and_no_output(
    mmseq: Run, raw: Path, file: str, pattern: str, replacement: str, message: str
) -> None:
    path = raw / "raw" / f"{file}.csv"
    path.write_text(re.sub(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE))
    outcome = _predict(mmseq, "-o", "out.csv")
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    _no_output(raw)


def test_a_file_for_a_folder_ends_with_2(mmseq: Run, raw: Path) -> None:
    """Caught: `raw/vitals.csv/vitals.csv` was said to be missing."""
    outcome = mmseq("predict", "run", "--input", "raw/vitals.csv", "-o", "out.csv")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        "--input raw/vitals.csv: must be the folder that holds the tables, as data.source.root is; a file "
        "came; name its folder, raw\n"
    )


def test_missing_input_ends_with_2(mmseq: Run, raw: Path) -> None:
    outcome = mmseq("predict", "run", "-i", "nowhere", "-o", "out.csv")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "--input nowhere: no such file or folder\n"
    _no_output(raw)


def test_output_that_cannot_be_written_ends_with_2(mmseq: Run, raw: Path) -> None:
    (raw / "out.csv").mkdir()
    outcome = _predict(mmseq, "-o", "out.csv")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("out.csv: cannot be written: ")
    assert not list((raw / "out.csv").iterdir())


def test_what_is_neither_run_nor_model_ends_with_2(mmseq: Run, raw: Path) -> None:
    outcome = mmseq("predict", "raw", "-i", "raw", "-o", "out.csv")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("raw: needs the folder of a run")
    _no_output(raw)


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "facts.json", "manifest.json"])
@pytest.mark.parametrize("model", ["run", "run/model"])
def test_flipped_bit_ends_with_1_and_the_file(mmseq: Run, raw: Path, name: str, model: str) -> None:
    path = raw / "run" / "model" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    outcome = mmseq("predict", model, "-i", "raw", "-o", "out.csv")
    assert (outcome.code, outcome.out) == (1, "")
    assert f"run/model/{name}" in outcome.err or name == "manifest.json"
    assert outcome.err.startswith("run/model/") and outcome.err.count("\n") == 1
    _no_output(raw)


@pytest.mark.parametrize("damage", ["missing", "short", "extra"])
def test_incomplete_model_ends_with_1_and_the_file(mmseq: Run, raw: Path, damage: str) -> None:
    path = raw / "run" / "model" / "weights.safetensors"
    if damage == "missing":
        path.unlink()
    elif damage == "short":
        path.write_bytes(path.read_bytes()[:-8])
    else:
        path = path.with_name("weights.pt")
        path.write_bytes(b"pickled")
    outcome = _predict(mmseq, "-o", "out.csv")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"run/model/{path.name}: ")
    _no_output(raw)
