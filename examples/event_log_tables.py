"""Writes the log of a business process as tables of its events.

    python examples/event_log_tables.py helpdesk.csv data/helpdesk

The file holds rows `CaseID, ActivityID, CompleteTimestamp`, case after case, as in
https://github.com/verenich/ProcessSequencePrediction (Tax et al. 2017), which has `helpdesk.csv` and
`bpi_12_w.csv`. The first two thirds of the cases, in the file's order, train, as there; the last fifth of
these validates.

After each event a label tells the next activity and the days until it. After a case's last event the next
is `end`, without a time. Cases that are not trained on have labels where they are judged: after the second
event and each later one but the last. An event of the second in which the case's last one was stands one
second later in `events.csv`; its label has 0 days.

    events.csv    case, day, activity, hour, weekday; day counts from the case's first event
    next.csv      case, day, next, wait
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
            time = datetime.fromisoformat(row["CompleteTimestamp"])
            found.setdefault(row["CaseID"], []).append((time, row["ActivityID"]))
    return found


def days(events: list[tuple[datetime, str]]) -> list[str]:
    """Since the first event, each later than the one before."""
    apart: list[datetime] = []
    for time, _ in events:
        apart.append(max(time, apart[-1] + timedelta(seconds=1)) if apart else time)
    return [f"{(time - apart[0]) / DAY:.6f}" for time in apart]


def split_of(place: int, n_cases: int) -> str:
    train = 2 * round((n_cases + 1) / 3)  # a case too many is counted, as in the paper's program
    if place >= train:
        return "test"
    return "validation" if place >= round(0.8 * train) else "train"


def rows_of(case: str, events: list[tuple[datetime, str]]) -> Iterator[tuple[object, ...]]:
    for (time, activity), day in zip(events, days(events), strict=True):
        hour = time.hour + time.minute / 60 + time.second / 3600
        yield case, day, activity, f"{hour:.4f}", f"{time:%a}"


def labels_of(case: str, events: list[tuple[datetime, str]], *, judged: bool) -> Iterator[tuple[object, ...]]:
    """What comes after each event, or where it is judged alone."""
    place = days(events)
    for i in range(1 if judged else 0, len(events) - 1):
        (time, _), (then, activity) = events[i : i + 2]
        yield case, place[i], activity, f"{(then - time) / DAY:.6f}"
    if not judged:
        yield case, place[-1], "end", ""


def write(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def main(source: Path, folder: Path) -> None:
    """Writes the three tables into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    found = cases(source)
    splits = {case: split_of(place, len(found)) for place, case in enumerate(found)}
    events = (row for case, own in found.items() for row in rows_of(case, own))
    write(folder / "events.csv", ("case", "day", "activity", "hour", "weekday"), events)
    trains = {case for case, split in splits.items() if split == "train"}
    labels = (row for case, own in found.items() for row in labels_of(case, own, judged=case not in trains))
    write(folder / "next.csv", ("case", "day", "next", "wait"), labels)
    write(folder / "cases.csv", ("case", "split"), splits.items())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
