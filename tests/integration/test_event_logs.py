"""Logs of business processes: what the tables hold, and that the shipped ones learn what is next."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from duckdb import read_csv

import mmseq

ROOT = Path(__file__).parents[2]
LOGS = ROOT.parent / "shared" / "data" / "event_logs"

needs_logs = pytest.mark.skipif(not LOGS.is_dir(), reason=f"the event logs are not there: {LOGS}")


def tables(source: Path, folder: Path) -> Path:
    script = ROOT / "examples" / "event_log_tables.py"
    subprocess.run([sys.executable, str(script), str(source), str(folder)], check=True)
    return folder


def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("event_logs", ROOT / "benchmarks" / "event_logs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_events_of_one_second_are_kept_apart_and_thirds_are_by_the_files_order(tmp_path: Path) -> None:
    first = ["7,1,2012-04-03 12:00:00", "7,2,2012-04-03 12:00:00", "7,3,2012-04-04 12:00:00"]
    others = [f"{i},1,2012-01-01 00:00:00" for i in (3, 1, 9, 2, 8)]
    (tmp_path / "log.csv").write_text("\n".join(["CaseID,ActivityID,CompleteTimestamp", *first, *others, ""]))
    folder = tables(tmp_path / "log.csv", tmp_path / "tables")
    events = read_csv(str(folder / "events.csv")).filter('"case" = 7').order("day").fetchall()
    assert events == [(7, 0, 1, 12, "Tue"), (7, 0.000012, 2, 12.0003, "Tue"), (7, 1, 3, 12, "Wed")]
    splits = read_csv(str(folder / "cases.csv")).fetchall()
    parts = ["train", "train", "train", "validation", "test", "test"]
    assert splits == list(zip((7, 3, 1, 9, 2, 8), parts, strict=True))


def test_answers_are_judged_from_the_second_event_on() -> None:
    """Caught: the first event's answer counted; an answer taken for the wrong event."""
    events = {"a": [(0.0, "x"), (1.0, "y"), (3.0, "x"), (3.5, "z")], "b": [(0.0, "x"), (1.0, "y")]}
    answer = {("a", 1): ("?", 9.0), ("a", 2): ("x", 1.5), ("a", 3): ("y", 0.5), ("a", 4): ("?", 9.0)}
    judged = benchmark().judge(events, ["a", "b"], answer)
    assert judged == {"n": 2, "accuracy": 0.5, "mae_days": 0.25}


@needs_logs
@pytest.mark.slow
def test_the_helpdesk(tmp_path: Path) -> None:
    """The published counts, and better than what mostly follows the last activity."""
    root = tables(LOGS / "helpdesk.csv", tmp_path / "tables")
    module = benchmark()
    events, _ = module.read(root)
    assert (len(events), sum(map(len, events.values()))) == (3_804, 13_710)
    assert len({activity for own in events.values() for _, activity in own}) == 9
    paths = (f"data.source.root={root}", f"data.store={tmp_path / 'stores'}")
    run = mmseq.train(mmseq.load_config(ROOT / "configs" / "helpdesk.yaml", paths), output=tmp_path)
    metrics = mmseq.evaluate(run, "validation")["next"]["metrics"]
    assert metrics["accuracy"] > 0.75
    assert metrics["wait.mae"] < 4.0


@needs_logs
def test_counts_of_the_loans() -> None:
    events = read_csv(str(LOGS / "bpi_12_w.csv"))
    found = events.aggregate("count(*), count(DISTINCT CaseID), count(DISTINCT ActivityID)").fetchone()
    assert found == (72_413, 9_658, 6)
