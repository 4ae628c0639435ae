"""The contract of a modality."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from mmseq.encoders import encoders
from mmseq.modalities import ModalityConfig, modalities
from mmseq.testing import modality_events, modality_fit, modality_memory, modality_next
from mmseq.testing.compare import require
from mmseq.testing.modality_trial import ModalityTrial


def check_modality(config: ModalityConfig, *, seed: int = 0) -> None:
    """Checks that a modality keeps what every other part relies on.

    Args:
        config: what it is built from; its columns are made up, as `mmseq.testing.events.example_config`
            does it.
        seed: of the cells that are tried.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
    """
    rules: Sequence[Callable[[ModalityTrial], None]] = (
        _check_config,
        *modality_events.RULES,
        *modality_fit.RULES,
        *modality_memory.RULES,
        *modality_next.RULES,
    )
    for rule in rules:
        rule(ModalityTrial(config, seed))


def _check_config(trial: ModalityTrial) -> None:
    again = modalities.parse(json.loads(trial.config.model_dump_json()))
    rule, remedy = "a config goes through JSON unchanged", "use field types that pydantic reads back"
    require(again == trial.config, trial.modality, rule, f"{again} came back", remedy)
    kind = trial.modality.default_encoder
    reads = encoders.component_class(kind).reads
    good = isinstance(trial.events, trial.modality.gives) and issubclass(trial.modality.gives, reads)
    came = f"{type(trial.events).__name__} came, {trial.modality.gives.__name__} is declared"
    came += f", and {kind!r} reads {reads.__name__}"
    rule = "its events are of the declared type, and its default encoder reads them"
    require(good, trial.modality, rule, came, "set `gives` and `default_encoder` to what fits")
