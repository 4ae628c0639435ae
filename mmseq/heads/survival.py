"""The time until an event, which of some labels is only known to be later."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import Encoded, LabelConfig, Labels, Spec, heads
from mmseq.heads.hazards import exposure, log_survival, mean_time, median_time, snapped
from mmseq.heads.linear import LinearHead
from mmseq.heads.metrics import Average, Brier, Concordance
from mmseq.sources import Reading
from mmseq.words import word_of


def _rising(bins: int | list[float]) -> int | list[float]:
    if isinstance(bins, list) and any(a >= b for a, b in pairwise(bins)):
        raise ValueError(f"each end must be above the one before; came {', '.join(f'{b:g}' for b in bins)}")
    return bins


class EventTimeConfig(LabelConfig):
    """Base of the config of a head that reads the time until an event."""

    duration: str = Field(description="column of the time until the event, or until nobody looked any more")
    event: str = Field(description="column that is 1 where the event came then, 0 where it had not come yet")
    bins: Annotated[
        PositiveInt | Annotated[list[PositiveFloat], Field(min_length=1)], AfterValidator(_rising)
    ] = Field(
        10,
        description="ends of the bins of time, the first from 0 on; a number: so many, with as many of the "
        "training split's events in each, as far as their times differ",
    )

    @model_validator(mode="after")
    def _two_columns(self) -> EventTimeConfig:
        if self.duration == self.event:
            raise ValueError(f"duration and event are two columns; both are {self.event!r}")
        return self


class SurvivalConfig(EventTimeConfig):
    kind: Literal["survival"]


class SurvivalSpec(Spec):
    """The bins, and how many of those at risk have their event in each.

    Attributes:
        ends: of the bins.
        hazards: (events + ½) / (labels at risk + 1) of each bin, in the training split.
    """

    ends: list[float]
    hazards: list[float]


@heads.register(SurvivalConfig)
class SurvivalHead(LinearHead):
    """Discrete-time survival: h_j = σ(logit) is the chance of an event in bin j where none came before.

    Bin j is (t_{j−1}, t_j]: an event at an end belongs to the bin before it. Its likelihood is
    h_j·Π_{i<j} (1 − h_i), a censored label's that of living as long, Π_{i<j} (1 − h_i) · (1 − h_j)^w, with
    the part w of its last bin that it lived through: log S falls evenly within a bin. An event after the
    last end counts as censored there.

    Source: Gensheimer and Narasimhan 2019, "A scalable discrete-time survival model for neural networks",
    equation 3, who round w to 0 or 1.

    A prediction is the mean of the time up to the last end, ∫ S; `median`, at most the last end; and
    `s_<end>`, the probability of no event up to each end. Metrics: `c_index` (Harrell; of the mean time),
    `brier` (integrated over the ends, weighted by the inverse of censoring), `nll`.
    """

    Spec = SurvivalSpec
    example_options: ClassVar[dict[str, str]] = {"duration": "days", "event": "died"}

    def __init__(self, spec: SurvivalSpec, hidden: int) -> None:
        super().__init__(spec, hidden, self.link(torch.tensor(spec.hazards, dtype=torch.float64)))

    @staticmethod
    def link(hazard: Float64[Tensor, "bin"]) -> Float64[Tensor, "bin"]:
        """The parameters that give these chances h."""
        return hazard.logit()

    def hazards(
        self, parameters: Float[Tensor, "query parameter"]
    ) -> tuple[Float[Tensor, "query bin"], Float[Tensor, "query bin"]]:
        """Of each bin −log(1 − h) and −log h. A subclass may have others, with its own `link`."""
        return F.softplus(parameters), F.softplus(-parameters)

    @classmethod
    def reading(cls, config: EventTimeConfig) -> Reading:
        return Reading(config.table, config.time, numbers=(config.duration, config.event))

    @classmethod
    def fit(cls, config: EventTimeConfig, facts: Labels) -> SurvivalSpec:
        row = _check(facts)
        duration, event = facts.values[row, 0], facts.values[row, 1] > 0.5
        if not event.any():
            raise facts.error("has no event in the training split, only labels where none came", config.event)
        ends = config.bins if isinstance(config.bins, list) else _ends(duration[event], config.bins)
        if not ends:
            raise facts.error(
                "all events of the training split are at time 0; bins need later ends; name them as `bins`"
            )
        own = torch.tensor(ends, dtype=torch.float64)
        time = snapped(torch.from_numpy(duration), own)
        lived, failed = exposure(time, torch.from_numpy(event), own)
        hazards = (failed.double().sum(0) + 0.5) / (lived.sum(0) + 1)
        return SurvivalSpec(ends=ends, hazards=hazards.tolist())

    def encode(self, labels: Labels) -> Encoded:
        row = _check(labels)
        return Encoded(row, labels.values[row])

    def _ends(self, like: Tensor) -> Float64[Tensor, "bin"]:
        return torch.tensor(self.spec.ends, dtype=torch.float64, device=like.device)

    def loss(self, parameters: Float[Tensor, "label parameter"], target: Target) -> Float[Tensor, "label"]:
        ends = self._ends(target.value)
        time = snapped(target.value[:, 0], ends)
        lived, failed = exposure(time, target.value[:, 1] > 0.5, ends)
        surviving, failing = self.hazards(parameters)
        survived = (lived - failed.double()).to(parameters.dtype) * surviving
        return (survived + torch.where(failed, failing, 0)).sum(1)

    def weights(self, target: Target) -> Float[Tensor, "label"]:
        if target.weight is not None:
            return target.weight
        return torch.ones_like(target.where, dtype=torch.float32)

    def cumulative(self, parameters: Float[Tensor, "query parameter"]) -> Float64[Tensor, "query bin"]:
        """The cumulative hazard of each bin."""
        return self.hazards(parameters.double())[0]

    def survival(self, parameters: Float[Tensor, "query parameter"]) -> Float64[Tensor, "query bin"]:
        """The probability of no event up to the end of each bin."""
        return log_survival(self.cumulative(parameters)).exp()

    def expected(self, parameters: Float[Tensor, "query parameter"]) -> Float64[Tensor, "query"]:
        """The mean of the time up to the last end."""
        return mean_time(self.cumulative(parameters), self._ends(parameters))

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        median = median_time(self.cumulative(parameters), self._ends(parameters))
        survival = self.survival(parameters).cpu().numpy()
        columns = {f"s_{word_of(end)}": survival[:, j] for j, end in enumerate(self.spec.ends)}
        return {"": self.expected(parameters).cpu().numpy(), "median": median.cpu().numpy(), **columns}

    def metrics(self) -> dict[str, Metric]:
        return {"c_index": Concordance(), "brier": Brier(self.spec.ends), "nll": Average()}

    @classmethod
    def metric_names(cls, config: EventTimeConfig) -> tuple[str, ...]:
        return "c_index", "brier", "nll"

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        time, event = snapped(target.value[:, 0], self._ends(parameters)), target.value[:, 1] > 0.5
        metrics["c_index"].update(self.expected(parameters), time, event)
        metrics["brier"].update(self.survival(parameters), time, event)
        metrics["nll"].update(self.loss(parameters, target)[:, None])

    @staticmethod
    def example_labels() -> Labels:
        """Times until an event for the contract, some censored, some missing."""
        rng = np.random.default_rng(0)
        values = np.stack([rng.exponential(10, 24).round(1), (rng.random(24) < 0.7).astype(np.float64)], 1)
        values[:2], values[2] = [[3, 1], [60, 0]], np.nan
        return Labels(("days", "died"), values, np.zeros(0, np.int32), (), "task")


def _ends(times: Float[np.ndarray, "event"], n: int) -> list[float]:
    """Event times below which shares of 1/n, 2/n, … of the events lie, each once, without 0."""
    shares = np.arange(1, n + 1) / n
    found = np.unique(np.quantile(times, shares, method="inverted_cdf"))
    return [float(str(end)) for end in found.astype(times.dtype) if end > 0]


def _check(labels: Labels) -> np.ndarray:
    """The rows that have a label; raises DataError where one is no time until an event."""
    duration, event = labels.values.T
    half = np.isnan(duration) != np.isnan(event)
    _refuse(labels, half, "needs a duration and an event together, or neither", np.isnan(event).astype(int))
    negative = (duration < 0) | np.isinf(duration)
    _refuse(labels, negative, "durations must be finite and 0 or more", np.zeros(len(half), int))
    other = ~np.isnan(event) & (event != 0) & (event != 1)
    _refuse(labels, other, "an event must be 1 (it came) or 0 (it had not come yet)", np.ones(len(half), int))
    return np.flatnonzero(~np.isnan(duration))


def _refuse(labels: Labels, wrong: np.ndarray, rule: str, column: np.ndarray) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        came = f"{labels.values[row, column[row]]:g}".replace("nan", "nothing")
        raise labels.refuse(f"{rule}; got {came}; correct it", row, int(column[row]))
