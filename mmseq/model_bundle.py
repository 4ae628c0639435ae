"""A model in a folder: weights, facts, config, calibration; nothing that could run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mmseq.bundle import dump_json, read_folder, write_folder
from mmseq.calibration.model import CALIBRATION, Calibration
from mmseq.config.experiment import Experiment
from mmseq.errors import CheckpointError, MmseqError, PluginError
from mmseq.facts import Facts
from mmseq.outline import check_weights, outline
from mmseq.tensors import dump_tensors

if TYPE_CHECKING:
    from mmseq.model import Model

SCHEMA = "mmseq model 1"
WEIGHTS = "weights.safetensors"


def save_model(model: Model, folder: Path) -> None:
    """See `Model.save`."""
    files = {
        WEIGHTS: dump_tensors(model.state_dict()),
        "config.json": dump_json(model.experiment.model_dump(mode="json")),
        "facts.json": dump_json(model.facts.to_json()),
    }
    if model.calibration is not None:
        files[CALIBRATION] = model.calibration.dump()
    write_folder(folder, files, SCHEMA)


def digest_of(model: Model) -> str:
    """See `Model.digest`."""
    digest = hashlib.sha256(dump_json(model.facts.to_json()))
    digest.update(dump_tensors(model.state_dict()))
    return digest.hexdigest()


def load_model(model_class: type[Model], folder: Path, *, with_calibration: bool) -> Model:
    """See `Model.load`."""
    files = read_folder(folder, SCHEMA, lambda name: name != CALIBRATION)
    config, told, weights = files.json("config.json"), files.json("facts.json"), files.tensors(WEIGHTS)
    try:
        experiment = Experiment.model_validate(config)
        facts = Facts.from_json(told, experiment)
        check_weights(weights, outline(model_class, experiment, facts))
        model = model_class(experiment, facts)
        model.to(next(iter(weights.values())).dtype)
        model.load_state_dict(weights)
        model.eval().try_out()
        if with_calibration:
            model.calibration = _calibration_in(folder)
    except MmseqError:
        raise
    except Exception as error:  # whatever they make a component raise, they do not fit it
        _tell_missing_plugin(folder, error)
        raise CheckpointError(
            f"{folder}: its config, facts and weights must fit each other and the components that are "
            f"installed; {_first_line(error)}; load it with the versions that wrote it"
        ) from error
    return model


def _calibration_in(folder: Path) -> Calibration | None:
    """The calibration in a bundle; None where it has none."""
    try:
        files = read_folder(folder, SCHEMA, lambda name: name == CALIBRATION)
        return Calibration.parse(files.json(CALIBRATION), folder / CALIBRATION) if files else None
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}, or write a new one with `mmseq calibrate RUN`, RUN being the folder of its run"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _tell_missing_plugin(folder: Path, error: Exception) -> None:
    """Raises PluginError where a component of a bundle is of a kind that nobody offers."""
    details = error.errors() if isinstance(error, ValidationError) else []
    for detail in details:
        if detail["type"] == "unknown_kind":
            raise PluginError(
                f"{folder}: the model needs a component that is not here; {detail['msg']}; install its "
                "package, or pass its file by --plugin (from Python: mmseq.plugin.load_plugin)"
            ) from error
