"""Images from a table to a trained model, and live."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

import mmseq
from mmseq.errors import DataError
from mmseq.modalities import Stored, modalities
from mmseq.modalities import image as image_module
from mmseq.modalities.image import ImageModality, ImagePayload
from mmseq.modalities.pixels import read_pixels
from mmseq.sources import Reading
from mmseq.sources.binary import encode
from mmseq.sources.tables import TablesSource
from mmseq.store import Plan, Store, prepare
from mmseq.streaming.lines import answer

SHAPE = (5, 7, 3)
PLAN = Plan({"camera": Reading("frames.csv", "t", payload=ImagePayload("frame", "uint8", SHAPE))})


def modality(pixels: np.ndarray, parts: int = 3) -> ImageModality:
    config = modalities.parse(
        {
            "kind": "image",
            "table": "t",
            "column": "x",
            "size": [*pixels.shape[1:3]],
            "channels": pixels.shape[3],
        }
    )
    chunks = [{"payload": part} for part in np.array_split(pixels, parts)]
    stored = Stored(("x",), (), lambda: iter(chunks), len(pixels), False, 1.0)
    return modalities.build(config, ImageModality.fit(config, stored))


def test_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each channel by its own mean and spread; one that never varies is left at 0; bytes until then."""
    monkeypatch.setattr(image_module, "_PART", 100)
    pixels = np.random.default_rng(0).integers(0, 256, (50, *SHAPE)).astype(np.uint8)
    pixels[..., 1] //= 4
    pixels[..., 2] = 9
    built = modality(pixels)
    np.testing.assert_allclose(built.spec.mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(built.spec.std[:2], pixels.std((0, 1, 2))[:2], rtol=1e-12)
    raw = built.make(torch.arange(50), pixels)
    assert raw.values.dtype == torch.uint8
    values = built.double().ready(raw).values.numpy()
    np.testing.assert_allclose(values.mean((0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(values.std((0, 1, 2)), [1, 1, 0], atol=1e-6)


def test_several() -> None:
    """A list is several images, but for nested lists of numbers, which are one."""
    built, array = modality(np.zeros((4, *SHAPE), np.uint8)), np.zeros(SHAPE, np.uint8)
    for one in ("a.png", b"bytes", array, array.tolist(), array[..., 0].tolist(), {"x": "a.png"}):
        assert built.several(one)[0] is one
    for many in (["a.png", "b.png"], [b"a", b"b"], [array, array], [{"x": "a.png"}, {"x": array}]):
        assert built.several(many) is many


def test_parse() -> None:
    built, array = modality(np.zeros((4, *SHAPE), np.uint8)), np.full(SHAPE, 3, np.uint8)
    events = built.parse(torch.tensor([0, 1, 1, 2]), [None, array, {"x": array.tolist()}, ""])
    assert events.step.tolist() == [1, 1] and (events.values == 3).all()
    with pytest.raises(DataError, match="'y': must be one of the modality's columns"):
        built.parse(torch.tensor([0]), [{"y": array}])
    with pytest.raises(DataError, match="must be a whole image"):
        built.parse(torch.tensor([0]), [encode(b"none")])


def write(folder: Path, n: int) -> np.ndarray:
    """A table of PNG files of many sizes; what the store has of them."""
    rng, rows = np.random.default_rng(0), ["sample_id,t,frame"]
    for i in range(n):
        size = rng.integers(3, 40, 2)
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(folder / f"{i}.png")
        rows.append(f"s{i // 10:03d},{i % 10},{i}.png")
    (folder / "frames.csv").write_text("\n".join(rows) + "\n")
    return np.stack([read_pixels(f"{i}.png", folder, SHAPE) for i in range(n)])


def source(folder: Path) -> TablesSource:
    return TablesSource(root=folder, id="sample_id", group=None, missing=[""])


def test_many_files_in_parts_and_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than a few images are held at a time, and they come back from several shards."""
    expected, held = write(tmp_path, 300), []
    read = ImagePayload.read

    def counted(self: ImagePayload, cells: Any, folder: Path) -> np.ndarray:
        held.append(len(cells))
        return read(self, cells, folder)

    monkeypatch.setattr(ImagePayload, "read", counted)
    monkeypatch.setattr("mmseq.store.payload._BYTES", 20 * expected[0].nbytes)
    stored = prepare(PLAN, source(tmp_path), tmp_path / "stores", shard_events=70)
    assert max(held) <= 20 and sum(held) == 300
    assert len(stored.manifest.shards) > 3
    payload = stored.gather(np.arange(len(stored))).events["camera"].arrays["payload"]
    np.testing.assert_array_equal(payload, expected)


def test_a_bad_file_is_told_with_its_row(tmp_path: Path) -> None:
    write(tmp_path, 20)
    whole = (tmp_path / "13.png").read_bytes()
    (tmp_path / "13.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "17.png").unlink()
    with pytest.raises(
        DataError, match=r"frames\.csv row 15, column 'frame': .*13\.png: must be a whole"
    ) as e:
        prepare(PLAN, source(tmp_path), tmp_path / "stores")
    assert str(e.value).endswith("; correct it or drop the row")
    assert not list((tmp_path / "stores").glob("*"))
    (tmp_path / "13.png").write_bytes(whole)
    with pytest.raises(DataError, match=r"row 19, column 'frame': .*there is no file '.*17\.png'"):
        prepare(PLAN, source(tmp_path), tmp_path / "stores")


def pixels_of(stored: Store) -> np.ndarray:
    return stored.gather(np.arange(len(stored))).events["camera"].arrays["payload"]


def test_bytes_and_base64_in_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole files in Parquet, and in JSON lines; large cells are read a few at a time."""
    expected, held = write(tmp_path, 30), []
    files = [(tmp_path / f"{i}.png").read_bytes() for i in range(30)]
    rows: dict[str, Any] = {
        "sample_id": [f"s{i // 10}" for i in range(30)],
        "t": [float(i % 10) for i in range(30)],
    }
    pyarrow.parquet.write_table(pyarrow.table(rows | {"frame": files}), tmp_path / "frames.parquet")
    lines = [
        json.dumps({"sample_id": s, "t": t, "frame": encode(f)})
        for s, t, f in zip(*rows.values(), files, strict=True)
    ]
    (tmp_path / "frames.jsonl").write_text("\n".join(lines) + "\n")
    read = ImagePayload.read
    monkeypatch.setattr(
        ImagePayload, "read", lambda self, cells, folder: held.append(len(cells)) or read(self, cells, folder)
    )
    monkeypatch.setattr("mmseq.store.payload._BYTES", 3 * max(map(len, files)))
    for table in ("frames.parquet", "frames.jsonl"):
        plan = Plan({"camera": Reading(table, "t", payload=PLAN.modalities["camera"].payload)})
        stored = prepare(plan, source(tmp_path), tmp_path / "stores")
        np.testing.assert_array_equal(pixels_of(stored), expected)
    assert max(held) <= 3


def dots(folder: Path, n: int = 120) -> Path:
    """A dot moves to the left or to the right; the label says which. Returns the folder."""
    rng, frames, labels = np.random.default_rng(2), ["id,t,frame"], ["id,way"]
    (folder / "png").mkdir(parents=True)
    for i in range(n):
        right, row = bool(rng.integers(2)), int(rng.integers(2, 14))
        place = int(rng.integers(1, 6)) if right else int(rng.integers(9, 14))
        for t in range(4):
            pixels = rng.integers(0, 30, (16, 16)).astype(np.uint8)
            pixels[row, place : place + 2] = 255
            Image.fromarray(pixels).save(folder / "png" / f"{i}-{t}.png")
            frames.append(f"s{i},{t},png/{i}-{t}.png")
            place += 2 if right else -2
        labels.append(f"s{i},{'right' if right else 'left'}")
    for name, rows in {"frames": frames, "labels": labels}.items():
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    return folder


def config_of(folder: Path, **timeline: Any) -> Any:
    camera = {
        "kind": "image",
        "table": "frames.csv",
        "time": "t",
        "column": "frame",
        "size": [12, 12],
        "channels": 1,
    }
    return mmseq.load_config(
        {
            "name": "dots",
            "data": {
                "source": {"kind": "tables", "root": str(folder), "id": "id"},
                "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
                "store": str(folder / "stores"),
            },
            "timeline": timeline,
            "modalities": {"camera": {**camera, "channels": 1, "encoder": {"kind": "frames", "channels": 6}}},
            "fusion": {"kind": "concat", "width": 12},
            "core": {"kind": "gru", "hidden": 12},
            "tasks": {"way": {"kind": "classification", "table": "labels.csv", "column": "way"}},
            "training": {"epochs": 8, "batch": {"samples": 12}, "optimizer": {"lr": 1e-2}, "threads": 1},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> mmseq.Run:
    folder = dots(tmp_path_factory.mktemp("dots"))
    return mmseq.train(config_of(folder), output=folder)


def folder_of(run: mmseq.Run) -> Path:
    return Path(run.experiment.data.source.root)  # type: ignore[attr-defined]


def test_learns_which_way_a_dot_moves(trained: mmseq.Run) -> None:
    """No frame tells it."""
    report = mmseq.evaluate(trained, "test")
    assert report["way"]["metrics"]["accuracy"] > 0.9


def test_live_as_from_the_store(trained: mmseq.Run) -> None:
    """Paths, bytes, arrays and base64 in a line of JSON give the numbers of the table of files."""
    model, folder = trained.model(), folder_of(trained)
    table = {row["id"]: row for row in model.predict(folder).to_pylist()}
    stream = mmseq.Stream(model)
    for i in range(4):
        row: Any = None
        for t in range(4):
            path = folder / "png" / f"{i}-{t}.png"
            cell: Any = [str(path), path.read_bytes(), np.array(Image.open(path)), None][i]
            if cell is None:
                event = {"id": f"s{i}", "time": t, "values": {"camera": encode(path.read_bytes())}}
                row = json.loads(answer(stream, json.dumps(event).encode()) or "")
            else:
                row = stream.push(f"s{i}", t, {"camera": cell})
        expected = table[f"s{i}"]
        assert row["way"] == expected["way"]
        for name in expected:
            if isinstance(expected[name], float) and name != "time":
                assert row[name] == pytest.approx(expected[name], abs=1e-5), name


def test_what_waits_is_what_came(trained: mmseq.Run, tmp_path: Path) -> None:
    """Bytes and files wait in a bin as they were, in memory and saved. Caught: a path that is read later."""
    model = mmseq.Model(
        trained.experiment.model_copy(
            update={"timeline": trained.experiment.timeline.model_copy(update={"resolution": "10s"})}
        ),
        trained.model().facts,
    )
    model.load_state_dict(trained.model().state_dict())
    frames = [folder_of(trained) / "png" / f"0-{t}.png" for t in range(2)]
    direct, stream, latest = mmseq.Stream(model), mmseq.Stream(model), tmp_path / "latest.png"
    for t, path in enumerate(frames):
        latest.write_bytes(path.read_bytes())
        direct.push("p", t + 1.0, {"camera": np.array(Image.open(path))})
        stream.push("p", t + 1.0, {"camera": str(latest) if t else path.read_bytes()})
    latest.unlink()
    stream.save(tmp_path / "saved")
    loaded = mmseq.Stream.load(tmp_path / "saved", model)
    assert direct.flush("p") == stream.flush("p") == loaded.flush("p")


def test_static_images(trained: mmseq.Run, tmp_path: Path) -> None:
    """One a sample, seen at every step."""
    folder, experiment = folder_of(trained), trained.experiment.model_dump(mode="json")
    lines = [line.split(",") for line in (folder / "frames.csv").read_text().splitlines()[1:]]
    first = [f"{id},{frame}" for id, t, frame in lines if t == "0"]
    (folder / "first.csv").write_text("\n".join(["id,frame", *first]) + "\n")
    experiment["modalities"]["camera"] |= {"table": "first.csv", "time": None}
    experiment["training"]["epochs"] = 1
    run = mmseq.train(mmseq.load_config(experiment), output=tmp_path)
    assert run.model().static == {"camera"}
    stream, row = mmseq.Stream(run.model()), run.model().predict(folder).to_pylist()[0]
    answered = stream.push(row["id"], 0.0, {"camera": str(folder / "png" / "0-0.png")})
    assert answered is not None and answered["way"] == row["way"]
