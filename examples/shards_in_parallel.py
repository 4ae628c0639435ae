"""Writes a store in parallel, shard by shard, as an engine of your own would: `docs/store.md` is the format.

`python examples/shards_in_parallel.py data/machines` writes `data/machines/store`, which
`mmseq train --config configs/machines.yaml` trains on, and a few machines as CSV tables to predict from.

What needs to know all samples, here their number and the words of a vocabulary, is settled first. Then each
shard is written by itself (`write_shard`: a Spark partition, a Ray task, a line of a shell loop). Last, one
process writes what stands beside the shards, and the manifest (`finish`). Nothing of mmseq is imported.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

SHARDS, SAMPLES, PROCESSES = 8, 400, 2
FAULTS = ["fan", "oil", "valve"]  # the vocabulary: every word of any shard, in one order for all
STATES = ["sound", "worn"]
READINGS = ["temperature", "vibration"]


@dataclass
class Part:
    """What a shard tells of itself: little, however large it is."""

    ids: list[str]
    steps: list[int]  # of each sample
    rows: dict[str, list[int]]  # of each sample, by modality and task
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


def machine(number: int) -> tuple[list[tuple[float, float, float]], list[tuple[float, int]], int]:
    """The raw data of a sample: readings (hour, …), faults (hour, code) and a label; NaN is missing."""
    random = np.random.default_rng(number)
    is_worn = int(random.random() < 0.5)
    hours = np.sort(random.choice(200, random.integers(5, 30), replace=False)).astype(float)
    readings = [(t, 60 + 5 * random.normal(), is_worn * t / 100 + random.normal()) for t in hours]
    readings = [(t, x if random.random() < 0.9 else np.nan, y) for t, x, y in readings]
    faults = np.sort(random.choice(200, random.integers(0, 4), replace=False)).astype(float)
    return readings, [(t, int(random.integers(len(FAULTS)))) for t in faults], is_worn


def write_shard(folder: Path, first: int, stop: int) -> Part:
    """Samples [first, stop), one after the other, nothing padded."""
    folder.mkdir(parents=True)
    part = Part([f"m{i:06d}" for i in range(first, stop)], [], {"readings": [], "faults": [], "state": []})
    times, reading_step, values, fault_step, faults, states = [], [], [], [], [], []
    for i in range(first, stop):
        readings, events, state = machine(i)
        own = sorted({row[0] for row in readings} | {row[0] for row in events})  # the merged clock
        step = {time: n for n, time in enumerate(own)}
        times += own
        reading_step += [step[row[0]] for row in readings]
        values += [row[1:] for row in readings]
        fault_step += [step[row[0]] for row in events]
        faults += [row[1] for row in events]
        states.append(state)
        part.steps.append(len(own))
        for name, n in (("readings", len(readings)), ("faults", len(events)), ("state", 1)):
            part.rows[name].append(n)
    arrays = {
        "steps.time": np.array(times, "<f8"),
        "rows.readings.step": np.array(reading_step, "<i4"),
        "rows.readings.values": np.array(values, "<f4").reshape(-1, len(READINGS)),
        "rows.faults.step": np.array(fault_step, "<i4"),
        "rows.faults.code": np.array(faults, "<i4").reshape(-1, 1),
        "rows.state.code": np.array(states, "<i4").reshape(-1, 1),
    }
    part.files = write_arrays(folder, arrays)
    return part


def finish(root: Path, parts: list[Part]) -> None:
    """Indices over all shards; the manifest; and, last, its digest: without it there is no store."""
    steps = starts(n for part in parts for n in part.steps)
    rows = {name: starts(n for part in parts for n in part.rows[name]) for name in parts[0].rows}
    ids = np.array([id for part in parts for id in part.ids])
    beside = {"ids": ids, "steps.index": steps} | {f"index.{name}": bounds for name, bounds in rows.items()}
    bounds = starts(len(part.ids) for part in parts)
    entries = {
        "readings": entry(rows["readings"], numbers=READINGS),
        "faults": entry(rows["faults"], codes=["fault"], vocabularies=[FAULTS]),
        "state": entry(rows["state"], codes=["state"], vocabularies=[STATES], timed=False),
    }
    digests = [file["sha256"] for part in parts for file in part.files.values()]
    manifest = {
        "schema_version": 4,
        "fingerprint": hashlib.sha256("".join(digests).encode()).hexdigest()[:24],  # changes with the data
        "plan": {"resolution": None, "anchor": None},  # how clocks were merged: as the configuration says
        "clock": "number",
        "unit": "hours",
        "n_samples": len(ids),
        "n_steps": int(steps[-1]),
        "modalities": {"readings": entries["readings"], "faults": entries["faults"]},
        "tasks": {"state": entries["state"]},
        "group_names": None,
        "files": write_arrays(root, beside),
        "shards": [
            {"first": int(first), "stop": int(stop), "n_steps": sum(part.steps), "files": part.files}
            for first, stop, part in zip(bounds, bounds[1:], parts, strict=False)
        ],
    }
    content = (json.dumps(manifest, indent=1) + "\n").encode()
    (root / "manifest.json").write_bytes(content)
    (root / "manifest.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  manifest.json\n")


def entry(bounds: np.ndarray, *, timed: bool = True, **columns: list[Any]) -> dict[str, Any]:
    """What the manifest says of a modality or task."""
    return {
        "numbers": columns.get("numbers", []),
        "codes": columns.get("codes", []),
        "vocabularies": columns.get("vocabularies", []),
        "dtype": "float32",
        "timed": timed,
        "n_rows": int(bounds[-1]),
        "shared_steps": False,  # no machine has two readings, or two faults, in one hour
        "report": {"rows": int(bounds[-1])},
    }


def starts(counts: Iterator[int]) -> np.ndarray:
    """First row of each sample, and the number of rows at the end."""
    return np.concatenate([[0], np.cumsum(list(counts), dtype="<i8")]).astype("<i8")


def write_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """`.npy` files, as numpy writes them; their sizes and digests."""
    files = {}
    for name, array in arrays.items():
        path = folder / f"{name}.npy"
        np.save(path, array)
        content = path.read_bytes()
        files[path.name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return files


def write_tables(folder: Path, machines: range) -> None:
    """Some machines as the raw tables that a model later predicts from."""
    readings, faults, states = ["id,hour,temperature,vibration"], ["id,hour,fault"], ["id,state"]
    for i in machines:
        own, events, state = machine(i)
        cells = [(f"{t:g}", "" if np.isnan(x) else repr(float(x)), repr(float(y))) for t, x, y in own]
        readings += [",".join([f"m{i:06d}", *row]) for row in cells]
        faults += [f"m{i:06d},{t:g},{FAULTS[code]}" for t, code in events]
        states.append(f"m{i:06d},{STATES[state]}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in (("readings", readings), ("faults", faults), ("labels", states)):
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def main(folder: Path, n_tables: int = 20) -> None:
    root = folder / "store"
    if root.exists():
        sys.exit(f"{root}: is there already; remove it, or name another folder")
    bounds = np.linspace(0, SAMPLES, SHARDS + 1, dtype=int).tolist()
    tasks = [(root / f"shard-{i:05d}", *bounds[i : i + 2]) for i in range(SHARDS)]
    with get_context("spawn").Pool(PROCESSES) as pool:
        parts = pool.starmap(write_shard, tasks)
    finish(root, parts)
    write_tables(folder / "tables", range(n_tables))
    print(f"{SAMPLES} samples in {SHARDS} shards: {root}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data/machines"))
