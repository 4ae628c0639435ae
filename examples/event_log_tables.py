"""Writes the log of a business process as tables of its events.

    python examples/event_log_tables.py helpdesk.csv data/helpdesk

The file holds rows `CaseID, ActivityID, CompleteTimestamp`, case after case, as in
https://github.com/verenich/ProcessSequencePrediction (Tax et al. 2017), which has `helpdesk.csv` and
`bpi_12_w.csv`. The first two thirds of the cases, in the file's order, train, as there; the last fifth of
these validates. An event of the second in which the case's last one was comes a second later.

    events.csv    case, day, activity, hour, weekday; day counts from the case's first event
    cases.csv     case, split
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

DAY = timedelta(days=1)


def cases(source: Path) -> dict[str, list[tuple[datetime, str]]]:
    """The events of each case, in the file's order."""
    found: dict[str, list[tuple[datetime, str]]] = {}
    with source.open(newline="") as file:
        for row in csv.DictReader(file):
            events = found.setdefault(row["CaseID"], [])
            time = datetime.fromisoformat(row["CompleteTimestamp"])
            if events:
                time = max(time, events[-1][0] + timedelta(seconds=1))
            events.append((time, row["ActivityID"]))
    return found


def split_of(place: int, n_cases: int) -> str:
    train = 2 * round((n_cases + 1) / 3)  # a case too many is counted, as in the paper's program
    if place >= train:
        return "test"
    return "validation" if place >= round(0.8 * train) else "train"


def rows_of(case: str, events: list[tuple[datetime, str]]) -> Iterator[tuple[object, ...]]:
    for time, activity in events:
        hour = time.hour + time.minute / 60 + time.second / 3600
        yield case, f"{(time - events[0][0]) / DAY:.6f}", activity, f"{hour:.4f}", f"{time:%a}"


def write(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def main(source: Path, folder: Path) -> None:
    """Writes both tables into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    found = cases(source)
    rows = (row for case, events in found.items() for row in rows_of(case, events))
    write(folder / "events.csv", ("case", "day", "activity", "hour", "weekday"), rows)
    splits = ((case, split_of(place, len(found))) for place, case in enumerate(found))
    write(folder / "cases.csv", ("case", "split"), splits)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
