"""Raw events for any modality, by what it reads, and parts of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from mmseq.batch import Events, TextEvents, Timeline
from mmseq.errors import PluginError
from mmseq.modalities import Arrays, Modality, ModalityConfig, Stored, modalities
from mmseq.ragged import Ragged
from mmseq.sources import Payload, Reading
from mmseq.testing.build import LENGTHS, random_timeline
from mmseq.testing.configs import built
from mmseq.testing.contract import NoExample

COLUMNS = ("a", "b", "c")
WORDS = ("oak", "elm", "ash", "fir", "yew")
SHAPE = (2, 3)
NEW = "new"  # a word that no training split has
TIME_SCALE = 0.7

AnyEvents = TypeVar("AnyEvents", bound=Events)


def example_config(kind: str, *, static: bool = False, **options: Any) -> ModalityConfig:
    """The config of a kind with made-up names for what it reads."""
    fields = modalities.config_class(kind).model_fields
    names: dict[str, Any] = {"table": "events", "time": None if static else "time"}
    if "columns" in fields:
        names["columns"] = list(COLUMNS)
    elif "column" in fields:
        names["column"] = COLUMNS[0]
    elif "value" in fields:
        names |= {"code": COLUMNS[0], "value": COLUMNS[1]}
    if "shape" in fields:
        names["shape"] = list(SHAPE)
    return cast(ModalityConfig, built(modalities, kind, names | options))


def random_arrays(
    reading: Reading, n_events: int, rng: np.random.Generator, n_words: int = len(WORDS)
) -> dict[str, Any]:
    """Cells as a store would hold them; a third is missing, and all of every tenth event.

    Args:
        reading: what the modality reads.
        n_events: how many.
        rng: draws them.
        n_words: codes are below it.
    """
    arrays: dict[str, Any] = {}
    if reading.numbers or reading.pivot:
        values = rng.normal(3, 2, (n_events, len(columns_of(reading)))).astype(np.float32)
        arrays["values"] = np.where(_missing(values.shape, rng), np.float32(np.nan), values)
    if reading.codes:
        code = rng.integers(0, n_words, (n_events, len(reading.codes))).astype(np.int32)
        arrays["code"] = np.where(_missing(code.shape, rng), np.int32(-1), code)
    if reading.payload is not None:
        arrays["payload"] = _random_payload(reading.payload, n_events, rng)
    return arrays


def _random_payload(payload: Payload, n_events: int, rng: np.random.Generator) -> np.ndarray | Ragged:
    """Numbers of the payload's kind; of uint8 in rows of any length, words and spaces, or spaces alone."""
    if payload.shape is not None:
        numbers = rng.normal(100, 20, (n_events, *payload.shape))
        return numbers.astype(payload.dtype)
    if payload.dtype != "uint8":
        return Ragged.of([rng.normal(size=n) for n in rng.integers(0, 9, n_events)], payload.dtype)
    texts = [" ".join(rng.choice([*WORDS, "äöü"], n)) + " " for n in rng.integers(0, 6, n_events)]
    return Ragged.of([np.frombuffer(text.encode(), np.uint8) for text in texts], "uint8")


def columns_of(reading: Reading) -> tuple[str, ...]:
    """Number columns, code columns or that of a payload; of a long table that names none, made-up codes."""
    if reading.payload is not None:
        return (reading.payload.column,)
    return reading.numbers or (COLUMNS if reading.pivot else reading.codes)


def _missing(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    missing = rng.random(shape) < 1 / 3
    missing[::10] = True
    return missing


def stored(
    reading: Reading,
    parts: Sequence[Arrays],
    vocabulary: tuple[str, ...] = WORDS,
    *,
    shared_steps: bool = True,
) -> Stored:
    """A training split that holds these parts."""
    return Stored(
        columns_of(reading),
        (vocabulary,) * len(reading.codes),
        lambda: iter(parts),
        sum(n_rows(part) for part in parts),
        shared_steps,
        TIME_SCALE,
    )


def n_rows(arrays: Arrays) -> int:
    return len(next(iter(arrays.values())))


def random_steps(
    n_places: int, generator: torch.Generator, *, repeats: int = 2, share: float = 0.6
) -> Int64[Tensor, "event"]:
    """Sorted places of events: some places have none, some several (up to `repeats`)."""
    count = torch.randint(1, repeats + 1, (n_places,), generator=generator)
    count = torch.where(torch.rand(n_places, generator=generator) < share, count, 0)
    return torch.arange(n_places).repeat_interleave(count)


def example_events(reads: type[Events], seed: int = 0) -> tuple[Any, Events]:
    """A fitted spec and ready events of some modality whose events an encoder of `reads` can encode.

    Raises:
        NoExample: no modality gives any.
    """
    found = []
    for kind in modalities.kinds():
        try:
            cls = modalities.component_class(kind)
        except PluginError:  # another's, which is told where it is used
            continue
        if issubclass(cls.gives, reads):
            found.append((not cls.__module__.startswith("mmseq."), kind))  # ours first, whatever is installed
    if found:
        return _ready(example_config(min(found)[1]), seed)
    raise NoExample(f"no modality gives {reads.__name__}; pass events of your own")


def _ready(config: ModalityConfig, seed: int) -> tuple[Any, Events]:
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    modality_class = modalities.component_class(config.kind)
    reading = modality_class.reading(config)
    spec = modality_class.fit(config, stored(reading, [random_arrays(reading, 400, rng)]))
    modality: Modality = modalities.build(config, spec).double()
    timeline: Timeline = random_timeline(LENGTHS, generator)
    step = random_steps(timeline.n_steps, generator)
    arrays = random_arrays(reading, len(step), rng, len(WORDS) + 1)
    events = modality.events(step, arrays, ((*WORDS, NEW),) * len(reading.codes))
    return spec, modality(events, timeline)[0]


def take_events(
    events: AnyEvents, rows: Int64[Tensor, "part"], step: Int64[Tensor, "part"] | None = None
) -> AnyEvents:
    """Some events, in this order, at other steps if given."""
    taken = events.take(rows)
    return taken if step is None else replace(taken, step=step)


def take_events_at(
    events: AnyEvents, where: Int64[Tensor, "place"]
) -> tuple[AnyEvents, Int64[Tensor, "part"]]:
    """The events at these steps (of a static modality, samples), which become 0, 1, …; and their rows."""
    places = max([-1, *events.step.tolist(), *where.tolist()]) + 1
    new = torch.full((places,), -1).index_copy(0, where, torch.arange(len(where)))[events.step]
    rows = torch.nonzero(new >= 0)[:, 0]
    rows = rows[new[rows].argsort(stable=True)]
    return take_events(events, rows, new[rows]), rows


def tensors_of(events: Events) -> dict[str, Tensor]:
    """The fields of events that are tensors."""
    values = {field.name: getattr(events, field.name) for field in fields(events)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def numbers_of(events: Events) -> dict[str, Tensor]:
    """The same as float64, one row an event, so that they can be compared."""
    values = {name: v.double() for name, v in tensors_of(events).items() if name not in events.ragged}
    if isinstance(events, TextEvents):
        place = torch.arange(len(events.token)) - events.starts[:-1][events.event]
        mixed = (events.token + 1) * torch.cos(place.double())
        values["length"] = events.lengths.double()
        values["tokens"] = values["length"].new_zeros(len(events)).index_add(0, events.event, mixed)
    return values
