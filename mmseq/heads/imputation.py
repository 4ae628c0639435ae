"""Numbers that are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.errors import ConfigError
from mmseq.heads import Encoded, HidingConfig, Labels, Upcoming, heads
from mmseq.heads.metrics import Average, Rmse
from mmseq.heads.numbers import LossName
from mmseq.heads.regression import RegressionHead, RegressionSpec

MEAN = "mean"


class ImputationConfig(HidingConfig):
    kind: Literal["imputation"]
    loss: LossName = Field(
        "squared", description="of the standardised number; gaussian predicts a mean and a scale"
    )


class ImputationSpec(RegressionSpec):
    """Where a modality's numbers lie.

    Attributes:
        low, high: where each is clipped to be learned, as the modality clips its inputs; None: nowhere.
    """

    low: list[float] | None
    high: list[float] | None


@heads.register(ImputationConfig)
class ImputationHead(RegressionHead):
    """Predicts every feature of a modality at each step, and learns by cells that were hidden.

    A share of the observed cells is taken away from the inputs as if they had never been there: value, mask,
    fill and age are those of a missing cell. The loss is `regression`'s, of the hidden cells alone, with
    z = (clip(x) − mean) / std as the modality normalises its inputs. With a causal core a prediction knows
    the past and the other cells of the step; with a bidirectional one, what comes later too.

    Metrics, of hidden cells as they are: `mae` and `rmse` of each feature in its own unit, `nmae` and `nrmse`
    over all cells in training standard deviations, `r2`; with the Gaussian loss also `nll` and `crps`. The
    baseline carries the last value forward that is not hidden (where there is none, the mean); another one,
    `mean`, is the training mean.

    Source: Du, Cote and Liu 2023, "SAITS: self-attention-based imputation for time series", section 3.1
    (masked imputation); Cao et al. 2018, "BRITS: bidirectional recurrent imputation for time series".
    """

    Spec = ImputationSpec
    spec: ImputationSpec
    baseline_names = ("baseline", MEAN)

    def __init__(self, spec: ImputationSpec, hidden: int, *, loss: LossName = "squared") -> None:
        super().__init__(spec, hidden, loss=loss)

    @classmethod
    def reading(cls, config: ImputationConfig) -> None:
        """None: the labels are cells of the inputs."""

    @classmethod
    def fit(cls, config: ImputationConfig, facts: Upcoming) -> ImputationSpec:  # type: ignore[override]
        spec = getattr(facts.modality, "spec", None)
        names = ("columns", "mean", "std", "low", "high")
        if not all(hasattr(spec, name) for name in names):
            raise ConfigError(
                f"imputation: modality {config.modality!r} must have a mean and a spread for each feature, "
                "as numeric ones do; it has not; name another modality"
            )
        told = {name: getattr(spec, name) for name in names}
        return ImputationSpec(**told | {"columns": [*facts.modality.read]})

    def encode(self, labels: Labels) -> Encoded:
        """Never called: the batch makes the targets from the events."""
        raise TypeError("imputation: its targets come from the inputs, not from labels")

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        if self.spec.low is None or self.spec.high is None:
            return super().loss(parameters, target)
        value = target.value.double()
        low, high = (value.new_tensor(bound) for bound in (self.spec.low, self.spec.high))
        return super().loss(parameters, replace(target, value=value.clamp(low, high)))

    def baselines(self, target: Target) -> dict[str, Float[Tensor, "label parameter"]]:
        mean = self.baseline(replace(target, previous=None))
        return {**super().baselines(target), MEAN: mean}

    def metrics(self) -> dict[str, Metric]:
        return {"nmae": Average(), "nrmse": Rmse(), **super().metrics()}

    @classmethod
    def metric_names(cls, config: ImputationConfig) -> None:  # type: ignore[override]
        """None: a modality's features may be known from the data alone."""

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        super().score(metrics, parameters, target)
        error = self.standardise(target.value) - self.location(parameters).double()
        if target.observed is not None:
            error = error[target.observed]
        error = error.reshape(-1, 1)
        metrics["nmae"].update(error.abs())
        metrics["nrmse"].update(error.square())
