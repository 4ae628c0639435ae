"""The contract of a modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmseq.encoders import encoders
from mmseq.modalities import ModalityConfig, modalities
from mmseq.testing import modality_events, modality_fit, modality_memory, modality_next
from mmseq.testing.compare import require
from mmseq.testing.configs import require_read
from mmseq.testing.contract import Case, Check, Contract
from mmseq.testing.events import example_config
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
    Case(CONTRACT, lambda: ModalityTrial(config, seed)).require()


def cases(kind: str, options: Mapping[str, Any], seed: int = 0) -> list[Case[Any]]:
    """A kind with these options, with a time column and, where it may have none, without."""

    def case(static: bool) -> Case[ModalityTrial]:
        config = example_config(kind, static=static, **options)
        return Case(CONTRACT, lambda: ModalityTrial(config, seed), "static" if static else "timed")

    needs_time = modalities.config_class(kind).model_fields["time"].is_required()
    return [case(False)] if needs_time else [case(False), case(True)]


def _check_encoder(trial: ModalityTrial) -> None:
    kind = trial.modality.default_encoder
    reads = encoders.component_class(kind).reads
    good = isinstance(trial.events, trial.modality.gives) and issubclass(trial.modality.gives, reads)
    came = f"{type(trial.events).__name__} came, {trial.modality.gives.__name__} is declared"
    came += f", and {kind!r} reads {reads.__name__}"
    rule = "its events are of the declared type, and its default encoder reads them"
    require(good, trial.modality, rule, came, "set `gives` and `default_encoder` to what fits")


def _check_options(trial: ModalityTrial) -> None:
    config = trial.config
    require_read(
        config,
        trial.modality,
        lambda config: ModalityTrial(config, 0),
        lambda: example_config(config.kind, static=config.static),
    )


CONTRACT: Contract[ModalityTrial] = (
    Check(
        "encoder", "its events are of the declared type, and its default encoder reads them", _check_encoder
    ),
    *modality_events.CHECKS,
    *modality_fit.CHECKS,
    Check("options", "every field of its config is read", _check_options),
    *modality_memory.CHECKS,
    *modality_next.CHECKS,
)
