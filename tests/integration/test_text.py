"""Raw texts of any sort through whole runs: out of tables, out of a bundle, and live."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from rich.console import Console

import mmseq
from mmseq.cli.main import main
from mmseq.errors import DataError
from mmseq.fit import fit

pytestmark = pytest.mark.filterwarnings("ignore:.*values that training never had:UserWarning")

ODD = [
    "plain words", "  spaces  around  ", '"quoted", with, commas', "two\nlines", "tab\there", "ünïcødé",
    "cafe\u0301", "🎉👩‍👩‍👧", "\u200f\u202eright to left", "नमस्ते 你好", "0", "3.50", "true", "[1, 2]",
    "   ", "a" * 5_000, "word " * 700, "\ufeffmark", "\ufffd", "it’s", "NULL", "nan.",
]  # fmt: skip
GRU = {"kind": "gru", "hidden": 4}
TOKENS: dict[str, dict[str, Any]] = {
    "bytes": {"tokens": {"kind": "bytes"}, "longest": 60, "encoder": {"kind": "text", "core": GRU}},
    "characters": {"tokens": {"kind": "characters"}},
    "words": {},
    "bpe": {"tokens": {"kind": "bpe", "size": 300}},
}


def write_tables(folder: Path, n: int = 30) -> dict[str, list[tuple[int, str]]]:
    """CSV tables of samples that say odd things, some of them nothing; what each says, by time."""
    folder.mkdir()
    said: dict[str, list[tuple[int, str]]] = {}
    with (folder / "notes.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "time", "note"])
        for i in range(n):
            texts = [ODD[(i + j) % len(ODD)] for j in range(4)]
            said[f"s{i}"] = list(enumerate(texts))
            table.writerows([f"s{i}", time, text] for time, text in said[f"s{i}"])
            table.writerow([f"s{i}", 4, "" if i % 2 else "n/a"])  # is missing, and no event
            table.writerows([[f"s{i}", 5, "at once"], [f"s{i}", 5, "and more"]])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "y"], *([f"s{i}", "ab"[i % 2]] for i in range(n))])
    return said


def tree(folder: Path, modality: dict[str, Any], **more: Any) -> dict[str, Any]:
    notes = {"kind": "text", "table": "notes.csv", "time": "time", "column": "note", "longest": 600}
    return {
        "name": "odd",
        "data": {
            "source": {"kind": "tables", "root": str(folder), "id": "id", "missing": ["", "n/a"]},
            "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
            "store": str(folder / "stores"),
        },
        "modalities": {"notes": {**notes, **modality}},
        "core": {"kind": "gru", "hidden": 8},
        "tasks": {"y": {"kind": "classification", "table": "labels.csv", "column": "y"}},
        "training": {"epochs": 1, "threads": 1, "precision": "64-true"},
        **more,
    }


@pytest.mark.parametrize("kind", TOKENS)
def test_odd_texts_give_the_same_live(tmp_path: Path, kind: str) -> None:
    """Out of CSV files, pushed one by one, and pushed with what stands for missing among several."""
    pytest.importorskip("tokenizers")
    said = write_tables(tmp_path / "data")
    run = mmseq.train(mmseq.load_config(tree(tmp_path / "data", TOKENS[kind])), output=tmp_path)
    model = mmseq.Run(run.path).model()
    rows = {row["id"]: row for row in model.predict(tmp_path / "data").to_pylist()}
    stream = mmseq.Stream(model)
    for id, texts in said.items():
        for time, text in texts:
            stream.push(id, time, {"notes": text if time % 2 else [{"note": text}]})
        answer = stream.push(id, 5, {"notes": ["at once", "n/a", "and more", ""]})
        assert answer is not None and answer["y.p_a"] == pytest.approx(rows[id]["y.p_a"], abs=1e-10)
    assert len({row["y.p_a"] for row in rows.values()}) > 10


def test_learned_from_the_training_split_alone(tmp_path: Path) -> None:
    """Other texts in the other splits change no fact, for every way of cutting."""
    pytest.importorskip("tokenizers")
    rng, found = np.random.default_rng(0), {}
    splits = ["train"] * 20 + ["validation"] * 5 + ["test"] * 5
    train = [" ".join(rng.choice(ODD, 3)) for _ in range(20)]
    for others in ("one", "quite another ☃"):
        texts = [*train, *[others] * 10]
        ids = [f"s{i}" for i in range(30)]
        data = {
            "samples": pyarrow.table({"id": ids, "split": splits, "y": ["a", "b"] * 15}),
            "notes": pyarrow.table({"id": ids, "time": [0.0] * 30, "note": texts}),
        }
        for kind, modality in TOKENS.items():
            experiment = tree(tmp_path, {**modality, "table": "notes"})
            experiment["data"] = {"source": {"kind": "memory"}, "split": {"column": "split"},
                                  "store": str(tmp_path / "stores")}  # fmt: skip
            experiment["tasks"]["y"]["table"] = "samples"
            store = mmseq.prepare(loaded := mmseq.load_config(experiment), data)
            facts = fit(loaded, store, np.arange(20)).to_json()["modalities"]["notes"]
            assert found.setdefault(kind, facts) == facts
            assert (
                fit(loaded, store, np.arange(30)).to_json()["modalities"]["notes"] != facts or kind == "bytes"
            )


def test_a_taken_tokenizer_goes_along_in_the_bundle(tmp_path: Path) -> None:
    """Nothing is opened when a bundle is loaded, and what was cut short is told before training."""
    tokenizers = pytest.importorskip("tokenizers")
    said = write_tables(tmp_path / "data")
    own = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"[UNK]": 0, "word": 1, "two": 2}, unk_token="[UNK]")
    )
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    own.save(str(tmp_path / "own.json"))
    modality = {"tokens": {"kind": "bpe", "file": str(tmp_path / "own.json")}, "longest": 3}
    console = Console(record=True, width=200, quiet=False)
    experiment = mmseq.load_config(tree(tmp_path / "data", modality))
    run = mmseq.train(experiment, output=tmp_path, console=console)
    assert "longer than 3 tokens" in console.export_text()
    (tmp_path / "own.json").unlink()
    model = mmseq.Run(run.path).model()
    stream = mmseq.Stream(model)
    stream.push("x", 1.0, {"notes": "word two three"})
    assert stream.unknown == {"notes.note": 1}
    assert len(said) == 30


def test_the_next_text_is_told_apart(tmp_path: Path) -> None:
    """Contrast, since texts have no likelihood; and texts may be static."""
    write_tables(tmp_path / "data")
    experiment = tree(tmp_path / "data", TOKENS["bytes"])
    experiment["tasks"] = {"next": {"kind": "next_step", "modality": "notes", "negatives": 4}}
    run = mmseq.train(mmseq.load_config(experiment), output=tmp_path)
    assert run.read_report("validation")["next"]["metrics"]
    with (tmp_path / "data" / "about.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([f"s{i}", "ab"[i % 2]] for i in range(0, 30, 3))])
    experiment = tree(tmp_path / "data", {})
    experiment["modalities"]["about"] = {"kind": "text", "table": "about.csv", "column": "text"}
    run = mmseq.train(mmseq.load_config(experiment), output=tmp_path)
    assert len(run.model().predict(tmp_path / "data")) == 30


BAD: list[tuple[list[Any], str]] = [
    ([["a", "b"]], "a text is text; the column holds"),
    ([3.5], "a text is text; the column holds double; '3.5' came"),
    ([b"bytes"], "a text is text; the column holds binary"),
]


@pytest.mark.parametrize(("cells", "told"), BAD, ids=["lists", "numbers", "bytes"])
def test_what_is_no_text_is_told_with_its_row(tmp_path: Path, cells: list[Any], told: str) -> None:
    data = {
        "samples": pyarrow.table({"id": ["s0"], "y": ["a"]}),
        "notes": pyarrow.table({"id": ["s0"], "time": [0.0], "note": cells}),
    }
    experiment = tree(tmp_path, {"table": "notes"})
    experiment["data"] |= {"source": {"kind": "memory"}, "split": {"train": 1.0, "validation": 0, "test": 0}}
    experiment["tasks"]["y"]["table"] = "samples"
    with pytest.raises(DataError, match=f"notes.*row 1.*column 'note': {told}"):
        mmseq.prepare(mmseq.load_config(experiment), data)


def test_a_missing_package_ends_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read or written."""
    write_tables(tmp_path / "data")
    file = tmp_path / "odd.yaml"
    file.write_text(json.dumps(tree(tmp_path / "data", TOKENS["bpe"])))
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert main(["train", "--config", str(file), "--output", str(tmp_path / "runs")]) == 3
    assert "pip install 'mmseq[text]'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists() and not (tmp_path / "data" / "stores").exists()
