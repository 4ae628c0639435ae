"""Every fusion keeps the contract, and the contract catches a fusion that does not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from mmseq.fusions import Fusion, Seen, fusions
from mmseq.fusions.gated import GatedFusion
from mmseq.testing import check_kind
from mmseq.testing.fusions import NAMES, check_fusion


@pytest.mark.parametrize("kind", fusions.kinds())
def test_contract(kind: str) -> None:
    check_kind("fusions", kind)


Modalities = Mapping[str, Seen]


class CentersOverSteps(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        fused = super().forward(seen, clock)
        return fused - fused.mean(0) if len(fused) else fused


class LooksAtEarlierStep(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        fused = super().forward(seen, clock)
        return torch.cat([fused[:1], fused[1:] + 1e-3 * fused[:-1]])


class LeavesOneOut(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        last = self.modalities[-1]
        blank = Seen(torch.zeros_like(seen[last].values), seen[last].present, seen[last].age)
        return super().forward({**seen, last: blank}, clock)


class AveragesPresent(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        n_seen = torch.stack([one.age >= 0 for one in seen.values()]).sum(0)
        total = torch.stack([one.values for one in seen.values()]).sum(0)
        return super().forward(seen, clock) + (total / n_seen[:, None]).nan_to_num(nan=torch.nan)


class NormsValues(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        norm = torch.stack([one.values for one in seen.values()]).square().sum(0).sqrt()
        return super().forward(seen, clock) + norm


class GoesByOrder(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        return super().forward(seen, clock) + next(iter(seen.values())).values


class HasIdleParameter(GatedFusion):
    def __init__(self, modalities: tuple[str, ...], n_clock: int, *, width: int) -> None:
        super().__init__(modalities, n_clock, width=width)
        self.idle = nn.Parameter(torch.ones(3))


class HasVainParameter(HasIdleParameter):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        return super().forward(seen, clock) + 0 * self.idle.sum()


class SkipsEmpty(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        return super().forward(seen, clock) if len(clock) else clock.new_zeros(0, self.width)


class ChangesValues(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        fused = super().forward(seen, clock)
        if not torch.is_grad_enabled():
            seen[self.modalities[0]].values.clamp_(max=0.5)
        return fused


class ReturnsDouble(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        return super().forward(seen, clock).double()


class DropsValues(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(seen, clock), 0.1)


class ReturnsOther(GatedFusion):
    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        return super().forward(seen, clock)[:, :-1]


class CentersByLearntShare(GatedFusion):
    """The mean of no steps has no gradient: 0 / 0."""

    def __init__(self, modalities: tuple[str, ...], n_clock: int, *, width: int) -> None:
        super().__init__(modalities, n_clock, width=width)
        self.share = nn.Parameter(torch.ones(()))

    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        fused = super().forward(seen, clock)
        return fused - self.share * fused.mean()


class RootsOfPresent(GatedFusion):
    """Of how far values lie above the least of them: the root of 0 has no gradient."""

    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        one = seen[self.modalities[0]]
        (rows,), values = torch.nonzero(one.present, as_tuple=True), one.values[one.present]
        roots = (values - values.amin(1, keepdim=True)).sqrt()
        return super().forward(seen, clock).index_add(0, rows, roots)


class RoundsInSingle(GatedFusion):
    """As under autocast: bfloat16 between float32 and float32."""

    def forward(self, seen: Modalities, clock: Tensor) -> Tensor:
        fused = super().forward(seen, clock)
        return fused.bfloat16().float() if fused.dtype == torch.float32 else fused


FAULTS: list[tuple[type[Fusion], str]] = [
    (CentersByLearntShare, "empty: no steps, no gradient; share has some"),
    (RootsOfPresent, "gradients: gradients are finite"),
    (RoundsInSingle, "precision: float32 agrees with float64 to 1e-3"),
    (DropsValues, "repeatable: the same call gives the same numbers"),
    (ReturnsOther, "shapes: outputs have shape"),
    (CentersOverSteps, "a step alone gives what it gives among others"),
    (LooksAtEarlierStep, "a step alone gives what it gives among others"),
    (LeavesOneOut, "every modality matters: the values of 'type'"),
    (AveragesPresent, "outputs are finite|finite where no modality was ever seen"),
    (NormsValues, "finite where no modality was ever seen"),
    (GoesByOrder, "told apart by name"),
    (HasIdleParameter, "never seen: every trainable parameter gets a gradient.*idle has none"),
    (HasVainParameter, "every parameter and modality matters.*idle is zero"),
    (SkipsEmpty, r"no steps give outputs \(0, width\), on the graph"),
    (ChangesValues, "what is seen is left as it is"),
    (ReturnsDouble, "float32 inputs give float32 outputs"),
]


@pytest.mark.parametrize(("fusion_class", "rule"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_planted_fault_is_caught(fusion_class: type[Fusion], rule: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match=rule) as caught:
        check_fusion(fusion_class(NAMES, 2, width=6), NAMES, 2)
    assert str(caught.value).startswith(f"{fusion_class.__name__}: ")
    assert str(caught.value).count("; ") >= 2  # rule; what came; what to do
