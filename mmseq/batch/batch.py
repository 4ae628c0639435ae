"""One batch: a clock, the events on it, and what is to be predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mmseq.batch.events import Events
from mmseq.batch.target import Target
from mmseq.batch.timeline import Timeline


@dataclass(frozen=True)
class Batch:
    """Samples side by side, nothing padded.

    Attributes:
        ids: the samples' ids.
        timeline: their steps.
        events: by modality; of a static one, `step` is the sample.
        targets: by task; empty in pure prediction.
        weights: by task, the total label weight of the *global* batch that this one is a part of.
        share: the part of the global batch's optimizer step that this batch stands for; the shares of
            a global batch sum to 1.
        begin: the place in its sample of each sample's first step; above 0, an earlier batch had the steps
            before, and its state goes on.

    Raises:
        ValueError: there are more or fewer ids than samples.
    """

    ids: list[str]
    timeline: Timeline
    events: Mapping[str, Events]
    targets: Mapping[str, Target] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    share: float = 1.0
    begin: int = 0

    def __post_init__(self) -> None:
        if len(self.ids) != self.timeline.n_samples:
            raise ValueError(f"Batch: {len(self.ids)} ids for {self.timeline.n_samples} samples")

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: Any) -> Batch:
        return replace(
            self,
            timeline=self.timeline.to(device),
            events={name: events.to(device) for name, events in self.events.items()},
            targets={name: target.to(device) for name, target in self.targets.items()},
        )
