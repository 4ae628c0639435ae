"""What a store is to hold: a run's configuration, as far as preparation needs it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mmseq.errors import ConfigError
from mmseq.sources import Reading, Source

if TYPE_CHECKING:
    from mmseq.config.experiment import Experiment

SCHEMA = 4
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
_SHORT = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True)
class Plan:
    """What to read, and how clocks are merged.

    Attributes:
        modalities: what each modality reads.
        tasks: what each task with stored labels reads.
        samples: the table with one row a sample; None: the samples are those of the modalities' tables.
        until: a column of `samples`, or a time; events later than it are dropped.
        split: column of `samples` that says train, validation or test.
        absent_labels: what a label for a sample that does not exist is.
        unit: of numeric times, and of all times in the store.
        resolution: seconds in a bin of the timeline; None: no bins.
        anchor: the modality whose clock alone makes steps.
        known: the data are read for a model that exists: a modality may have no events at all, a
            pivoted code may never occur, and numbers are float64 whatever else is in the data.
    """

    modalities: Mapping[str, Reading]
    tasks: Mapping[str, Reading] = field(default_factory=dict)
    samples: str | None = None
    until: str | float | None = None
    split: str | None = None
    absent_labels: Literal["error", "drop"] = "error"
    unit: Literal["seconds", "minutes", "hours", "days"] = "seconds"
    resolution: float | None = None
    anchor: str | None = None
    known: bool = False

    @property
    def until_column(self) -> str | None:
        """The column that holds each sample's last time; None where `until` is a time itself."""
        is_column = isinstance(self.until, str) and not re.match(r"\d{4}-\d\d-\d\d", self.until)
        return str(self.until) if is_column else None

    def readings(self) -> Iterator[tuple[str, Reading]]:
        """What reads, as an error calls it, and what it reads."""
        yield from ((f"modality {name!r}", reading) for name, reading in self.modalities.items())
        yield from ((f"task {name!r}", reading) for name, reading in self.tasks.items())

    def tables(self) -> list[str]:
        """Every table that is read, once."""
        named = [self.samples] if self.samples else []
        return list(dict.fromkeys(named + [reading.table for _, reading in self.readings()]))


def plan_of(experiment: Experiment) -> Plan:
    """The part of a run that decides what its store holds."""
    from mmseq.heads import heads
    from mmseq.modalities import modalities

    data, timeline = experiment.data, experiment.timeline
    tasks = {
        name: heads.component_class(config.kind).reading(config)
        for name, config in experiment.tasks.items()
        if config.told_by is None
    }
    return Plan(
        modalities={
            name: modalities.component_class(config.kind).reading(config)
            for name, config in experiment.modalities.items()
        },
        tasks={name: reading for name, reading in tasks.items() if reading is not None},
        samples=data.samples,
        until=data.until,
        split=data.split.column,
        absent_labels=data.absent_labels,
        unit=timeline.unit,
        resolution=None if timeline.resolution is None else seconds(timeline.resolution),
        anchor=timeline.anchor,
    )


def with_samples(plan: Plan, source: Source) -> Plan:
    """The plan with the source's own table of samples, where none is named.

    Raises:
        ConfigError: a column of that table is named, and there is no such table.
    """
    plan = replace(plan, samples=plan.samples or source.samples)
    for name, value in (("until", plan.until_column), ("split.column", plan.split)):
        if value is not None and plan.samples is None:
            raise ConfigError(
                f"data.{name}: {value!r} is a column of the table of samples, and there is none; "
                "name it as data.samples"
            )
    return plan


def seconds(duration: str) -> float:
    """`30min` → 1800.0; the units are s, min, h and d."""
    number, unit = re.fullmatch(r"([\d.]+)\s*(\w+)", duration).groups()  # type: ignore[union-attr]
    return float(number) * _SHORT[unit]


def fingerprint(plan: Plan, source: Source) -> str:
    """Changes whenever the finished store would."""
    facts = {
        "schema": SCHEMA,
        "plan": asdict(plan),
        "id": source.id,
        "group": source.group,
        "missing": list(source.missing),
        "source": source.fingerprint(plan.tables()),
    }
    if payloads := {who: type(r.payload).__qualname__ for who, r in plan.readings() if r.payload}:
        from mmseq.store.referenced import digest_referenced

        facts |= {"payloads": payloads, "files": digest_referenced(plan, source)}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
