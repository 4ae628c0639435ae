"""Stored samples → a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from mmseq.batch.asked import Asked
from mmseq.batch.batch import Batch
from mmseq.batch.contrast import Negatives, bare_target
from mmseq.batch.events import Events, NumericEvents
from mmseq.batch.hiding import Hiding, without
from mmseq.batch.horizon import all_ahead
from mmseq.batch.next_step import Known, following, last_before, merged_steps, next_step_target
from mmseq.batch.order import split
from mmseq.batch.target import Target
from mmseq.batch.timeline import Timeline
from mmseq.heads import HidingConfig, Labels
from mmseq.random import Noise

if TYPE_CHECKING:
    from mmseq.heads.next_step import NextEventConfig
    from mmseq.model import Model
    from mmseq.store import Gathered, Store, Window
    from mmseq.store.draw import Drawn
    from mmseq.store.gather import Rows


class Assembler:
    """Reads samples from a store as a model wants them.

    Args:
        store: where they are.
        model: whose modalities make the events and whose heads encode the labels.
        tasks: whose targets are wanted; none: pure prediction.
        previous: also tell the last value before each next-step target, for its baseline.
        among: the samples whose events are negatives for others' next ones; None: all of the store.
    """

    def __init__(
        self,
        store: Store,
        model: Model,
        *,
        tasks: list[str],
        previous: bool = False,
        among: Int64[np.ndarray, "member"] | None = None,
    ) -> None:
        self.store, self.previous = store, previous
        self.modalities = dict(model.modalities.items())
        self.heads = {task: model.heads[task] for task in tasks}
        self.configs = model.experiment.tasks
        self.vocabularies = {name: store.vocabularies(name) for name in self.modalities}
        self.early = model.experiment.training.supervise == "every_step"
        self._known: dict[str, tuple[tuple[bytes, int | None], int, np.ndarray | None]] = {}
        self._whole: tuple[tuple[bytes, Window | None, int], dict[str, float]] | None = None
        self.stored_tasks = [task for task in tasks if task in store.tasks]
        self.negatives = self._negatives(np.arange(len(store)) if among is None else among)
        self.ahead = all_ahead({task: self.configs[task] for task in tasks}, store)
        self.hiding = {
            task: Hiding(task, config.modality, self.modalities[config.modality], config.hide)
            for task in tasks
            if isinstance(config := self.configs[task], HidingConfig)
        }

    @property
    def passes(self) -> list[bool]:
        """Whether cells are hidden, of each pass over the samples that evaluation takes."""
        return [False] * (not self.hiding or len(self.hiding) < len(self.heads)) + [True] * bool(self.hiding)

    def _answering(self, asked: Asked) -> list[str]:
        """The tasks that a batch has targets of."""
        return [t for t in self.heads if asked.seed is not None or (t in self.hiding) == asked.hide]

    def _negatives(self, among: Int64[np.ndarray, "member"]) -> dict[str, Negatives]:
        """Of the tasks that tell next events apart."""
        contrasted = {task: head.negatives for task, head in self.heads.items() if head.negatives}
        names = {task: self._predicted(task) for task in contrasted}
        return {
            task: Negatives(
                self.store, self.modalities[names[task]], names[task], task=task, n=n, among=among
            )
            for task, n in contrasted.items()
        }

    def drawing_from(self, among: Int64[np.ndarray, "member"]) -> Assembler:
        """The same, but with the events of these samples as negatives."""
        other = copy.copy(self)
        other.negatives = self._negatives(among)
        return other

    def _predicted(self, task: str) -> str:
        """The modality whose events are a task's labels."""
        return str(self.configs[task].told_by)

    def batch(
        self,
        samples: Int64[np.ndarray, "member"],
        seed: int | None = None,
        window: Window | None = None,
        *,
        hide: bool = False,
    ) -> Batch:
        """These samples, in this order.

        Args:
            samples: their places in the store.
            seed: dropout is on, and draws its masks from it, as what is hidden is; None: it is off.
            window: the steps [first, last) of each sample; None: all.
            hide: without a seed, cells are hidden, and the tasks that hide them are asked; else the others.
        """
        asked = Asked(samples, window, seed, hide)
        return self._batch(asked, self._goes_on(samples, window))

    def _goes_on(self, samples: Int64[np.ndarray, "member"], window: Window | None) -> bool:
        return window is not None and bool((self.store.lengths[samples] > window[1]).any())

    def _batch(self, asked: Asked, continues: bool, weights: dict[str, float] | None = None) -> Batch:
        """What is asked for, with the label weights of the whole batch that it is a part of, or its own."""
        samples, seed, window = asked.samples, asked.seed, asked.window
        early = self.early and seed is not None
        gathered = self.store.gather(samples, list(self.modalities), self.stored_tasks, window, early)
        noise = None if seed is None else Noise(seed, torch.from_numpy(samples.astype(np.int64)))
        delta = np.diff(gathered.time, prepend=0.0)
        delta[gathered.starts[:-1][np.diff(gathered.starts) > 0]] = 0  # if it goes on, the model knows better
        timeline = Timeline(
            torch.from_numpy(gathered.starts),
            torch.from_numpy(gathered.time),
            torch.from_numpy(delta.astype(np.float32)),
            continues=continues,
            noise=noise,
        )
        events = {name: self._events(name, gathered) for name in self.modalities}
        drawn = {task: negatives.draw(samples, seed) for task, negatives in self.negatives.items()}
        hidden = self._hidden(asked, gathered, events)
        targets = self._targets(asked, gathered, events, hidden, drawn)
        for name, cells in hidden.items():
            events[name] = without(cast(NumericEvents, events[name]), cells)
        ids, begin = self.store.ids[samples].tolist(), 0 if window is None else window[0]
        if weights is None:
            weights = self._weights(targets, samples, window if early else None)
        return Batch(ids, timeline, events, targets, weights, begin=begin)

    def _hidden(
        self, asked: Asked, gathered: Gathered, events: Mapping[str, Events]
    ) -> dict[str, Bool[Tensor, "event feature"]]:
        """By modality, the cells that the model is not to see."""
        if not asked.hides:
            return {}
        place = asked.place(gathered.starts)
        each = self.hiding.values()
        return {own.name: own.cells(cast(NumericEvents, events[own.name]), place) for own in each}

    def labels(self, samples: Int64[np.ndarray, "member"]) -> dict[str, Target]:
        """The stored labels of whole samples alone, `where` being the sample's place here."""
        gathered = self.store.gather(samples, [], self.stored_tasks, times=False)
        targets = {task: self._stored_target(task, gathered, None) for task in self.stored_tasks}
        last = gathered.starts[1:]
        return {
            task: replace(t, where=torch.from_numpy(np.searchsorted(last, t.where.numpy(), side="right")))
            for task, t in targets.items()
        }

    def micro_batch(
        self,
        samples: Int64[np.ndarray, "member"],
        part: int,
        parts: int,
        seed: int,
        window: Window | None = None,
    ) -> Batch:
        """One of `parts` micro-batches of a global batch, with the label weights of the whole.

        Args:
            samples: of the global batch.
            part: which one.
            parts: of how many; each has about as many steps.
            seed: of the global batch's first optimizer step.
            window: the steps [first, last) of each sample; None: all.
        """
        if parts == 1:
            return self.batch(samples, seed, window)
        key = (samples.tobytes(), window, seed)
        if self._whole is None or self._whole[0] != key:  # the parts of a batch come one after another
            self._whole = (key, self._label_weights(Asked(samples, window, seed)))
        mine = split(samples, self.store.lengths[samples], parts)[part]
        batch = self._batch(Asked(mine, window, seed), self._goes_on(samples, window), self._whole[1])
        return replace(batch, share=1 / parts)

    def _label_weights(self, asked: Asked) -> dict[str, float]:
        """Of a whole global batch, reading only what targets are made of."""
        samples, window = asked.samples, asked.window
        contrasted = {self._predicted(task) for task in self.negatives}
        likely = {self._predicted(t) for t in self.heads if t not in (*self.stored_tasks, *self.negatives)}
        hiding = {own.name for own in self.hiding.values()}
        # Of a window, each task that looks ahead reads its own.
        needed = sorted(contrasted | likely if window is None else hiding)
        bare = contrasted - likely
        gathered = self.store.gather(samples, needed, self.stored_tasks, window, self.early, bare=bare)
        events = {name: self._events(name, gathered) for name in gathered.events}
        hidden = self._hidden(asked, gathered, events)
        targets = self._targets(asked, gathered, events, hidden, {})
        return self._weights(targets, samples, window if self.early else None)

    def _events(self, name: str, gathered: Gathered) -> Events:
        """The events of a modality; where it was gathered without arrays, their steps."""
        rows = gathered.events[name]
        if not rows.arrays:
            return Events(torch.from_numpy(rows.step))
        return self.modalities[name].events(torch.from_numpy(rows.step), rows.arrays, self.vocabularies[name])

    def _targets(
        self,
        asked: Asked,
        gathered: Gathered,
        events: Mapping[str, Events],
        hidden: Mapping[str, Bool[Tensor, "event feature"]],
        drawn: Mapping[str, Drawn],
    ) -> dict[str, Target]:
        """What is asked for, from the events as they are."""
        targets, samples, window = {}, asked.samples, asked.window
        early = samples if self.early and asked.seed is not None else None
        for task in self._answering(asked):
            if task in self.stored_tasks:
                targets[task] = self._stored_target(task, gathered, early)
            elif task in self.hiding:
                own = cast(NumericEvents, events[self._predicted(task)])
                targets[task] = self._hidden_target(task, asked, gathered, own, hidden)
            elif task in self.ahead:
                targets[task] = self._at_horizon(task, samples, gathered, window)
            elif window is None:
                targets[task] = self._next_step(
                    task, gathered, events[self._predicted(task)], samples, drawn.get(task)
                )
            else:
                targets[task] = self._next_step_of_window(task, samples, window, drawn.get(task))
        return targets

    def _hidden_target(
        self,
        task: str,
        asked: Asked,
        gathered: Gathered,
        events: NumericEvents,
        hidden: Mapping[str, Bool[Tensor, "event feature"]],
    ) -> Target:
        """The cells that a task has hidden."""
        hiding, place, before = self.hiding[task], asked.place(gathered.starts), None
        if asked.window is not None:
            read = hiding.visible(self.vocabularies[hiding.name], place.seed)
            before = self._known_before(task, asked.samples, asked.window, read, asked.seed)
        cells, previous = hidden[hiding.name], self.previous
        return hiding.target(events, cells, place, previous=previous, before=before)

    def _next_step(
        self,
        task: str,
        gathered: Gathered,
        events: Events,
        samples: Int64[np.ndarray, "member"],
        drawn: Drawn | None,
        before: Any = None,
    ) -> Target:
        """A task's next events; of one that is told apart, without what was drawn only how many there are."""
        config = cast("NextEventConfig", self.configs[task])
        own, starts, time = config.at == "own", gathered.starts, gathered.time
        if task in self.negatives:
            after = following(events.step.numpy(), starts, time, own=own)
            if drawn is None:
                return bare_target(after)
            return self.negatives[task].target(events, after, samples, time, drawn)
        modality, previous = self.modalities[config.modality], self.previous
        return next_step_target(modality, events, starts, time, own=own, previous=previous, before=before)

    def _next_step_of_window(
        self, task: str, samples: Int64[np.ndarray, "member"], window: Window, drawn: Drawn | None
    ) -> Target:
        """The last steps of a window have their next event after it."""
        name = self._predicted(task)
        bare = task in self.negatives and drawn is None
        gathered, more = self.store.gather_ahead(samples, name, window, bare)
        before = None
        if task not in self.negatives:
            read = merged_steps(self.modalities[name], self.vocabularies[name])
            before = self._known_before(task, samples, window, read)
        target = self._next_step(task, gathered, self._events(name, gathered), samples, drawn, before)
        last = gathered.starts[1:] - 1
        where = target.where.numpy()
        inside = ~np.isin(where, last[more])
        passed = np.searchsorted(last[more], where[inside])
        target = target.take(torch.from_numpy(np.flatnonzero(inside)))
        return replace(target, where=torch.from_numpy(where[inside] - passed))

    def _at_horizon(
        self, task: str, samples: Int64[np.ndarray, "member"], gathered: Gathered, window: Window | None
    ) -> Target:
        """A task's values at its horizon, which of the last steps of a window lie after it."""
        ahead, before = self.ahead[task], None
        if window is not None:
            seen = (window[0], ahead.stop(samples, window[1]))
            gathered = self.store.gather(samples, [ahead.name], [], seen)
            before = self._known_before(task, samples, window, ahead.known)
        head, previous = self.heads[task], self.previous
        return ahead.target(head, gathered, window, previous=previous, before=before)

    def _known_before(
        self,
        task: str,
        samples: Int64[np.ndarray, "member"],
        window: Window,
        read: Callable[[Rows, int, int], Known],
        seed: int | None = None,
    ) -> Float64[np.ndarray, "member column"] | None:
        """The last values before a window, where a baseline asks; in order, each step is read once."""
        step, name = window[0], self._predicted(task)
        if not (self.previous and step and len(samples)):
            return None
        who, begin, known = self._known.get(task, ((b"", None), 0, None))
        if who != (samples.tobytes(), seed) or begin >= step:
            begin, known = 0, None
        known = last_before(self.store, name, samples, (begin, step), read, known)
        self._known[task] = ((samples.tobytes(), seed), step, known)
        return known

    def _stored_target(
        self, task: str, gathered: Gathered, early: Int64[np.ndarray, "member"] | None
    ) -> Target:
        """Labels as they are stored; or, of the samples `early`, those of the whole at every step."""
        rows = gathered.targets[task]
        encoded = self.heads[task].encode(labels_of(self.store, task, rows.arrays))
        observed = None if encoded.observed is None else torch.from_numpy(encoded.observed)
        target = Target(torch.from_numpy(rows.step[encoded.row]), torch.from_numpy(encoded.value), observed)
        if early is None or self.store.entry(task).timed:
            return target
        sample = np.repeat(np.arange(len(early)), np.diff(rows.starts))[encoded.row]
        return spread(target, sample, gathered.starts, self.store.lengths[early])

    def _weights(
        self, targets: Mapping[str, Target], samples: Int64[np.ndarray, "member"], early: Window | None
    ) -> dict[str, float]:
        """The label weight of each task.

        Of labels that stand at every step of a window, `early`, it is that of all windows by their number:
        else the shares of a long sample, which is alone in its last windows, would count as whole labels.
        """
        weights = {task: self._weight(task, target) for task, target in targets.items()}
        if early is None:
            return weights
        n_windows = -(-int(self.store.lengths[samples].max()) // (early[1] - early[0]))
        whole = {t: self._weight(t, own) for t, own in self.labels(samples).items()}
        of_samples = [task for task in self.stored_tasks if not self.store.entry(task).timed]
        return weights | {task: whole[task] / n_windows for task in of_samples if weights[task]}

    def _weight(self, task: str, target: Target) -> float:
        return float(self.heads[task].weights(target).sum())


def spread(
    target: Target,
    sample: Int64[np.ndarray, "label"],
    starts: Int64[np.ndarray, "bound"],
    lengths: Int64[np.ndarray, "member"],
) -> Target:
    """Labels of whole samples → the same at each of their steps, a share of the weight at each.

    Args:
        target: a row a label.
        sample: of each label.
        starts: first step of each sample here, and the number of steps at the end.
        lengths: of each sample as a whole.
    """
    counts = np.diff(starts)[sample]
    row = np.repeat(np.arange(len(sample)), counts)
    where = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts - starts[sample], counts)
    weight = (1 / lengths[sample])[row].astype(np.float32)
    spread = target.take(torch.from_numpy(row))
    return replace(spread, where=torch.from_numpy(where), weight=torch.from_numpy(weight))


def labels_of(store: Store, task: str, arrays: Mapping[str, np.ndarray]) -> Labels:
    """Stored arrays of a task as raw labels."""
    vocabularies = store.vocabularies(task)
    n = len(next(iter(arrays.values())))
    return Labels(
        store.columns(task),
        arrays.get("values", np.zeros((n, 0), np.float32)),
        arrays["code"][:, 0] if "code" in arrays else np.zeros(0, np.int32),
        vocabularies[0] if vocabularies else (),
        task,
    )
