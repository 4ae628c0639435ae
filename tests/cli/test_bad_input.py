"""Bad data end `mmseq prepare` and `mmseq train` with 2, where they are wrong, and nothing half-written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]

# What is changed (file, pattern, replacement), and what the message says; {row} is where the change is.
PREPARE: dict[str, tuple[tuple[str, str, str], str]] = {
    "missing column": (
        ("vitals.csv", "heart", "haert"),
        "data/vitals.csv: modality 'vitals' reads column 'heart'; the table has id, minute, haert, noise; "
        "did you mean 'haert'?",
    ),
    "missing label column": (
        ("labels.csv", "^id,sick,", "id,sik,"),
        "data/labels.csv: task 'sick' reads column 'sick'; the table has id, sik, level, low, high; "
        "did you mean 'sik'?",
    ),
    "missing column of the samples": (
        ("samples.csv", "ward", "Ward"),
        "data/samples.csv: modality 'ward' reads column 'ward'; the table has id, family, Ward, age; "
        "did you mean 'Ward'?",
    ),
    "missing column in capitals": (
        ("labels.csv", "^id,", "ID,"),
        "data/labels.csv: data.source.id reads column 'id'; the table has ID, sick, level, low, high; "
        "did you mean 'ID'?",
    ),
    "missing id column": (
        ("codes.csv", "^id", "patient"),
        "data/codes.csv: data.source.id reads column 'id'; the table has patient, minute, code",
    ),
    "duplicate sample": (
        ("samples.csv", "^p3,", "p2,"),
        "data/samples.csv row 4 and row 5, column 'id': the table of samples has one row a sample; "
        "'p2' comes twice; drop one",
    ),
    "two labels of a sample": (
        ("labels.csv", "^p3,", "p2,"),
        "data/labels.csv row 4 and row 5, column 'id': without a time column, 'sick' has one row a sample; "
        "sample 'p2' has 2; drop all but one, or name the `time` column",
    ),
    "unparsable time": (
        ("vitals.csv", r"^p3,\d+,", "p3,soon,"),
        "data/vitals.csv row {row}, column 'minute': a time must be a finite number, where its column does "
        "not begin with a date and time as 2024-02-28T10:00:00 is; 'soon' came; correct it or drop the row",
    ),
    "NaN time": (
        ("vitals.csv", r"^p3,\d+,", "p3,NaN,"),
        "data/vitals.csv row {row}, column 'minute': a time must be a finite number",
    ),
    "infinite time": (
        ("stages.csv", r"^p3,\d+,", "p3,inf,"),
        "data/stages.csv row {row}, column 'minute': a time must be a finite number",
    ),
    "missing time": (
        ("codes.csv", r"^p3,\d+,", "p3,,"),
        "data/codes.csv row {row}, column 'minute': a time must be a finite number",
    ),
    "text in a numeric column": (
        ("vitals.csv", r"^(p3,\d+,.*),.*$", r"\1,high"),
        "data/vitals.csv row {row}, column 'noise': a number must be finite, or missing; 'high' came; "
        "correct it or drop the row",
    ),
    "text in a numeric label": (
        ("labels.csv", r"^(p3,\w*),[^,]*", r"\1,much"),
        "data/labels.csv row 5, column 'level': a number must be finite, or missing; 'much' came",
    ),
    "label for an absent sample": (
        ("labels.csv", "^p3,", "nobody,"),
        "data/labels.csv row 5, column 'id': a label is for a sample that exists; 1 labels of task 'sick' "
        "are not, the first for 'nobody'; drop them, or set data.absent_labels: drop",
    ),
    "timed label for an absent sample": (
        ("stages.csv", "^p3,", "nobody,"),
        "data/stages.csv row {row}, column 'id': a label is for a sample that exists; 1 labels of task "
        "'stage' are not, the first for 'nobody'",
    ),
}


@pytest.mark.parametrize("verb", ["prepare", "train"])
@pytest.mark.parametrize("name", PREPARE)
def test_bad_cells_are_located(mmseq: Run, work: Any, name: str, verb: str) -> None:
    (file, pattern, replacement), message = PREPARE[name]
    row = work.row(f"data/{file}", pattern)
    work.edit(f"data/{file}", pattern, replacement)
    before = work.files()
    outcome = mmseq(verb, "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(str(work.path / message.format(row=row))), outcome.err
    assert work.files() == before


@pytest.mark.parametrize("table", ["vitals", "labels", "samples"])
def test_missing_file(mmseq: Run, work: Any, table: str) -> None:
    (work.path / "data" / f"{table}.csv").unlink()
    before = work.files()
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"{work.path}/data/{table}.csv: a table must be a file below `root`; ")
    assert work.files() == before


@pytest.mark.parametrize("table", ["vitals", "codes", "samples", "labels", "stages"])
def test_empty_table(mmseq: Run, work: Any, table: str) -> None:
    path = work.path / "data" / f"{table}.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    before = work.files()
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"{path}: a table needs rows; it has none; drop it or give it rows\n"
    assert work.files() == before


def test_modality_without_events(mmseq: Run, work: Any) -> None:
    """The table has rows, and none of them is left."""
    before = work.files()
    outcome = mmseq("train", "-c", "toy.yaml", "--set", "data.until=-1")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"{work.path}/data/vitals.csv: 'vitals' needs at least one event; of ")
    assert "after until" in outcome.err
    assert work.files() == before


def test_column_of_no_table_of_samples(mmseq: Run, work: Any) -> None:
    work.edit("toy.yaml", "^ *samples: samples.csv\\n", "")
    before = work.files()
    outcome = mmseq("train", "-c", "toy.yaml", "--set", "data.until=last")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        "data.until: 'last' is a column of the table of samples, and there is none; name it as data.samples\n"
    )
    assert work.files() == before


def test_modality_without_events_in_the_training_split(mmseq: Run, work: Any) -> None:
    (work.path / "data" / "codes.csv").write_text("id,minute,code\np79,3,x\n")
    _split_file(work, train=range(60), test=range(60, 80))
    outcome = mmseq("train", "-c", "toy.yaml", "--set", "training.monitor=null")
    assert (outcome.code, outcome.out) == (2, "")
    assert "codes.csv: the modality needs events in the training split; it has none" in outcome.err
    _no_run_and_whole_stores(work)


def _split_file(work: Any, **splits: range) -> None:
    """Divides by a file, without groups."""
    (work.path / "split.json").write_text(json.dumps({k: [f"p{i}" for i in v] for k, v in splits.items()}))
    work.edit("toy.yaml", "split: .*", "split: {file: split.json}")
    work.edit("toy.yaml", ", group: family", "")


def _no_run_and_whole_stores(work: Any) -> None:
    """The data could be stored; it is what a model makes of them that is wrong."""
    assert not (work.path / "runs").exists()
    stores = list((work.path / ".mmseq" / "stores").iterdir())
    assert all((store / "manifest.json").is_file() for store in stores)


def test_group_in_two_splits_of_a_file(mmseq: Run, work: Any) -> None:
    _split_file(work, train=range(60), validation=range(60, 80))
    work.edit("toy.yaml", "id: id", "id: id, group: family")
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"{work.path}/split.json: group '0' must stand in one split; it is in both train (sample 'p0') and "
        "validation (sample 'p60'); move one of them\n"
    )
    _no_run_and_whole_stores(work)


def test_group_in_two_splits_of_a_column(mmseq: Run, work: Any) -> None:
    path = work.path / "data" / "samples.csv"
    header, *rows = path.read_text().splitlines()
    split = [f"{row},{'train' if i < 60 else 'validation'}" for i, row in enumerate(rows)]
    path.write_text("\n".join([f"{header},part", *split]) + "\n")
    work.edit("toy.yaml", "split: .*", "split: {column: part}")
    before = work.files()
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"{path} row 2 and row 62, column 'part': group '0' must stand in one split; it is in both train "
        "(sample 'p0') and validation (sample 'p60'); move one of them\n"
    )
    assert work.files() == before


def test_split_that_is_none(mmseq: Run, work: Any) -> None:
    work.edit("data/samples.csv", "^id,", "part,id,")
    path = work.path / "data" / "samples.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text(
        "\n".join([header, *(f"{'valid' if i == 9 else 'train'},{r}" for i, r in enumerate(rows))])
    )
    work.edit("toy.yaml", "split: .*", "split: {column: part}")
    before = work.files()
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(
        f"{path} row 11, column 'part': a split is one of train, validation, test; valid"
    )
    assert work.files() == before


@pytest.mark.parametrize("split", ["validation", "test"])
def test_class_that_only_another_split_has(mmseq: Run, work: Any, split: str) -> None:
    splits = {"train": range(50), "validation": range(50, 65), "test": range(65, 80)}
    _split_file(work, **splits)
    sample = f"p{splits[split][2]}"
    work.edit("data/labels.csv", rf"^{sample},\w*,", f"{sample},maybe,")
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    row = work.row("data/labels.csv", f"^{sample},")
    assert outcome.err == (
        f"{work.path}/data/labels.csv row {row}, sample '{sample}': task 'sick', column sick: 'maybe' has a "
        "label here but none in the training split, which has 'no', 'yes'; split otherwise, or drop or merge "
        "the class\n"
    )
    _no_run_and_whole_stores(work)


def test_class_of_a_step_that_only_another_split_has(mmseq: Run, work: Any) -> None:
    _split_file(work, train=range(50), validation=range(50, 80))
    row = work.row("data/stages.csv", "^p70,") + 1
    lines = (work.path / "data" / "stages.csv").read_text().splitlines()
    sample, minute, _ = lines[row - 1].split(",")
    lines[row - 1] = f"{sample},{minute},never"
    (work.path / "data" / "stages.csv").write_text("\n".join(lines) + "\n")
    outcome = mmseq("train", "-c", "toy.yaml")
    assert outcome.code == 2
    where = f"{work.path}/data/stages.csv row {row}, sample '{sample}': task 'stage', column stage: 'never' "
    assert outcome.err.startswith(where), outcome.err


@pytest.mark.parametrize(("written", "came"), [("3.0", "3"), ("true", "True"), (" odd ", " odd ")])
def test_refused_class_is_found_as_it_was_written(mmseq: Run, work: Any, written: str, came: str) -> None:
    """A store has one text for 3 and 3.0; the table may not."""
    _split_file(work, train=range(50), validation=range(50, 80))
    work.edit("data/labels.csv", r"^p70,\w*,", f"p70,{written},")
    outcome = mmseq("train", "-c", "toy.yaml")
    row = work.row("data/labels.csv", "^p70,")
    assert outcome.err.startswith(
        f"{work.path}/data/labels.csv row {row}, sample 'p70': task 'sick', column sick: {came!r} has a "
    ), outcome.err


def test_refused_label_of_a_sample_whose_id_is_a_number(mmseq: Run, work: Any) -> None:
    """Ids are one text, too: 70.0 here is 70 there."""
    for file in ("vitals", "codes", "samples", "labels", "stages"):
        path = work.path / "data" / f"{file}.csv"
        path.write_text(re.sub("^p", "", path.read_text(), flags=re.MULTILINE))
    splits = {"train": range(50), "validation": range(50, 80)}
    (work.path / "split.json").write_text(json.dumps({k: [str(i) for i in v] for k, v in splits.items()}))
    work.edit("toy.yaml", "split: .*", "split: {file: split.json}")
    work.edit("toy.yaml", ", group: family", "")
    work.edit("data/labels.csv", r"^(70),(.*),\d?$", r"\1.0,\2,7.0")
    outcome = mmseq("train", "-c", "toy.yaml")
    row = work.row("data/labels.csv", "^70.0,")
    assert outcome.err.startswith(
        f"{work.path}/data/labels.csv row {row}, sample '70': task 'flags', column high: labels must "
    ), outcome.err


@pytest.mark.parametrize("sample", ["p3", "p70"], ids=["train", "validation"])
def test_label_that_is_neither_0_nor_1(mmseq: Run, work: Any, sample: str) -> None:
    _split_file(work, train=range(50), validation=range(50, 80))
    work.edit("data/labels.csv", rf"^({sample},.*),\d?$", r"\1,7")
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    row = work.row("data/labels.csv", f"^{sample},")
    assert outcome.err == (
        f"{work.path}/data/labels.csv row {row}, sample '{sample}': task 'flags', column high: labels must "
        "be 0 or 1, or missing; got 7; correct it\n"
    )
    _no_run_and_whole_stores(work)


def test_training_split_without_a_label(mmseq: Run, work: Any) -> None:
    """Caught: it was told without the file, and without what to do."""
    path = work.path / "data" / "labels.csv"
    path.write_text("id,sick,level,low,high\np79,,,1,1\n")
    _split_file(work, train=range(60), test=range(60, 80))
    sets = ("training.monitor=null", "tasks={flags: {kind: multilabel, table: labels.csv, columns: [low]}}")
    outcome = mmseq("train", "-c", "toy.yaml", *(word for value in sets for word in ("--set", value)))
    assert (outcome.code, outcome.out, outcome.err) == (
        2,
        "",
        f"{path}: task 'flags', column low: has no label in the training split; drop it, or divide the "
        "samples otherwise (data.split)\n",
    )
    _no_run_and_whole_stores(work)


def test_training_split_without_a_second_class(mmseq: Run, work: Any) -> None:
    path = work.path / "data" / "labels.csv"
    path.write_text(path.read_text().replace("yes", "no"))
    outcome = mmseq("train", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"{path}: task 'sick', column sick: needs at least two classes in the training split; it has only "
        "'no'; drop it, or divide the samples otherwise (data.split)\n"
    )
    _no_run_and_whole_stores(work)
