"""A store that another program has written is one that mmseq could have written itself."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

import mmseq
from mmseq.data import prepare

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "shards_in_parallel.py"


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("shards_in_parallel", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script writes; beside it, all of its machines as tables."""
    folder = tmp_path_factory.mktemp("machines")
    done = subprocess.run(
        [sys.executable, SCRIPT, "data/machines"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    script = _script()
    script.write_tables(folder / "all", range(script.SAMPLES))
    return folder


def _experiments(folder: Path) -> list[mmseq.Experiment]:
    """On the store as written, and on the same data read from tables."""
    config = ROOT / "configs" / "machines.yaml"
    always = ["training.epochs=2", "training.threads=1", "training.accelerator=cpu"]
    as_written = [f"data.prepared={folder / 'data/machines/store'}"]
    read = ["data.prepared=null", f"data.source.root={folder / 'all'}", f"data.store={folder / 'stores'}"]
    return [mmseq.load_config(config, always + changes) for changes in (as_written, read)]


def test_it_holds_what_preparation_would_have_stored(machines: Path) -> None:
    """Caught: steps counted over the shard, not within the sample; a missing cell written as 0."""
    written, read = (prepare(experiment) for experiment in _experiments(machines))
    assert len(written.manifest.shards) == 8
    assert (written.ids == read.ids).all()
    order = np.random.default_rng(0).permutation(len(read))
    ours, theirs = written.gather(order), read.gather(order)
    assert (ours.starts == theirs.starts).all() and (ours.time == theirs.time).all()
    for name, rows in {**theirs.events, **theirs.targets}.items():
        same = {**ours.events, **ours.targets}[name]
        assert (same.starts == rows.starts).all() and (same.step == rows.step).all(), name
        assert written.vocabularies(name) == read.vocabularies(name)
        for part, array in rows.arrays.items():
            assert np.array_equal(same.arrays[part], array, equal_nan=part == "values"), (name, part)


def test_it_trains_the_same_model(machines: Path) -> None:
    """Bit by bit; and the run is evaluated on the store, and predicts from tables. Caught: as above."""
    runs = [
        mmseq.train(experiment, output=machines / name)
        for experiment, name in zip(_experiments(machines), ("written", "read"), strict=True)
    ]
    ours, theirs = (load_file(run.path / "model" / "weights.safetensors") for run in runs)
    assert ours.keys() == theirs.keys()
    assert [name for name, value in theirs.items() if not ours[name].equal(value)] == []
    report = mmseq.evaluate(runs[0], "test")
    assert report == mmseq.evaluate(runs[1], "test")
    assert runs[0].model().predict(machines / "data/machines/tables").num_rows == 20
