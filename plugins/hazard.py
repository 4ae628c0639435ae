from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from mmseq.batch import Target
from mmseq.heads import Encoded, LabelConfig, Labels, heads
from mmseq.heads.metrics import Average, Concordance
from mmseq.heads.multilabel import MultilabelHead, MultilabelSpec
from mmseq.sources import Reading


class HazardColumns(LabelConfig):
    duration: str = Field("duration", description="column of the time until event or last sight")
    event: str = Field("event", description="column that is 1 where the event came, 0 where it was not seen")
    times: list[float] = Field([], description="ends of the intervals; none: quantiles of event times")
    n_times: PositiveInt = Field(8, description="how many quantiles, where there are no `times`")


class HazardConfig(HazardColumns):
    kind: Literal["hazard"]


@heads.register(HazardConfig)
class HazardHead(MultilabelHead):
    """The hazard h of an event in each interval of time; told is the share left after each, Π (1 - h).

    Its likelihood is that of a yes or no in each interval that a sample came to: yes in the one in which
    the event came, no in those before; of a sample that was lost, no in those that it saw the end of.
    Source: Gensheimer and Narasimhan 2019, "A scalable discrete-time survival model for neural networks".
    """

    def __init__(self, spec: MultilabelSpec, hidden: int) -> None:
        super().__init__(spec, hidden)

    @classmethod
    def reading(cls, config: Any) -> Reading:
        return Reading(config.table, config.time, numbers=(config.duration, config.event))

    @classmethod
    def fit(cls, config: Any, facts: Labels) -> MultilabelSpec:
        came = facts.values[(facts.values[:, 1] == 1) & ~np.isnan(facts.values[:, 0]), 0]
        if not len(came):
            raise facts.error("has no event in the training split", config.event)
        ends = np.unique(config.times or np.quantile(came, np.linspace(0, 1, config.n_times + 1)[1:]))
        _, yes, asked = answers(facts, ends)
        rates = (yes.sum(0) + 1) / (asked.sum(0) + 2)
        return MultilabelSpec(columns=[str(end) for end in ends.tolist()], rates=rates.tolist())

    def encode(self, labels: Labels) -> Encoded:
        return Encoded(*answers(labels, np.array(self.spec.columns, np.float64)))

    def left(self, parameters: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(-parameters.double()).cumsum(1).exp()

    def decode(self, parameters: Tensor) -> dict[str, np.ndarray]:
        return dict(zip(self.spec.columns, self.left(parameters).cpu().numpy().T, strict=True))

    def metrics(self) -> dict[str, Any]:
        return {"c_index": Concordance(), "nll": Average()}

    @classmethod
    def metric_names(cls, config: Any) -> tuple[str, ...]:
        return "c_index", "nll"

    def score(self, metrics: Any, parameters: Tensor, target: Target) -> None:
        yes = target.value.bool()
        asked = torch.ones_like(yes) if target.observed is None else target.observed
        came = (yes & asked).any(1)
        time = asked.sum(1) - torch.where(
            came, 0.5, 0.0
        )  # who was lost was lost after what it saw the end of
        metrics["c_index"].update(self.left(parameters).sum(1), time, came)
        metrics["nll"].update((self.loss(parameters, target) * asked).sum(1, keepdim=True))


def answers(labels: Labels, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that tell something, and of each interval whether the event came in it, and who was asked."""
    wrong = np.column_stack([~(labels.values[:, 0] >= 0), ~np.isin(labels.values[:, 1], (0, 1))])
    for row, column in np.argwhere(wrong & ~np.isnan(labels.values)).tolist()[:1]:
        raise labels.refuse("needs times from 0 on, and 0 or 1 for events; correct it", row, column)
    time, event, place = *labels.values.T, np.arange(len(ends))
    came, seen = (np.searchsorted(ends, time, side)[:, None] for side in ("left", "right"))
    yes = (event == 1)[:, None] & (place == came)
    asked = np.where((event == 1)[:, None], place <= came, place < seen)
    row = np.flatnonzero(asked.any(1) & ~np.isnan(labels.values).any(1))
    return row, yes[row].astype(np.float32), asked[row]
