"""The next event of a modality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.errors import ConfigError
from mmseq.heads import Encoded, Head, Labels, Spec, Upcoming, fill_unobserved, heads
from mmseq.heads.config import EventsConfig
from mmseq.heads.contrast import NEGATIVES, TEMPERATURE, Compared, Contrast
from mmseq.heads.labels import join, told_once
from mmseq.heads.metrics import Average
from mmseq.heads.wait import WAIT, build_part, build_wait, draw_wait, fit_waits, wait_target
from mmseq.modalities import Part
from mmseq.random import Draws


class NextEventConfig(EventsConfig):
    """Base of the config of a head whose labels are a modality's next events.

    Such a head is constructed with `(spec, hidden, width, *, …options)`: the width is an encoded event's.
    """

    modality: str = Field(description="modality whose next event is predicted")
    at: Literal["every", "own"] = Field(
        "every", description="predict from every step, or only from those at which the modality is present"
    )


class NextStepConfig(NextEventConfig):
    kind: Literal["next_step"]
    time: bool = Field(False, description="also predict how long it is until that event")
    wait_components: PositiveInt = Field(
        1, description="of the predicted time: how many log-normals it is a mixture of"
    )
    negatives: PositiveInt | None = Field(
        None,
        description="of a modality without a likelihood: how many others its next event is told apart from, "
        f"drawn from the training split anew for each sample and optimizer step; null: {NEGATIVES}",
    )
    temperature: PositiveFloat | None = Field(
        None,
        description="of a modality without a likelihood: divides the likeness (−1 to 1) of what is predicted "
        f"and an event; the less, the more near events count; null: {TEMPERATURE}",
    )

    @model_validator(mode="after")
    def _components_are_used(self) -> NextStepConfig:
        if self.wait_components > 1 and not self.time:
            raise ValueError(
                "wait_components: does nothing where time is false; set time: true, or leave it out"
            )
        return self


class NextStepSpec(Spec):
    """The parts of the next event, and how long the training split waits for one.

    Attributes:
        parts: one a head; None: the modality has no likelihood, and learns by contrast.
        wait_mean: mean of log(1 + wait).
        wait_std: its standard deviation; 1 where all waits are alike.
        wait_centres: of a mixture, where its components start, standardised.
        wait_widths: how wide.
    """

    parts: list[Part] | None
    wait_mean: float = 0.0
    wait_std: float = 1.0
    wait_centres: list[float] = Field([])
    wait_widths: list[float] = Field([])


@heads.register(NextStepConfig)
class NextStepHead(Head):
    """The distribution of a modality's next event: the product of its parts', each a head of its own.

    Numbers are Gaussian where they are observed; a category is a softmax, or one logit a code where
    several events may share a step; log(1 + wait) is Gaussian, or a mixture of such. A modality without
    a likelihood has one part, `Contrast`: which of several events is the next.

    `target.value` is (label, column); a part reads its own columns of it. Metrics are the parts'
    (`<part>.<metric>`), and `loss`: its mean over everything that is predicted.
    """

    Spec = NextStepSpec

    def __init__(
        self,
        spec: NextStepSpec,
        hidden: int,
        width: int,
        *,
        time: bool = False,
        wait_components: int = 1,
        negatives: int | None = None,
        temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.time = time
        parts: list[Head]
        if spec.parts is None:
            self.negatives = negatives or NEGATIVES
            self.names = [""]
            parts = [
                Contrast(hidden, width, negatives=self.negatives, temperature=temperature or TEMPERATURE)
            ]
        else:
            self.names = [part.name for part in spec.parts]
            parts = [build_part(part.kind, part.spec, hidden, **part.options) for part in spec.parts]
        if time:
            self.names.append(WAIT)
            parts.append(
                build_wait(
                    hidden,
                    mean=spec.wait_mean,
                    std=spec.wait_std,
                    centres=spec.wait_centres,
                    widths=spec.wait_widths,
                    components=wait_components,
                )
            )
        self.parts = nn.ModuleList(parts)
        self.sizes = [head(torch.zeros(0, hidden)).shape[1] for head in parts]

    @property
    def heads(self) -> list[Head]:
        """The parts' heads."""
        return cast(list[Head], list(self.parts))

    @classmethod
    def reading(cls, config: NextStepConfig) -> None:
        """None: the labels are the inputs' own next events."""

    @classmethod
    def fit(cls, config: NextStepConfig, facts: Upcoming) -> NextStepSpec:
        parts = facts.modality.next_parts()
        if parts is not None:
            cls._check(config, parts)
        return NextStepSpec(parts=parts, **fit_waits(facts.waits, config.wait_components))

    @staticmethod
    def _check(config: NextStepConfig, parts: list[Part]) -> None:
        """Raises ConfigError where the config does not fit a modality that has a likelihood."""
        if not parts:
            raise ConfigError(
                f"next_step: modality {config.modality!r} has no column whose next value could be predicted; "
                "name a modality that has one"
            )
        for option in ("negatives", "temperature"):
            if getattr(config, option) is not None:
                raise ConfigError(
                    f"next_step: {option!r} is for a modality whose next event has no likelihood; "
                    f"{config.modality!r} has one, and learns by it; leave {option!r} out"
                )
        taken = {part.name for part in parts}.union(*(part.spec.get("columns", ()) for part in parts))
        if config.time and WAIT in taken:
            raise ConfigError(
                f"next_step: modality {config.modality!r} has a column {WAIT!r}, as the predicted time is "
                "called; rename it, or set time: false"
            )

    def encode(self, labels: Labels) -> Encoded:
        """Never called: the batch makes the targets from the events."""
        raise TypeError("next_step: its targets come from the inputs, not from labels")

    def forward(
        self, hidden: Float[Tensor, "query hidden"], among: Compared | None = None
    ) -> Float[Tensor, "query parameter"]:
        """Parameters of the parts side by side; of the contrast, where there is something to compare with."""
        if among is None:
            return torch.cat([head(hidden) for head in self.heads], 1)
        contrast, *others = self.heads
        return torch.cat([contrast(hidden, among), *(head(hidden) for head in others)], 1)

    def _targets(self, target: Target) -> Iterator[tuple[str, Head, Target]]:
        """Each part's name and head, with the target as that head takes it."""
        if self.spec.parts is None:
            yield "", self.heads[0], target
        for name, head, part in zip(self.names, self.heads, self.spec.parts or (), strict=False):
            yield name, head, _columns(target, part)
        if self.time:
            yield WAIT, self.heads[-1], wait_target(target)

    def _split(self, parameters: Float[Tensor, "query parameter"]) -> tuple[Float[Tensor, "query _"], ...]:
        _, *others = self.sizes  # the first is larger where it is a contrast, and compared
        return parameters.split([parameters.shape[1] - sum(others), *others], 1)

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        split = zip(self._targets(target), self._split(parameters), strict=True)
        return torch.cat([_matrix(head.loss(own, part)) for (_, head, part), own in split], 1)

    def weights(self, target: Target) -> Float[Tensor, "label column"]:
        return torch.cat([_matrix(head.weights(part)) for _, head, part in self._targets(target)], 1)

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        parts = zip(self.names, self.heads, self._split(parameters), strict=True)
        return told_once(
            (join(name, key), value) for name, head, own in parts for key, value in head.decode(own).items()
        )

    def sample(
        self,
        parameters: Float[Tensor, "query parameter"],
        draws: Draws,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> dict[str, list[Any]]:
        """The next event's columns, each part's drawn alone; not the wait, see `sample_wait`."""
        if self.spec.parts is None:
            return super().sample(parameters, draws)  # which raises
        columns = {}
        for part, head, own in zip(self.spec.parts, self.heads, self._split(parameters), strict=False):
            drawn = head.sample(own, draws, temperature=temperature, top_k=top_k)
            columns.update({join(part.name, key): values for key, values in drawn.items()})
        return columns

    def sample_wait(
        self,
        parameters: Float[Tensor, "query parameter"],
        draws: Draws,
        elapsed: Float64[Tensor, "query"],
        *,
        temperature: float = 1.0,
    ) -> Float64[Tensor, "query"]:
        """How long it is until the next event, given that nothing came for some time: at least that time.

        Raises:
            ValueError: the head does not predict the time.
        """
        if not self.time:
            raise ValueError("sample_wait: needs a head with time: true")
        own = self._split(parameters)[-1]
        return draw_wait(self.heads[-1], own, draws, elapsed, temperature=temperature)

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        return torch.cat([head.baseline(part) for _, head, part in self._targets(target)], 1)

    def metrics(self) -> dict[str, Metric]:
        own: dict[str, Metric] = {"loss": Average()}
        for name, head in zip(self.names, self.heads, strict=True):
            own.update({join(name, key): metric for key, metric in head.metrics().items()})
        return own

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        targets = self._targets(fill_unobserved(target))
        for (name, head, part), own in zip(targets, self._split(parameters), strict=True):
            loss, weights = _matrix(head.loss(own, part)), _matrix(head.weights(part))
            metrics["loss"].update(loss.reshape(-1, 1), weights.reshape(-1, 1) > 0)
            # Rows of which the part observes nothing are no labels of it.
            seen = torch.nonzero((weights > 0).any(1))[:, 0]
            mine = {key: metrics[join(name, key)] for key in head.metrics()}
            head.score(mine, own[seen], part.take(seen))


def _columns(target: Target, part: Part) -> Target:
    """A part's own columns of a target; of a single class, its indices and the mask as weight."""
    columns = slice(part.first, part.last)
    observed = None if target.observed is None else target.observed[:, columns]
    previous = None if target.previous is None else target.previous[:, columns]
    own = replace(target, value=target.value[:, columns], observed=observed, previous=previous, wait=None)
    if part.kind != "classification":
        return own
    weight = torch.ones_like(own.where, dtype=torch.float32) if own.weight is None else own.weight
    if observed is not None:
        weight = weight * observed[:, 0]
    return replace(own, value=own.value[:, 0].long(), observed=None, weight=weight)


def _matrix(x: Float[Tensor, "label ..."]) -> Float[Tensor, "label column"]:
    return x[:, None] if x.ndim == 1 else x
