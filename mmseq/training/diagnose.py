"""Where a number that is not finite came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmseq.batch import Batch
from mmseq.carried import bad_tensors
from mmseq.heads import fill_unobserved
from mmseq.model import Model
from mmseq.state import State, flatten

_TOLD = 5


@dataclass
class Finding:
    """What one process found in its part of a step; each a list of names.

    Attributes:
        weights: parameters of the model that are not finite.
        modules: the parts of the model whose outputs are the first that are not.
        tasks: whose loss is not.
        samples: ids with a label whose loss is not.
        gradients: parameters whose gradient is not.
        states: paths in the state that is handed on to the next window.
        ids: of all samples of the step.
    """

    weights: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    gradients: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def told(self) -> str:
        """What is not finite, the cause first, and in which samples."""
        causes = {
            "the weights": self.weights,
            "the output of": self.modules,
            "the loss of": self.tasks,
            "the state after it:": self.states,
        }
        parts = [f"{what} {_listed(names)}" for what, names in causes.items() if names]
        effect = f"the gradient of {_listed(self.gradients)}"  # of all that lies before another cause, too
        return f"{'; '.join(parts) or effect}; samples: {_listed(self.samples or self.ids)}"


def merged(findings: Iterable[Finding]) -> Finding:
    """Of all processes; each name once."""
    whole = Finding()
    for finding in findings:
        for name, names in vars(finding).items():
            setattr(whole, name, list(dict.fromkeys([*getattr(whole, name), *names])))
    return whole


@torch.no_grad()
def diagnose(
    model: Model, parameters: Mapping[str, nn.Parameter], micros: Sequence[tuple[Batch, State | None]]
) -> Finding:
    """Looks at the micro-batches of a step once more, for what is not finite in them.

    Args:
        model: as it was when the step was worked out.
        parameters: all that are trained, with their gradients as they came.
        micros: each batch, and the state that it went on from.
    """
    finding = Finding(
        weights=[name for name, p in parameters.items() if not _finite(p)],
        gradients=[name for name, p in parameters.items() if not _finite(p.grad)],
        ids=[id for batch, _ in micros for id in batch.ids],
    )
    for batch, state in micros:
        with _watching(model) as modules:
            said, after = model(batch, state)
        finding.states += bad_tensors(flatten(after))
        for task, target in batch.targets.items():
            head, target = model.heads[task], fill_unobserved(target)
            loss = torch.where(head.weights(target) > 0, head.loss(said[task], target), 0)
            bad = ~torch.isfinite(loss.flatten(1).sum(1) if loss.ndim > 1 else loss)
            if bad.any():
                samples = batch.timeline.sample[target.where[bad]].unique().tolist()
                finding.tasks += [task]
                finding.samples += [batch.ids[i] for i in samples]
        finding.modules += modules[:1]
    return merged([finding])


@contextmanager
def _watching(model: Model) -> Any:
    """Names of the parts whose outputs were not finite, as they came."""
    seen: list[str] = []

    def note(name: str) -> Any:
        return lambda module, inputs, outputs: None if _finite(_said(outputs)) else seen.append(name)

    hooks = [part.register_forward_hook(note(name)) for name, part in _parts(model)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, part) for name, part in model.named_modules() if name]


def _said(outputs: Any) -> Any:
    """Without the state that stands behind them, whose NaN means that there is nothing yet."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _finite(value: Any) -> bool:
    """Whether all numbers in a tensor, or in a structure of tensors, are finite."""
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if is_dataclass(value):
        return all(_finite(getattr(value, inner.name)) for inner in fields(value))
    if isinstance(value, dict):
        return all(_finite(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return all(_finite(inner) for inner in value)
    return True


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_TOLD]) + (", …" if len(names) > _TOLD else "")
