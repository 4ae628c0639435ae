"""What may come next: events drawn one after another, from a model's own predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, zip_longest
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from mmseq.batch import Batch, Events, Timeline
from mmseq.inference.choice import Choice, clocks_of
from mmseq.random import Draws, hash_key, hash_name, mix
from mmseq.state import map_state
from mmseq.store.plan import SECONDS, seconds
from mmseq.store.timeline import TOLERANCE, bin_width
from mmseq.words import word_number

if TYPE_CHECKING:
    from mmseq.model import Model

_LEAST_WAIT = 1e-6  # of the typical time between steps: time has to pass, or a horizon is never reached


@dataclass(frozen=True)
class Made:
    """The events of one step of some paths.

    Attributes:
        sample: of each path, its place in the batch.
        path: its number.
        time: of the step.
        values: by modality, what each path got; None where it got nothing.
    """

    sample: list[int]
    path: list[int]
    time: list[float]
    values: dict[str, list[Any]]


class Paths:
    """Ways in which the samples of a batch may go on, drawn side by side.

    Clocks compete: each modality draws when its next event comes; the earliest wins, and its event is drawn
    and fed to the model. Then all draw anew from what the model knows now, but for one that predicts from its
    own steps only, whose time stands until it comes. Modalities whose times are equal share the step.

    A path's random numbers depend on the seed, the sample's id, the path's number and the step alone.

    Args:
        model: predicts; in evaluation mode.
        batch: what is known of the samples; each has a step.
        choice: how paths are drawn.

    Raises:
        ConfigError: the model cannot generate.
    """

    def __init__(self, model: Model, batch: Batch, choice: Choice) -> None:
        self.model, self.choice = model, choice
        self.clocks = clocks_of(model)
        timeline = model.experiment.timeline
        resolution = None if timeline.resolution is None else seconds(timeline.resolution)
        self.width = bin_width(resolution, SECONDS[timeline.unit], is_moment=False)
        self._begin(batch)

    def _begin(self, batch: Batch) -> None:
        """Reads what is known, and draws each modality's first time."""
        n, device = self.choice.n, self.model.like.device
        batch = replace(batch, timeline=replace(batch.timeline, continues=True))
        last = batch.timeline.last
        seen = [_last_own(batch, clock.modality) if clock.own else last for clock in self.clocks]
        begin = self.model.begin(len(batch))
        parameters, state = self.model.predict_at(batch.to(device), torch.cat(seen).to(device), begin)
        row = torch.arange(len(batch)).repeat_interleave(n)
        self.sample, self.path = row, torch.arange(n).repeat(len(batch))
        self.ids = batch.ids
        self.key = _keys(self.choice.seed, batch.ids, n)
        self.state = map_state(lambda x: x[row.to(device)], state)
        self.now = batch.timeline.time[last][row]
        self.end = self.now + (math.inf if self.choice.horizon is None else self.choice.horizon)
        self.parameters, times = [], []
        for i, clock in enumerate(self.clocks):
            own = parameters[clock.task][i * len(batch) : (i + 1) * len(batch)]
            self.parameters.append(own.cpu()[row])
            times.append(self._propose(i, batch.timeline.time[seen[i]][row], 0))
        self.times = torch.stack(times, 1)

    def __iter__(self) -> Iterator[Made]:
        """Step after step; those of a path that has ended are no longer there."""
        for step in count():
            first = self.times.min(1).values
            within = self.end + TOLERANCE * self.end.abs().clamp(min=1)
            going = first.isfinite() & (first <= within)
            if self.choice.steps is not None and step >= self.choice.steps:
                return
            if not bool(going.all()):
                self._keep(torch.nonzero(going)[:, 0])
            if not len(self.now):
                return
            yield self._advance(step + 1)

    def _keep(self, row: Int64[Tensor, "kept"]) -> None:
        """Drops the paths that have ended."""
        for name in ("sample", "path", "key", "now", "end", "times"):
            setattr(self, name, getattr(self, name)[row])
        self.parameters = [own[row] for own in self.parameters]
        on_device = row.to(self.model.like.device)
        self.state = map_state(lambda x: x[on_device], self.state)

    def _advance(self, step: int) -> Made:
        """Draws the events that come first, shows them to the model, and has it predict again."""
        self.now = self.times.min(1).values
        comes = self.times == self.now[:, None]
        events, values = {}, {}
        for i, clock in enumerate(self.clocks):
            events[clock.modality], values[clock.modality] = self._draw(i, comes[:, i], step)
        batch = _batch_at(self.model, [self.ids[i] for i in self.sample.tolist()], self.now, events)
        parameters, self.state = self.model.predict_at(batch, None, self.state)
        for i, clock in enumerate(self.clocks):
            # What is predicted from own steps stands until there is another.
            anew = comes[:, i] if clock.own else torch.ones_like(comes[:, i])
            fresh = parameters[clock.task].cpu()
            self.parameters[i] = torch.where(anew[:, None], fresh, self.parameters[i])
            self.times[:, i] = torch.where(anew, self._propose(i, self.now, step), self.times[:, i])
        return Made(self.sample.tolist(), self.path.tolist(), self.now.tolist(), values)

    def _propose(self, i: int, since: Float64[Tensor, "path"], step: int) -> Float64[Tensor, "path"]:
        """When each path's next event of a modality comes, predicted at `since`, and later than now."""
        draws = self._draws(f"wait {self.clocks[i].task}", step)
        elapsed, temperature = self.now - since, self.choice.temperature
        wait = self.clocks[i].head.sample_wait(self.parameters[i], draws, elapsed, temperature=temperature)
        time = since + wait
        if self.width is not None:
            # The bin end that is nearest: the waits that were learned are between bin ends.
            nearest = (time / self.width).round()
            return nearest.maximum((self.now / self.width).round() + 1) * self.width
        least = self.now + _LEAST_WAIT * self.model.facts.time_scale
        return time.maximum(least).maximum(self.now.nextafter(torch.full_like(self.now, math.inf)))

    def _draw(self, i: int, comes: Bool[Tensor, "path"], step: int) -> tuple[Events, list[Any]]:
        """A modality's events of a step, as the model takes them and as they are told."""
        clock, row = self.clocks[i], torch.nonzero(comes)[:, 0]
        modality = self.model.modalities[clock.modality]
        columns = clock.head.sample(
            self.parameters[i][row],
            Draws(self._draws(f"event {clock.task}", step).key[row]),
            temperature=self.choice.temperature,
            top_k=self.choice.top_k,
        )
        drawn = _by_event(columns) if len(row) else []
        at = [int(r) for r, these in zip(row, drawn, strict=True) for _ in these]
        flat = [event for these in drawn for event in these]
        events = modality.parse(torch.tensor(at, dtype=torch.int64), flat)
        for column in modality.unknown(events):  # which training never had: nothing is known of its values
            for event in flat:
                if isinstance(event, dict):
                    event.pop(column, None)
        told: list[Any] = [None] * len(comes)
        is_set = any(isinstance(values[0], list) for values in columns.values() if values)
        for r, these in zip(row.tolist(), drawn, strict=True):
            told[r] = these if is_set else these[0]
        return events, told

    def _draws(self, name: str, step: int) -> Draws:
        return Draws(mix(self.key + hash_key(hash_name(name), step)))


