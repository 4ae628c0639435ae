"""MELD's dialogues: what the tables hold, and what the shipped configuration reaches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from duckdb import connect

import mmseq

ROOT = Path(__file__).parents[2]
MELD = ROOT.parent / "shared" / "data" / "meld"

needs_meld = pytest.mark.skipif(not MELD.is_dir(), reason=f"the dialogues are not there: {MELD}")


@needs_meld
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* values that training never had")
def test_counts_and_two_epochs(tmp_path: Path) -> None:
    """Utterances and dialogues as published; emotions are learned beyond the commonest one."""
    script = ROOT / "examples" / "meld_tables.py"
    subprocess.run([sys.executable, str(script), str(MELD), str(tmp_path / "tables")], check=True)
    with connect() as database:
        found = database.execute(
            "SELECT split, count(DISTINCT u.dialogue), count(*) FROM read_csv($1) u "
            "JOIN read_csv($2) d ON u.dialogue = d.dialogue GROUP BY 1 ORDER BY 1",
            [str(tmp_path / "tables" / f"{name}.csv") for name in ("utterances", "dialogues")],
        ).fetchall()
    assert found == [("test", 280, 2_610), ("train", 1_038, 9_989), ("validation", 114, 1_109)]
    paths = (f"data.source.root={tmp_path / 'tables'}", f"data.store={tmp_path / 'stores'}")
    experiment = mmseq.load_config(ROOT / "configs" / "meld.yaml", [*paths, "training.epochs=4"])
    run = mmseq.train(experiment, output=tmp_path)
    report = run.read_report("validation")["emotion"]
    assert report["labels"] == 1_109
    assert report["metrics"]["f1_weighted"] > 0.42 > report["baseline"]["f1_weighted"]
