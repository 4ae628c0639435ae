"""Texts as events: read, cut, and the same from tables and live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch

import mmseq
from mmseq.batch import TextEvents
from mmseq.errors import DataError
from mmseq.modalities import Stored, modalities
from mmseq.modalities.text import TextModality, TextPayload
from mmseq.ragged import Ragged
from mmseq.sources import BadCell


def test_cells() -> None:
    payload = TextPayload("x")
    cells = pyarrow.array(["one", "zwölf", "drei", ""])
    for part in (cells, cells[1:3], cells.cast(pyarrow.large_string()), cells[:0]):
        rows = payload.read(part, Path())
        assert [bytes(row).decode() for row in rows] == part.to_pylist()
    with pytest.raises(BadCell, match="the column holds int64; '3' came"):
        payload.read(pyarrow.array([3]), Path())
    with pytest.raises(ValueError, match="a text is text; '3', a int, came"):
        payload.value(3, Path())


def build(texts: list[str], **options: Any) -> TextModality:
    config = modalities.parse({"kind": "text", "table": "t", "column": "x", **options})
    rows = Ragged.of([np.frombuffer(text.encode(), np.uint8) for text in texts], "uint8")
    stored = Stored(("x",), (), lambda: iter([{"payload": rows}]), len(texts), False, 1.0)
    return modalities.build(config, TextModality.fit(config, stored))


def test_unknown_words_are_counted() -> None:
    built = build(["a b", "a"], tokens={"kind": "words", "min_count": 1})
    events = built.parse(torch.tensor([0, 1, 1]), ["a c d", None, "b"])
    assert isinstance(events, TextEvents)
    assert events.step.tolist() == [0, 1] and events.starts.tolist() == [0, 3, 4]
    assert built.unknown(events) == {"x": 2}
    assert build(["a"], tokens={"kind": "bytes"}).unknown(events) == {}


def test_an_empty_text_is_no_event_but_spaces_are_one() -> None:
    built = build(["a b"])
    events = built.parse(torch.tensor([0, 1, 2]), ["", "  ", {"x": "a"}])
    assert events.step.tolist() == [1, 2] and events.starts.tolist() == [0, 0, 1]
    with pytest.raises(DataError, match="a text is text"):
        built.parse(torch.tensor([0]), [["a", "b"]])


def test_take() -> None:
    events = build(["a b c"], tokens={"kind": "characters"}).parse(torch.arange(3), ["a b", " ", "cc"])
    some = events.take(torch.tensor([2, 0]))
    assert some.token.tolist() == [*events.token[4:].tolist(), *events.token[:3].tolist()]
    assert some.starts.tolist() == [0, 2, 5] and some.event.tolist() == [0, 0, 1, 1, 1]


GOOD, BAD = ("fine", "great", "well"), ("ill", "bad", "worse")


def records(n: int = 120) -> list[dict[str, Any]]:
    """Three notes a sample; the label is what most of them say."""
    rng, found = np.random.default_rng(0), []
    for i in range(n):
        good = rng.random(3) < 0.5
        notes = [
            {"time": float(t), "note": f"feels {rng.choice(GOOD if one else BAD)} today"}
            for t, one in enumerate(good)
        ]
        found.append({"id": str(i), "y": "yes" if good.sum() > 1 else "no", "notes": notes})
    return found


def tree(folder: Path, **modality: Any) -> dict[str, Any]:
    return {
        "name": "notes",
        "data": {
            "source": {"kind": "memory"},
            "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
            "store": str(folder / "stores"),
        },
        "modalities": {
            "notes": {"kind": "text", "table": "notes", "time": "time", "column": "note", **modality}
        },
        "core": {"kind": "gru", "hidden": 16},
        "readout": [{"kind": "mean"}],
        "tasks": {"y": {"kind": "classification", "table": "samples", "column": "y"}},
        "training": {
            "epochs": 12, "batch": {"samples": 8}, "threads": 1, "precision": "64-true",
            "optimizer": {"lr": 1e-2},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    "modality",
    [
        {},
        {"tokens": {"kind": "bytes"}, "encoder": {"kind": "text", "readout": {"kind": "mean"}}},
        {"encoder": {"kind": "bag", "pairs": 50}},
    ],
    ids=["bag of words", "bytes one by one", "pairs"],
)
def test_train_and_the_same_numbers_live(tmp_path: Path, modality: dict[str, Any]) -> None:
    """It learns what the notes say; raw text pushed note by note gives what whole tables give."""
    data = records()
    run = mmseq.train(mmseq.load_config(tree(tmp_path, **modality)), data=data, output=tmp_path)
    assert mmseq.evaluate(run, "test", data=data)["y"]["metrics"]["accuracy"] > 0.9
    model = run.model()
    rows = model.predict(data[:6]).to_pylist()
    stream = mmseq.Stream(model)
    for record, row in zip(data[:6], rows, strict=True):
        for i, note in enumerate(record["notes"]):
            if i == 1:  # in another process from here
                stream.save(tmp_path / "stream")
                stream = mmseq.Stream.load(tmp_path / "stream", model)
            answer = stream.push(record["id"], note["time"], {"notes": note["note"]})
        assert answer is not None and answer["y"] == row["y"]
        for name in (name for name in row if name.startswith("y.p_")):
            assert answer[name] == pytest.approx(row[name], abs=1e-10)


def test_several_texts_of_one_time(tmp_path: Path) -> None:
    built = build(["a b"])
    assert built.several("a b") == ["a b"] and built.several(["a", "b"]) == ["a", "b"]


def test_options_are_told(tmp_path: Path) -> None:
    for options, told in (
        ({"tokens": {"kind": "bytes", "size": 3}}, "size"),
        ({"tokens": {"kind": "letters"}}, "tokens"),
        (
            {"encoder": {"kind": "text", "core": {"kind": "gru", "dropout": 0.5}}},
            "dropout does nothing within",
        ),
    ):
        with pytest.raises(mmseq.MmseqError, match=told):
            mmseq.load_config(tree(tmp_path, **options))