def _keys(seed: int, ids: Sequence[str], n: int) -> Int64[Tensor, "path"]:
    """A number for each path of each sample."""
    keys = [hash_key(seed, word_number(id), path) for id in ids for path in range(n)]
    return torch.tensor(keys, dtype=torch.int64)


def _last_own(batch: Batch, name: str) -> Int64[Tensor, "sample"]:
    """The last step of each sample at which a modality is present; its last of all where it never was."""
    timeline, step = batch.timeline, batch.events[name].step
    end = torch.searchsorted(step, timeline.starts)
    own = step[(end[1:] - 1).clamp(min=0)] if len(step) else timeline.last
    return torch.where(end.diff() > 0, own, timeline.last)


def _by_event(columns: dict[str, list[Any]]) -> list[list[Any]]:
    """Columns, a value a path or a list of several → each path's events: scalars, or dicts by column."""
    names = list(columns)

    def event(cells: Sequence[Any]) -> Any:
        if names == [""]:
            return cells[0]
        return {name: cell for name, cell in zip(names, cells, strict=True) if cell is not None}

    rows = zip(*columns.values(), strict=True)
    as_lists = ([cell if isinstance(cell, list) else [cell] for cell in row] for row in rows)
    return [[event(cells) for cells in zip_longest(*lists)] for lists in as_lists]


def _batch_at(model: Model, ids: list[str], time: Float[Tensor, "path"], events: dict[str, Events]) -> Batch:
    """One step of each path, with these events and no others."""
    everything = model.no_events() | events
    return Batch(ids, Timeline.of_one_step(time), everything).to(model.like.device)


def nothing_known(model: Model) -> Batch:
    """One sample with a step at time 0, and no event."""
    return _batch_at(model, [""], torch.zeros(1, dtype=torch.float64), {})
