"""Preparing a store: events a second, and the most memory that it takes.

    python benchmarks/prepare.py                     10 million events in CSV, in random order
    python benchmarks/prepare.py --format parquet --events 50_000_000

Prints one JSON line. The tables are written first, outside the time that is measured; preparation runs
in a process of its own, whose peak memory is that of the whole process, Python and libraries included.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb

from mmseq.sources import Pivot, Reading
from mmseq.sources.tables import MISSING, TablesSource
from mmseq.store import Plan, prepare


def main() -> None:
    """Writes tables, prepares them, prints what it took."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root = Path(folder)
        write_tables(root, arguments.events, arguments.format)
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_measure, args=(root, arguments.format, arguments.memory_limit, theirs)
        )
        process.start()
        theirs.close()
        print(json.dumps({"events": arguments.events, "format": arguments.format, **ours.recv()}))
        process.join()


def write_tables(root: Path, n_events: int, ending: str) -> None:
    """Vitals (wide, gaps), laboratory values (long) and drugs (codes), each in random order; labels."""
    n_samples = max(1, n_events // 200)
    tables = {
        "vitals": (n_events * 6 // 10, "round(60 + 40 * random(), 1) AS heart_rate, "
            "CASE WHEN random() < 0.5 THEN round(36 + 4 * random(), 2) END AS temperature, "
            "round(90 + 60 * random()) AS pressure"),
        "labs": (n_events * 3 // 10, "'lab' || floor(random() * 20)::INTEGER AS code, "
            "round(random() * 10, 3) AS value"),
        "drugs": (n_events // 10, "'drug' || floor(random() * 500)::INTEGER AS drug"),
    }  # fmt: skip
    with duckdb.connect() as connection:
        for name, (n_rows, columns) in tables.items():
            rows = (
                f"SELECT 'p' || floor(random() * {n_samples})::INTEGER AS sample_id, "
                f"round(random() * 2880, 2) AS minute, {columns} FROM range({n_rows})"
            )
            connection.execute(f"COPY ({rows}) TO '{root / name}.{ending}'")
        labels = (
            f"SELECT 'p' || i AS sample_id, (random() < 0.2)::INTEGER AS died FROM range({n_samples}) t(i)"
        )
        connection.execute(f"COPY ({labels}) TO '{root}/labels.{ending}'")


def _measure(root: Path, ending: str, memory_limit: str, answer: Connection) -> None:
    plan = Plan(
        modalities={
            "vitals": Reading(f"vitals.{ending}", "minute", ("heart_rate", "temperature", "pressure")),
            "labs": Reading(f"labs.{ending}", "minute", pivot=Pivot("code", "value")),
            "drugs": Reading(f"drugs.{ending}", "minute", codes=("drug",)),
        },
        tasks={"died": Reading(f"labels.{ending}", codes=("died",))},
        unit="minutes",
        absent_labels="drop",
    )
    source = TablesSource(root=root, id="sample_id", group=None, missing=MISSING)
    before, start = _peak_mb(), time.perf_counter()
    store = prepare(plan, source, root / "stores", memory_limit=memory_limit)
    seconds = time.perf_counter() - start
    rows = sum(store.entry(name).report["rows"] for name in store.modalities)
    answer.send(
        {
            "seconds": round(seconds, 2),
            "events_per_second": round(rows / seconds),
            "memory_limit": memory_limit,
            "peak_rss_mb": _peak_mb(),
            "rss_before_mb": before,
            "steps": int(store.lengths.sum()),
            "samples": len(store),
            "shards": len(store.manifest.shards),
        }
    )


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--format", choices=["csv", "parquet"], default="csv")
    parser.add_argument("--memory-limit", default="1GB")
    parser.add_argument("--folder", type=Path, default=None, help="where the tables are written")
    return parser.parse_args()


if __name__ == "__main__":
    main()
