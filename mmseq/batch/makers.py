"""Which kind of target each task has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Int64

from mmseq.batch.ahead import Ahead
from mmseq.batch.contrast import ContrastTargets
from mmseq.batch.hiding import HiddenTargets
from mmseq.batch.horizon import HorizonTargets
from mmseq.batch.maker import StoredModality, TargetMaker
from mmseq.batch.next_step import NextStepTargets
from mmseq.batch.stored import StoredTargets
from mmseq.heads import Head, HeadConfig, HidingConfig, TargetConfig

if TYPE_CHECKING:
    from mmseq.heads.next_step import NextEventConfig
    from mmseq.store import Store


def target_maker(
    task: str,
    config: HeadConfig,
    head: Head,
    store: Store,
    modalities: Mapping[str, StoredModality],
    *,
    previous: bool,
    among: Int64[np.ndarray, "member"],
) -> TargetMaker:
    """What makes the targets of a task.

    Args:
        task: its name.
        config, head: of it.
        store: holds the labels.
        modalities: by name, whose events may be labels.
        previous: also tell the last value before each, for its baseline.
        among: the samples whose events are negatives.

    Raises:
        DataError: the modality does not have the feature that is the target.
    """
    if task in store.tasks:
        return StoredTargets(store, task, head)
    if isinstance(config, TargetConfig):
        return HorizonTargets(head, Ahead.of(store, task, config), previous=previous)
    if isinstance(config, HidingConfig):
        stored = modalities[config.modality]
        return HiddenTargets(head, stored, task=task, share=config.hide, previous=previous)
    upcoming = cast("NextEventConfig", config)
    stored, own = modalities[upcoming.modality], upcoming.at == "own"
    if head.negatives:
        return ContrastTargets(head, stored, task=task, own=own, among=among)
    return NextStepTargets(head, stored, own=own, previous=previous)
