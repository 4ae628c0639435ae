"""From a configuration to the store of its data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmseq.config.experiment import Experiment
from mmseq.errors import ConfigError, DataError
from mmseq.sources import Source, SourceConfig, sources
from mmseq.store.plan import Plan, plan_of
from mmseq.store.prepare import prepare as prepare_store
from mmseq.store.ready import open_ready

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store.read import Store

IN_MEMORY = "memory"


def prepare(experiment: Experiment, data: Any = None) -> Store:
    """The store of an experiment's data: built, found again where nothing has changed, or as given.

    Args:
        experiment: names the source.
        data: tables in memory, for a source of kind `memory`.

    Raises:
        ConfigError, DataError: config or data break a rule; nothing is left behind.
        CheckpointError: a store is not whole.
    """
    if experiment.data.prepared is not None:
        return open_ready(experiment.data.prepared, plan_of(experiment))
    return prepare_store(
        plan_of(experiment),
        source_of(experiment, data),
        experiment.data.store,
        memory_limit=experiment.data.memory_limit,
        shard_events=experiment.data.shard_events,
    )


def prepare_inputs(model: Model, data: Any, folder: Path) -> Store:
    """A store of raw inputs for a model that exists; see `inputs_of`.

    Raises:
        ConfigError, DataError: the data break a rule.
    """
    return store_inputs(model, *inputs_of(model, data), folder)


def store_inputs(model: Model, plan: Plan, source: Source, folder: Path) -> Store:
    """A store of what `inputs_of` gives.

    Raises:
        ConfigError, DataError: the data break a rule, or their times are of another kind than in training.
    """
    store = prepare_store(plan, source, folder, memory_limit=model.experiment.data.memory_limit)
    check_clock(model, store)
    return store


def check_clock(model: Model, store: Store) -> None:
    """Whether times are what they were in training. Raises DataError where they are of the other kind."""
    came, learned = store.manifest.clock, model.facts.clock
    if came == learned:
        return
    for name, reading in plan_of(model.experiment).modalities.items():
        if reading.time and store.n_events(name).any():
            told = {"number": "numbers", "moment": "dates and times"}
            raise DataError(
                f"modality {name!r}, table {reading.table}, column {reading.time!r}: times must be "
                f"{told[learned]}, as in training; {told[came]} came; convert them"
            )


def inputs_of(model: Model, data: Any) -> tuple[Plan, Source]:
    """What to read for a model that exists, and where: no labels, groups or splits are needed.

    Args:
        model: what will read them.
        data: tables in memory, or where the files are: what takes the place of the source's own path.

    Raises:
        ConfigError, DataError: there is no such place.
    """
    experiment = model.experiment
    plan = plan_of(experiment)
    readings = {
        # A long table is turned into the columns that training had, whatever codes are in it now.
        name: replace(reading, numbers=tuple(model.modalities[name].read)) if reading.pivot else reading
        for name, reading in plan.modalities.items()
    }
    plan = replace(plan, modalities=readings, tasks={}, split=None, known=True)
    config = experiment.data.source
    ungrouped = config.model_copy(update={"group": None})
    if isinstance(data, str | Path):
        source = _source(_moved(ungrouped, Path(data)), None)
    else:
        in_memory = sources.parse({"kind": IN_MEMORY, "id": getattr(config, "id", "id")})
        source = _source(in_memory, data)
        source.missing = getattr(config, "missing", source.missing)
    return plan, source


def source_of(experiment: Experiment, data: Any = None) -> Source:
    """The raw data of an experiment. Raises ConfigError where they are, or are not, to come from Python."""
    return _source(experiment.data.source, data)


def _source(config: SourceConfig, data: Any) -> Source:
    if (config.kind == IN_MEMORY) != (data is not None):
        came = "none came" if data is None else f"the source is {config.kind!r}"
        raise ConfigError(
            f"data.source: tables are passed from Python where the source is of kind {IN_MEMORY!r}; {came}"
        )
    return sources.build(config) if data is None else sources.build(config, data)


def _moved(config: SourceConfig, path: Path) -> SourceConfig:
    """The same source, reading from elsewhere."""
    place = sources.component_class(config.kind).place
    if place is None:
        raise ConfigError(
            f"--input {path}: the model was trained on tables in memory; predict from Python, with "
            "`Run(…).model().predict(tables)`"
        )
    if not path.exists():
        raise DataError(f"--input {path}: no such file or folder")
    if sources.component_class(config.kind).place_is_folder and not path.is_dir():
        raise DataError(
            f"--input {path}: must be the folder that holds the tables, as data.source.{place} is; a file "
            f"came; name its folder, {path.parent}"
        )
    return config.model_copy(update={place: path.resolve()})
