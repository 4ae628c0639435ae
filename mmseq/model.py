"""The model: several clocks in, one recurrent core, several tasks out."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mmseq.batch import Batch, Events, Timeline
from mmseq.carry import align, align_static, clock, hide
from mmseq.config.experiment import Experiment
from mmseq.cores import cores
from mmseq.encoders import Encoder, encoders
from mmseq.errors import ConfigError
from mmseq.facts import Facts
from mmseq.fusions import Seen, fusions
from mmseq.heads import heads
from mmseq.modalities import ModalityConfig, modalities
from mmseq.random import hash_name, name_layers
from mmseq.readouts import readouts
from mmseq.state import State

N_CLOCK = 2


class Model(nn.Module):
    """events → carry → encoder → align → fusion → core → readout → heads.

    One function of (batch, state): whole sequences, chunks or single steps give the same numbers.

    Args:
        experiment: what the user chose.
        facts: what was fitted on the training split.
    """

    def __init__(self, experiment: Experiment, facts: Facts) -> None:
        super().__init__()
        self.experiment, self.facts = experiment, facts
        names = list(experiment.modalities)
        self.static = {name for name, config in experiment.modalities.items() if config.time is None}
        self.by_step = {task for task, config in experiment.tasks.items() if config.by_step}
        self.modalities = nn.ModuleDict(
            {name: modalities.build(experiment.modalities[name], facts.modalities[name]) for name in names}
        )
        self.fusion = fusions.build(experiment.fusion, names, N_CLOCK)
        self.encoders = nn.ModuleDict({name: self._encoder(name) for name in names})
        self.core = cores.build(experiment.core, self.fusion.width)
        self.readouts = nn.ModuleList(readouts.build(config, self.core.hidden) for config in experiment.readout)
        self.heads = nn.ModuleDict(
            {
                task: heads.build(config, facts.tasks[task], self._head_width(task))
                for task, config in experiment.tasks.items()
            }
        )
        name_layers(self)

    def _encoder(self, name: str) -> Encoder:
        config: ModalityConfig = self.experiment.modalities[name]
        kind = modalities.component_class(config.kind).default_encoder
        return encoders.build(
            config.encoder or encoders.parse({"kind": kind}), self.facts.modalities[name], self.fusion.width
        )

    def _head_width(self, task: str) -> int:
        return self.core.hidden * (1 if task in self.by_step else len(self.readouts))

    @property
    def dtype(self) -> torch.dtype:
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    def forward(
        self, batch: Batch, state: State | None = None
    ) -> tuple[dict[str, Float[Tensor, "label parameter"]], State]:
        """The parameters of every task at its targets, and the state after the last step."""
        return self.at(batch, {task: target.where for task, target in batch.targets.items()}, state)

    def everywhere(
        self, batch: Batch, state: State | None = None
    ) -> tuple[dict[str, Float[Tensor, "query parameter"]], State]:
        """The parameters of every task for all of the batch: per sample, or at every step."""
        steps = torch.arange(batch.timeline.n_steps, device=batch.timeline.starts.device)
        where = {task: steps if task in self.by_step else batch.timeline.last for task in self.heads}
        return self.at(batch, where, state)

    def at(
        self, batch: Batch, where: Mapping[str, Int64[Tensor, "query"]], state: State | None = None
    ) -> tuple[dict[str, Float[Tensor, "query parameter"]], State]:
        """The parameters of the named tasks at steps; of a sample's task, at last steps of samples."""
        timeline, state = batch.timeline, state or {}
        hidden, after = self.encode(batch.events, timeline, state)
        read, after["readouts"] = self.read(hidden, timeline, state.get("readouts"))
        parameters = {}
        for task, steps in where.items():
            if task in self.by_step:
                source = hidden.index_select(0, steps)
            else:
                source = read.index_select(0, torch.searchsorted(timeline.starts, steps, right=True) - 1)
            parameters[task] = self.heads[task](source)
        return parameters, after

    def encode(
        self, events: Mapping[str, Events], timeline: Timeline, state: State
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        """Inputs → what the core makes of them at every step."""
        after: State = {}
        seen = {}
        for name in self.modalities:
            seen[name], after[name] = self.see(name, events[name], timeline, state.get(name) or {})
        fused = self.fusion(seen, clock(timeline, self.facts.time_scale, self.dtype))
        hidden, after["core"] = self.core(fused, timeline, state.get("core"))
        return hidden, after

    def see(self, name: str, events: Events, timeline: Timeline, state: State) -> tuple[Seen, State]:
        """One modality: its events, carried and encoded, and what is known of it at every step."""
        events, carried = self.modalities[name](events, timeline, state.get("carry"))
        encoded = self.encoders[name](events)
        if name in self.static:
            seen, aligned = align_static(encoded, events.step, timeline, state.get("align"))
        else:
            seen, aligned = align(encoded, events.step, timeline, self.facts.time_scale, state.get("align"))
        rate = self.experiment.modalities[name].dropout
        if rate and timeline.noise is not None:
            seen = hide(seen, timeline.noise.uniform(hash_name(f"modality {name}"), 1)[:, 0] < rate, timeline)
        return seen, {"carry": carried, "align": aligned}

    def read(
        self, hidden: Float[Tensor, "step hidden"], timeline: Timeline, state: State | None
    ) -> tuple[Float[Tensor, "sample read"], State]:
        """All readouts side by side, after each sample's last step."""
        parts, after = [], {}
        for i, readout in enumerate(self.readouts):
            part, after[str(i)] = readout(hidden, timeline, (state or {}).get(str(i)))
            parts.append(part)
        return torch.cat(parts, 1), after


def check_encoders(experiment: Experiment) -> None:
    """Raises ConfigError where an encoder cannot read its modality's events."""
    for name, config in experiment.modalities.items():
        if config.encoder is None:
            continue
        reads = encoders.component_class(config.encoder.kind).reads
        gives = modalities.component_class(config.kind).gives
        if not issubclass(gives, reads):
            raise ConfigError(
                f"modalities.{name}.encoder: {config.encoder.kind!r} encodes {reads.__name__}; the modality "
                f"{config.kind!r} gives {gives.__name__}; leave `encoder` out for its default"
            )
