"""Reads off the training split what the model must know beside its weights."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from mmseq.batch.ahead import all_ahead
from mmseq.batch.next_step import following
from mmseq.batch.stored import labels_of
from mmseq.config.experiment import Experiment
from mmseq.facts import Facts
from mmseq.heads import Upcoming, heads
from mmseq.modalities import Stored, modalities
from mmseq.refused import telling_where

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store import Store

_TIMED_SAMPLES = 2_000  # enough of them to tell a typical time between steps
_TIMED_STEPS = (0, 16_384)  # and enough of each


def fit(
    experiment: Experiment, store: Store, samples: Int64[np.ndarray, "member"], data: Any = None
) -> Facts:
    """Fits every modality and task on these samples, in the store's order, and on no others.

    Args:
        experiment: says what there is to fit.
        store: holds the samples.
        samples: of the training split.
        data: tables in memory, to name a bad row of; for a source of kind `memory`.
    """
    samples = np.sort(samples)
    scale = _time_scale(store, samples)
    modality_specs = {
        name: modalities.component_class(config.kind).fit(config, _stored(store, name, samples, scale))
        for name, config in experiment.modalities.items()
    }
    built = {
        name: modalities.build(experiment.modalities[name], spec) for name, spec in modality_specs.items()
    }
    task_specs, ahead = {}, all_ahead(experiment.tasks, store)
    config: Any
    facts: Any
    for task, config in experiment.tasks.items():
        if task in store.tasks:
            facts = labels(store, task, samples)
        elif task in ahead:
            facts = ahead[task].labels(ahead[task].values(samples))
        else:
            waits = _waits(store, config, samples) if config.looks_ahead else np.zeros(0)
            facts = Upcoming(built[config.modality], waits)
        with telling_where(experiment, store, task, samples, data):
            task_specs[task] = heads.component_class(config.kind).fit(config, facts)
    return Facts(scale, modality_specs, task_specs, store.manifest.clock)


def labels(store: Store, task: str, samples: Int64[np.ndarray, "member"]) -> Any:
    """The raw labels of some samples."""
    return labels_of(store, task, store.gather(samples, [], [task], times=False).targets[task].arrays)


def check_labels(model: Model, store: Store, samples: Int64[np.ndarray, "member"], data: Any = None) -> None:
    """Whether the tasks of a model that is fitted can read the stored labels of these samples.

    Raises:
        DataError: one cannot be read, such as a class that training never had; it is told where it stands.
    """
    for task in store.tasks:
        with telling_where(model.experiment, store, task, samples, data):
            model.heads[task].encode(labels(store, task, samples))


def _waits(store: Store, config: Any, samples: np.ndarray) -> np.ndarray:
    """How long some of the steps wait for the modality's next event."""
    name = config.modality
    gathered = store.gather(_some(samples), [name], [], _TIMED_STEPS, bare=[name])
    step, own = gathered.events[name].step, config.at == "own"
    return following(step, gathered.starts, gathered.time, own=own).wait


def _stored(store: Store, name: str, samples: np.ndarray, scale: float) -> Stored:
    return Stored(
        store.columns(name),
        store.vocabularies(name),
        partial(store.chunks, name, samples),
        int(store.n_events(name)[samples].sum()),
        store.shared_steps(name),
        scale,
    )


def _time_scale(store: Store, samples: np.ndarray) -> float:
    """The median time between neighbouring steps; 1 where no sample has two."""
    gathered = store.gather(_some(samples), [], [], _TIMED_STEPS)
    inside = np.ones(len(gathered.time), bool)
    inside[gathered.starts[:-1]] = False
    deltas = np.diff(gathered.time, prepend=0.0)[inside]
    return float(np.median(deltas)) if len(deltas) else 1.0


def _some(samples: np.ndarray) -> np.ndarray:
    return samples[:: max(1, len(samples) // _TIMED_SAMPLES)]
