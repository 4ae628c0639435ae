"""A model that runs live: an event comes, a prediction goes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmseq.batch import Batch, Events, Timeline
from mmseq.bundle import dump_json, read_folder, write_folder
from mmseq.errors import CheckpointError, DataError
from mmseq.inference.predict import decode, table_of
from mmseq.model import Model
from mmseq.registry import did_you_mean
from mmseq.run import Run, model_of
from mmseq.streaming.clock import LiveClock, Time
from mmseq.streaming.listener import Listener, Recorded
from mmseq.streaming.reader import Reader
from mmseq.streaming.slots import Slots
from mmseq.streaming.waiting import Waiting, plain_cells
from mmseq.tensors import dump_tensors, parse_tensors

SCHEMA = "mmseq stream 2"
HEARD = "heard.safetensors"
_FIRST = torch.zeros(1, dtype=torch.int64)  # the place of a single event, made once


class Stream:
    """Runs a model on events as they come; the numbers are those of the whole sequence at once.

    Each id is a sample of its own, with a state that begins with its first push and ends with `forget`.
    A push is one step, all that was observed at its time, and returns the predictions as of then. With a
    `timeline.resolution`, a bin is a step: it closes when a push of a later bin comes, or at `flush`, and
    its predictions are returned then. With a `timeline.anchor`, only its events make steps; others wait
    for the next. Values of static modalities come with any push, at best with the first.

    Args:
        model: with a causal core, which is put in evaluation mode; or its run, or the folder of either.

    Attributes:
        unknown: by `modality.column`, how many values came that training never had.

    Raises:
        ConfigError: the core is not causal.
    """

    def __init__(self, model: Model | Run | str | Path) -> None:
        self.model = model = model_of(model).eval()
        self.clock = LiveClock(model)
        self.slots = Slots(model.begin(1))
        self.waiting: dict[str, Waiting] = {}
        self._anchor = model.experiment.timeline.anchor
        self.unknown: Counter[str] = Counter()
        self._modalities = dict(model.modalities.items())
        self.listener = Listener(self._modalities, self.clock)
        self._reader = Reader(model, recorded=self.listener.payloads.keys())
        self._timed = self._reader.timed

    def __len__(self) -> int:
        """How many ids it knows."""
        return len(self.clock.last)

    def push(self, id: Any, time: Any, values: Any) -> Any:
        """One step of one sample, or of many in one call.

        Args:
            id: the sample, or a list of samples, each once.
            time: when: a number in the timeline's unit, or a moment (ISO text or datetime), as in training.
            values: what was observed then, by modality: a raw value, see `Modality.parse`, or a list of
                several of one time (dicts or lists, where there are several columns); of a waveform a piece
                that ends then, see `mmseq.streaming.pieces.piece_of`, within which any number of windows,
                and so of steps, may end.

        Returns:
            for one sample a row of the prediction table, a dict, that of the last step that has closed, or
            None where none has, see `rows`; for many a pyarrow Table with a row for each step that has.

        Raises:
            DataError: a time is not later than the sample's last, or a value is not of its modality's kind.
                Nothing is changed then.
        """
        if isinstance(id, str | bytes) or not isinstance(id, Iterable):
            rows = self.rows(id, time, values)
            return rows[-1] if rows else None
        ids, times, many = _texts(_listed("id", id)), _listed("time", time), _listed("values", values)
        if not len(ids) == len(times) == len(many):
            raise DataError(
                f"push: {len(ids)} ids, {len(times)} times and {len(many)} values came; as many of each"
            )
        if len(set(ids)) < len(ids):
            twice = next(one for one in ids if ids.count(one) > 1)
            raise DataError(
                f"push: sample {twice!r} came twice in one call; a call is one step of each sample"
            )
        rounds = self._push(ids, times, many)
        if len(rounds) < 2:
            return table_of(rounds[0] if rounds else self._run([], []))
        columns = {name: np.concatenate([one[name] for one in rounds]) for name in rounds[0]}
        place = {id: i for i, id in enumerate(ids)}
        order = np.argsort([place[id] for id in columns["id"]], kind="stable")
        return table_of({name: column[order] for name, column in columns.items()})

    def rows(self, id: Any, time: Any, values: Any) -> list[dict[str, Any]]:
        """A push of one sample: the rows of all steps that have closed, in their order. Raises as `push`."""
        rounds = self._push(_texts([id]), [time], [values])
        return [{name: _plain(column[0]) for name, column in one.items()} for one in rounds]

    def flush(self, id: Any) -> dict[str, Any] | None:
        """Closes the bin that a sample is in; its predictions, or None where nothing waits.

        Raises:
            DataError: no such sample is known.
        """
        self._must_know(id)
        if id not in self.waiting or not self._makes_step(self.waiting[id]):
            return None
        rows = self._run([id], [self.waiting[id]])
        self.clock.last[id] = self.waiting.pop(id).end  # what is of this bin comes too late now
        return {name: _plain(column[0]) for name, column in rows.items()}

    def forget(self, id: Any) -> None:
        """Drops all that is known of a sample; its next push begins anew.

        Raises:
            DataError: no such sample is known.
        """
        self._must_know(id)
        self.slots.forget(id)
        self.clock.forget(id)
        self.waiting.pop(id, None)
        self.listener.heard.pop(id, None)

    def _must_know(self, id: Any) -> None:
        if not isinstance(id, str) or id not in self.clock.last:
            raise DataError(f"{id!r}: no such sample in this stream{did_you_mean(str(id), self.clock.last)}")

    def _push(
        self, ids: list[str], times: Sequence[Any], values: Sequence[Any]
    ) -> list[dict[str, np.ndarray]]:
        """Closes the steps that are over, a step of each sample at a time, and takes in what came."""
        read = [self.clock.read(id, time) for id, time in zip(ids, times, strict=True)]
        closing: dict[str, list[Waiting]] = {}
        waiting: dict[str, Waiting] = {}
        heard: dict[str, Recorded] = {}
        for id, time, came in zip(ids, read, values, strict=True):
            steps, heard[id] = self._steps(id, time, came)
            waits = self.waiting.get(id)
            for new in steps:
                closes, waits = self._next_step(waits, new)
                if closes is not None:
                    closing.setdefault(id, []).append(closes)
            if waits is not None or len(steps) > 1:
                for new in steps:
                    self._check(id, new)
            if waits is not None:
                waiting[id] = Waiting(waits.end, plain_cells(self._kept(waits.values)))
        rounds = self._close(closing)
        for id, time in zip(ids, read, strict=True):  # from here on nothing fails
            self.clock.last[id] = time
            self.waiting.pop(id, None)
        self.waiting.update(waiting)
        if self.listener.payloads:
            self.listener.heard |= {id: own for id, own in heard.items() if own}
        return rounds

    def _close(self, closing: Mapping[str, list[Waiting]]) -> list[dict[str, np.ndarray]]:
        """Runs the first step of every sample, then the second of those that have one, and so on."""
        rounds = []
        for i in range(max(map(len, closing.values()), default=0)):
            now = {id: steps[i] for id, steps in closing.items() if i < len(steps)}
            rounds.append(self._run(list(now), list(now.values())))
        return rounds

    def _steps(self, id: str, time: Time, came: Any) -> tuple[list[Waiting], Recorded]:
        """What came, by the step that it belongs to, and the recordings as far as they were heard."""
        values = self._reader.read(id, came)
        if not self.listener.payloads:
            return [Waiting(self.clock.end(time), values)], {}
        at, heard = self.listener.take(id, time, values)
        now = {name: events for name, events in values.items() if name not in self.listener.payloads}
        static = {name: now.pop(name) for name in self.model.static & now.keys()}
        if now:
            at.setdefault(time, {}).update(now)
        if static:
            at.setdefault(min(at, default=time), {}).update(static)
        return [Waiting(self.clock.end(end), at[end]) for end in sorted(at)], heard

    def _next_step(self, old: Waiting | None, new: Waiting) -> tuple[Waiting | None, Waiting | None]:
        """The step that closes with what came, and what waits from now on."""
        if old is None or (self.clock.width and old.end < new.end and self._makes_step(old)):
            closes, waits = old, new
        else:  # of the same bin, or waiting for the anchor
            closes, waits = None, Waiting(new.end, self._joined(old.values, new.values))
        if self.clock.width is None and self._makes_step(waits):
            return waits, None
        return closes, waits

    def _check(self, id: str, came: Waiting) -> None:
        """A bad value is told when it comes, not when its bin closes."""
        for name in came.values:
            self._events(name, [id], [came])

    def _kept(self, values: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """What is read when it comes, not when its bin closes: a file may be another by then."""
        return {name: [self._modalities[name].kept(value) for value in own] for name, own in values.items()}

    def _joined(self, first: dict[str, list[Any]], then: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """One after the other; of a static modality the later."""
        told_anew = self.model.static & then.keys()
        earlier = {name: values for name, values in first.items() if name not in told_anew}
        return {name: [*earlier.get(name, ()), *then.get(name, ())] for name in {**first, **then}}

    def _makes_step(self, waiting: Waiting) -> bool:
        """Whether it has events on the clock that makes steps: a static value alone waits for one."""
        if self._anchor is not None:
            return self._anchor in waiting.values
        return not self._timed or not waiting.values.keys().isdisjoint(self._timed)

    @torch.inference_mode()
    def _run(self, ids: list[str], steps: list[Waiting]) -> dict[str, np.ndarray]:
        """One step of each of these samples: their rows of the prediction table."""
        times = [self.clock.since_origin(id, step.end) for id, step in zip(ids, steps, strict=True)]
        timeline = Timeline.of_one_step(torch.from_numpy(np.array(times, np.float64)))
        events = {name: self._events(name, ids, steps) for name in self._modalities}
        batch = Batch(ids, timeline, events)
        device = self.model.like.device
        batch = batch if device.type == "cpu" else batch.to(device)
        parameters, after = self.model.predict_at(batch, None, self.slots.states(ids))
        self.unknown.update(self.model.unknown(events))
        rows = decode(self.model, parameters)
        told = np.array([self.clock.told(step.end) for step in steps])
        self.slots.keep(ids, after)
        for id, step in zip(ids, steps, strict=True):
            self.clock.origin.setdefault(id, step.end)
        return {"id": np.array(ids, object), "time": told, **rows}

    def _events(self, name: str, ids: list[str], steps: list[Waiting]) -> Events:
        place, values = [], []
        for i, step in enumerate(steps):
            for value in step.values.get(name, ()):
                place.append(i)
                values.append(value)
        modality = self._modalities[name]
        try:
            at = _FIRST if place == [0] else torch.tensor(place, dtype=torch.int64)
            return modality.parse(at, values)
        except DataError:
            for i, value in zip(place, values, strict=True):
                try:
                    modality.parse(torch.tensor([0]), [value])
                except DataError as error:
                    raise DataError(f"sample {ids[i]!r}, {name}: {error}") from error
            raise

    def save(self, folder: str | Path) -> None:
        """Writes all states, to go on from in another process; complete or not at all."""
        ids, tensors = self.slots.tensors()
        about = {
            "model": self.model.digest(),
            "states": ids,
            "last": self.clock.last,
            "origin": self.clock.origin,
            "waiting": {id: {"end": one.end, "values": one.values} for id, one in self.waiting.items()},
        }
        about["heard"], kept = self.listener.dump()
        files = {"states.safetensors": dump_tensors(tensors), HEARD: dump_tensors(kept)}
        files["stream.json"] = dump_json(about)
        write_folder(Path(folder), files, SCHEMA)

    @classmethod
    def load(cls, folder: str | Path, model: Model) -> Stream:
        """Goes on where `save` left off, with the same numbers.

        Raises:
            CheckpointError: a file is missing or altered, or it is the stream of another model.
            ConfigError: the model's core is not causal.
        """
        files = read_folder(Path(folder), SCHEMA)
        about, tensors = json.loads(files["stream.json"]), parse_tensors(files["states.safetensors"])
        stream = cls(model)
        if about["model"] != model.digest() or not stream.slots.fits(tensors):
            raise CheckpointError(
                f"{folder}: is the stream of another model; load that one, or begin a new stream"
            )
        stream.slots.restore(about["states"], tensors)
        stream.clock.last, stream.clock.origin = about["last"], about["origin"]
        stream.waiting = {id: Waiting(**one) for id, one in about["waiting"].items()}
        stream.listener.restore(about["heard"], files.tensors(HEARD))
        return stream


def _listed(name: str, given: Any) -> list[Any]:
    """What came for many samples. Raises DataError where it is not one for each."""
    if not isinstance(given, str | bytes | Mapping):
        with suppress(TypeError):
            return list(given)
    raise DataError(
        f"push: of many samples, `{name}` is a list, with one for each id; came {str(given)[:60]!r}, a "
        f"{type(given).__name__}; give a list, or one id, which is text"
    )


def _texts(ids: list[Any]) -> list[str]:
    """Ids, every one of which must be text: 1 and '1' would be the same in a saved stream."""
    for id in ids:
        if not isinstance(id, str):
            raise DataError(f"push: an id is text; came {id!r}, a {type(id).__name__}; write it as text")
    return ids


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
