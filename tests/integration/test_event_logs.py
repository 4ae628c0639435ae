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


def rows(root: Path, name: str) -> list[Any]:
    return read_csv(str(root / f"{name}.csv")).fetchall()


def log(folder: Path, cases: dict[int, list[tuple[int, str]]]) -> Path:
    """The tables of a log of activities and times."""
    lines = [f"{case},{activity},{time}" for case, own in cases.items() for activity, time in own]
    (folder / "log.csv").write_text("\n".join(["CaseID,ActivityID,CompleteTimestamp", *lines, ""]))
    return tables(folder / "log.csv", folder / "tables")


def test_events_of_one_second_are_kept_apart_and_thirds_are_by_the_files_order(tmp_path: Path) -> None:
    first = [(1, "2012-04-03 12:00:00"), (2, "2012-04-03 12:00:00"), (3, "2012-04-04 12:00:00")]
    one = [(1, "2012-01-01 00:00:00")]
    root = log(tmp_path, {7: first, 3: one, 1: one, 9: one, 2: one, 8: one})
    events = [row for row in rows(root, "events") if row[0] == 7]
    assert events == [(7, 0, 1, 12, "Tue"), (7, 0.000012, 2, 12, "Tue"), (7, 1, 3, 12, "Wed")]
    labels = [row for row in rows(root, "next") if row[0] == 7]
    assert labels == [(7, 0, "2", 0), (7, 0.000012, "3", 1), (7, 1, "end", None)]
    parts = ["train", "train", "train", "validation", "test", "test"]
    assert rows(root, "cases") == list(zip((7, 3, 1, 9, 2, 8), parts, strict=True))


def test_cases_are_judged_from_the_second_event_to_the_last_but_one(tmp_path: Path) -> None:
    """Caught: the first event judged; the end judged."""
    times = [f"2012-01-0{day} 00:00:00" for day in (1, 2, 4, 5)]
    own = list(zip((1, 2, 3, 4), times, strict=True))
    root = log(tmp_path, {1: own, 2: own, 3: own, 4: own, 5: own[:3], 6: own})
    judged = [row for row in rows(root, "next") if row[0] in (5, 6)]
    assert judged == [(5, 1, "3", 2), (6, 1, "3", 2), (6, 3, "4", 1)]
    assert [row[0] for row in rows(root, "next") if row[2] == "end"] == [1, 2, 3]


def test_the_plain_method_and_its_judge(tmp_path: Path) -> None:
    """Caught: the end no answer; the end's lack of a wait as 0; the end an answer where one follows."""
    times = [f"2012-01-0{day} 00:00:00" for day in (1, 2, 4)]
    known = list(zip((1, 2), times, strict=False))  # after 1: 2, after a day; after 2: mostly the end
    longer = [*known, (1, times[2])]
    root = log(tmp_path, {1: known, 2: known, 3: longer, 4: known, 5: longer, 6: longer})
    module = benchmark()
    labels = module.read(root)
    train, held = (labels[labels["split"] == split] for split in ("train", "test"))
    assert module.judge(held, module.by_last(train, held)) == {
        "n": 2, "accuracy": 0, "mae_days": 0, "accuracy_given_one_follows": 1,
    }  # fmt: skip


@needs_logs
@pytest.mark.slow
def test_the_helpdesk(tmp_path: Path) -> None:
    """The published counts; on cases that chose the epoch, no worse than what follows the last activity."""
    root = tables(LOGS / "helpdesk.csv", tmp_path / "tables")
    counts = 'count(*), count(DISTINCT "case"), count(DISTINCT activity)'
    assert read_csv(str(root / "events.csv")).aggregate(counts).fetchall() == [(13_710, 3_804, 9)]
    paths = (f"data.source.root={root}", f"data.store={tmp_path / 'stores'}")
    run = mmseq.train(mmseq.load_config(ROOT / "configs" / "helpdesk.yaml", paths), output=tmp_path)
    report = mmseq.evaluate(run, "validation")
    module = benchmark()
    labels = module.read(root)
    train, held = (labels[labels["split"] == split] for split in ("train", "validation"))
    plain = module.judge(held, module.by_last(train, held))
    with pytest.warns(UserWarning, match="weekday: 1 values that training never had"):
        own = module.judge(held, module.by_model(run.path, root, held))
    assert plain["n"] == own["n"] == report["next"]["labels"] == 799
    assert own["accuracy"] == pytest.approx(report["next"]["metrics"]["accuracy"])
    assert own["mae_days"] == pytest.approx(report["wait"]["metrics"]["mae"], rel=1e-4)
    assert own["accuracy"] > plain["accuracy"] - 0.01
    assert own["accuracy_given_one_follows"] > own["accuracy"]
    assert own["mae_days"] < plain["mae_days"] + 0.1


@needs_logs
def test_counts_of_the_loans() -> None:
    events = read_csv(str(LOGS / "bpi_12_w.csv"))
    found = events.aggregate("count(*), count(DISTINCT CaseID), count(DISTINCT ActivityID)").fetchall()
    assert found == [(72_413, 9_658, 6)]
