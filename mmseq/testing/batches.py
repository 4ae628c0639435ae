"""Parts of a batch: some samples, some steps, or less of what was observed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from mmseq.batch import Batch, Events, Target, Timeline
from mmseq.testing.build import chunks, take_samples, take_steps
from mmseq.testing.events import take_events, take_events_at

Labels = dict[str, Int64[Tensor, "_label"]]
"""By task, rows of the whole batch's target."""


def batch_of(batch: Batch, samples: Sequence[int], static: Collection[str]) -> tuple[Batch, Labels]:
    """Some samples, in this order, and which labels of the whole are theirs."""
    timeline, where = take_samples(batch.timeline, samples)
    return _part(batch, timeline, where, list(samples), static, list(samples))


def batches_of_steps(batch: Batch, size: int, static: Collection[str]) -> list[tuple[Batch, Labels]]:
    """All steps, at most `size` of each sample at a time; static events come with the first of them."""
    everyone = list(range(len(batch)))
    parts = []
    for i, (timeline, where) in enumerate(chunks(batch.timeline, size)):
        parts.append(_part(batch, timeline, where, everyone, static, everyone if i == 0 else []))
    return parts


def idle(batch: Batch) -> Batch:
    """All samples in a call that brings them nothing: no steps, events or labels."""
    timeline, where = take_steps(batch.timeline, [0] * len(batch), [0] * len(batch))
    timeline = replace(timeline, continues=batch.timeline.continues)
    return _part(batch, timeline, where, list(range(len(batch))), batch.events, [])[0]


def without_events(batch: Batch, names: Collection[str]) -> Batch:
    """The same steps and labels, but nothing observed of these modalities."""
    none = torch.zeros(0, dtype=torch.int64)
    events = {
        name: take_events(events, none) if name in names else events for name, events in batch.events.items()
    }
    return replace(batch, events=events)


def with_other_values(batch: Batch, steps: Bool[Tensor, "step"], static: Collection[str]) -> Batch:
    """The same events, steps and labels, but at these steps other values; static ones stay."""
    return replace(
        batch,
        events={
            name: events if name in static else _with_other_values(events, steps[events.step])
            for name, events in batch.events.items()
        },
    )


def _with_other_values(events: Events, changed: Bool[Tensor, "event"]) -> Events:
    """Numbers become others, codes those of a neighbour."""
    rows = torch.nonzero(changed)[:, 0]
    other = {}
    for name, value in vars(events).items():
        if name == "step" or not isinstance(value, Tensor):
            continue
        new = value[rows] * -3 + 1 if value.is_floating_point() else value[rows].roll(1, 0)
        other[name] = value.index_copy(0, rows, new)
    return replace(events, **other)


def _part(
    batch: Batch,
    timeline: Timeline,
    where: Tensor,
    samples: list[int],
    static: Collection[str],
    static_samples: list[int],
) -> tuple[Batch, Labels]:
    events = {}
    for name, whole in batch.events.items():
        places = torch.tensor(static_samples, dtype=torch.int64) if name in static else where
        events[name], _ = take_events_at(whole, places)
    targets, labels = {}, {}
    for task, target in batch.targets.items():
        targets[task], labels[task] = _take_target(target, where, batch.timeline.n_steps)
    ids = [batch.ids[i] for i in samples]
    return replace(batch, ids=ids, timeline=timeline, events=events, targets=targets), labels


def _take_target(target: Target, where: Tensor, n_steps: int) -> tuple[Target, Int64[Tensor, "part"]]:
    """The labels at these steps, which become 0, 1, …; and their rows."""
    new = torch.full((n_steps,), -1).index_copy(0, where, torch.arange(len(where)))[target.where]
    rows = torch.nonzero(new >= 0)[:, 0]
    return replace(target.take(rows), where=new[rows]), rows
