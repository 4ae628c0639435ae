"""The model: several clocks in, one recurrent core, several tasks out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mmseq.batch import Batch, CategoryEvents, Events, Timeline
from mmseq.batch.candidates import Candidates
from mmseq.calibration.model import Calibration
from mmseq.carry import align, align_static, changes, clock, drop, go_on
from mmseq.config.experiment import Experiment
from mmseq.cores import cores
from mmseq.encoders import Encoder, encoders
from mmseq.errors import ConfigError
from mmseq.facts import Facts
from mmseq.fusions import Seen, fusions
from mmseq.heads import Head, HeadConfig, heads
from mmseq.heads.contrast import Compared
from mmseq.heads.next_step import NextEventConfig
from mmseq.modalities import Modality, modalities
from mmseq.modalities.category import CategoryModality
from mmseq.model_bundle import digest_of, load_model, save_model
from mmseq.parts import Parts
from mmseq.random import hash_name, name_layers
from mmseq.readouts import readouts
from mmseq.recompute import encode_by_segments
from mmseq.state import State, part

Shared = Callable[[Tensor], Tensor]
N_CLOCK = 2


class Model(nn.Module):
    """events → carry → encoder → align → fusion → core → readout → heads.

    One function of (batch, state): whole sequences, chunks or single steps give the same numbers.

    Args:
        experiment: what the user chose.
        facts: what was fitted on the training split.
    """

    like: Tensor
    modalities: Parts[Modality]
    encoders: Parts[Encoder]
    heads: Parts[Head]

    def __init__(self, experiment: Experiment, facts: Facts) -> None:
        super().__init__()
        self.register_buffer("like", torch.empty(0), persistent=False)
        self.experiment, self.facts = experiment, facts
        self.calibration: Calibration | None = None
        names = list(experiment.modalities)
        self.static = {name for name, config in experiment.modalities.items() if config.static}
        self.by_step = {task for task, config in experiment.tasks.items() if config.by_step}
        self.modalities = Parts(
            {name: modalities.build(experiment.modalities[name], facts.modalities[name]) for name in names}
        )
        self.fusion = fusions.build(experiment.fusion, names, N_CLOCK)
        self.encoders = Parts({name: self._encoder(name) for name in names})
        self.core = cores.build(experiment.core, self.fusion.width)
        for name in self.core.marks:
            cast(CategoryModality, self.modalities[name]).identify = True
        read = experiment.readout if len(self.by_step) < len(experiment.tasks) else []  # steps need none
        self.readouts = nn.ModuleList(readouts.build(config, self.core.hidden) for config in read)
        self.heads = Parts({task: self._head(task, config) for task, config in experiment.tasks.items()})
        name_layers(self)

    def _encoder(self, name: str) -> Encoder:
        config = self.experiment.modalities[name].encoder
        assert config is not None  # the experiment has written the default down
        return encoders.build(config, self.facts.modalities[name], self.fusion.width)

    def _head(self, task: str, config: HeadConfig) -> Head:
        widths = [self.core.hidden * (1 if task in self.by_step else len(self.readouts))]
        if isinstance(config, NextEventConfig):
            widths.append(self.fusion.width)
        return heads.build(config, self.facts.tasks[task], *widths)

    def save(self, folder: Path) -> None:
        """Writes the bundle: weights, facts, config, calibration, digests; nothing that could run."""
        save_model(self, folder)

    def digest(self) -> str:
        """The sha256 of its weights and facts, which tells models apart."""
        return digest_of(self)

    @classmethod
    def load(cls, folder: str | Path, *, with_calibration: bool = True) -> Model:
        """Reads a bundle back, in evaluation mode.

        Args:
            folder: of the bundle.
            with_calibration: with the calibration that it holds, which has to be whole.

        Raises:
            CheckpointError: a file is missing, altered or of another version.
            PluginError: it needs a component that is not installed or loaded.
        """
        return load_model(cls, Path(folder), with_calibration=with_calibration)

    def predict(self, samples: Any, *, every_step: bool = False, calibrated: bool = False) -> Any:
        """Predictions for raw samples, as a pyarrow Table: one row a sample, or one a step.

        Args:
            samples: tables by name, as `train` takes them in memory, or a folder as the source's root.
            every_step: predict as of each step, knowing nothing later.
            calibrated: with probabilities, sets and intervals of the calibration; see `mmseq.calibrate`.
        """
        from mmseq.inference.predict import predict

        predictions = predict(self, samples, every_step=every_step, calibrated=calibrated)
        predictions.warn()
        return predictions.table

    def generate(
        self,
        samples: Any = None,
        *,
        n: int = 1,
        steps: int | None = None,
        horizon: float | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        quantiles: Sequence[float] | None = None,
        every: float | None = None,
    ) -> Any:
        """What may come after each sample, drawn event after event, as a pyarrow Table.

        The table has a row for each step that is generated: `id`, `path`, `time`, and a column for each
        modality, null where the step has none of it: a value, or a struct by column; a list of them where
        events may share a step. With `quantiles` it has a row for each number and time: `id`, `time`,
        `column`, and the quantiles.

        Args:
            samples: what is known of them, as `predict` takes it; None: one sample, nothing known.
            n: paths a sample.
            steps: steps that a path has at most; None: no limit.
            horizon: how long a path goes on after the sample's last step, in the timeline's unit;
                None: no limit.
            temperature: below 1 draws nearer to what is most probable, which 0 takes; above 1, wider.
            top_k: draw from so many classes, the most probable ones; None: from all.
            seed: another seed draws other paths.
            quantiles: of the last value of each number over the paths, instead of the paths.
            every: time between quantiles; None: a twentieth of the horizon.
        """
        from mmseq.inference.generate import generate

        generated = generate(
            self, samples, n=n, steps=steps, horizon=horizon, temperature=temperature, top_k=top_k, seed=seed,
            quantiles=quantiles, every=every,
        )  # fmt: skip
        generated.warn()
        return generated.table

    @property
    def dtype(self) -> torch.dtype:
        return self.like.dtype

    def forward(
        self, batch: Batch, state: State | None = None, shared: Shared | None = None
    ) -> tuple[dict[str, Float[Tensor, "_label _parameter"]], State]:
        """The parameters of every task at its targets, and the state after the last step.

        Args:
            batch: with the targets.
            state: to go on from.
            shared: takes the core's outputs, and gives what readouts and heads are to read in their place.
        """
        timeline = batch.timeline
        # A label of a sample has a weight where it stands at every step; else one read a sample will do.
        early = any(t.weight is not None for task, t in batch.targets.items() if task not in self.by_step)
        at = torch.arange(timeline.n_steps, device=timeline.starts.device) if early else None
        hidden, read, after = self.trunk(batch, state, at, shared)
        parameters = {}
        for task, target in batch.targets.items():
            if task in self.by_step:
                known = hidden.index_select(0, target.where)
            else:
                known = read.index_select(0, target.where if early else timeline.sample[target.where])
            if target.candidates is None:
                parameters[task] = self.heads[task](known)
            else:
                parameters[task] = self.heads[task](known, self._compared(task, target.candidates))
        return parameters, after

    def _compared(self, task: str, candidates: Candidates) -> Compared:
        """What a task's labels are told apart from, encoded as the inputs are, but with nothing before it."""
        name = cast(NextEventConfig, self.experiment.tasks[task]).modality

        def encoded(events: Events, n: int) -> Float[Tensor, "candidate width"]:
            time = torch.zeros(n, dtype=torch.float64, device=events.step.device)
            return self.see(name, events, Timeline.of_one_step(time))[0].values

        own = encoded(candidates.own, candidates.n_own)
        drawn = encoded(candidates.drawn, candidates.n_drawn)
        drawn = drawn.view(-1, self.heads[task].negatives, self.fusion.width)
        return Compared(own, drawn, candidates.positive, candidates.sample)

    def predict_at(
        self, batch: Batch, at: Int64[Tensor, "query"] | None = None, state: State | None = None
    ) -> tuple[dict[str, Float[Tensor, "query _parameter"]], State]:
        """The parameters of every task as of the steps `at` (default: the last), knowing nothing later.

        Raises:
            ValueError: a task predicts at steps, and a sample has none in this call to predict at.
        """
        if at is None and self.by_step and 0 in batch.timeline.lengths_list:
            raise ValueError("predict_at: a sample has no step in this call; name the steps to read, `at`")
        hidden, read, after = self.trunk(batch, state, at)
        steps = batch.timeline.last if at is None else at
        parameters = {
            task: head(hidden.index_select(0, steps) if task in self.by_step else read)
            for task, head in self.heads.items()
        }
        return parameters, after

    def unknown(self, events: Mapping[str, Events]) -> dict[str, int]:
        """By `modality.column`, how many values of these events training never had."""
        counts = {name: self.modalities[name].unknown(own) for name, own in events.items()}
        return {f"{name}.{column}": n for name, own in counts.items() for column, n in own.items()}

    def no_events(self) -> dict[str, Events]:
        """Of each modality, none."""
        none = torch.zeros(0, dtype=torch.int64)
        return {name: modality.parse(none, []) for name, modality in self.modalities.items()}

    @torch.no_grad()
    def try_out(self) -> None:
        """Runs on nothing, which shows whether its parts fit. Raises whatever they raise."""
        if not 0 < self.facts.time_scale < math.inf or self.facts.clock not in ("number", "moment"):
            raise ValueError("facts need a time scale above 0, and a clock, 'number' or 'moment'")
        starts, time = torch.zeros(1, dtype=torch.int64), torch.zeros(0, dtype=torch.float64)
        batch = Batch([], Timeline(starts, time, torch.zeros(0)), self.no_events())
        for task, parameters in self.predict_at(batch.to(self.like.device))[0].items():
            try:
                self.heads[task].decode(parameters)
            except ConfigError as error:
                raise ConfigError(f"tasks.{task}: {error}") from error

    @torch.no_grad()
    def begin(self, n_samples: int) -> State:
        """The state of samples of which nothing is known yet.

        Raises:
            ConfigError: the core is not causal, so that nothing can go on from a state.
        """
        if not self.core.causal:
            raise ConfigError(
                f"core: only a causal one can go on from a state; {self.experiment.core.kind!r} looks at "
                "later steps; train with another core to stream or generate"
            )
        timeline = Timeline(
            torch.zeros(n_samples + 1, dtype=torch.int64),
            torch.zeros(0, dtype=torch.float64),
            torch.zeros(0),
            continues=True,
        )
        return self.trunk(Batch([""] * n_samples, timeline, self.no_events()).to(self.like.device))[2]

    def trunk(
        self,
        batch: Batch,
        state: State | None = None,
        at: Int64[Tensor, "query"] | None = None,
        shared: Shared | None = None,
    ) -> tuple[Float[Tensor, "step hidden"], Float[Tensor, "query read"], State]:
        """Hidden at every step, and what the readouts make of it at the steps `at` (default: the last)."""
        timeline, clock_after = go_on(batch.timeline, part(state, "clock"))
        timeline, marks_after = self.mark(batch.events, timeline, part(state, "marks"))
        hidden, after = self._encode(batch.events, timeline, state)
        if shared is not None:
            hidden = shared(hidden)
        read, after["readouts"] = self.read(hidden, timeline, part(state, "readouts"), at)
        return hidden, read, {**after, "clock": clock_after, "marks": marks_after}

    def _encode(
        self, events: Mapping[str, Events], timeline: Timeline, state: State | None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        """`encode`, in training with as much memory as was configured."""
        size = self.experiment.training.recompute
        if size and self.training and torch.is_grad_enabled():
            return encode_by_segments(self, events, timeline, state, size)
        return self.encode(events, timeline, state)

    def mark(
        self, events: Mapping[str, Events], timeline: Timeline, state: State | None
    ) -> tuple[Timeline, State]:
        """Marks the changes that the core asks for."""
        if not self.core.marks:
            return timeline, {}
        marks, after = {}, {}
        for name in self.core.marks:
            marks[name], after[name] = changes(
                cast(CategoryEvents, events[name]), timeline, part(state, name)
            )
        return timeline.with_marks(marks), after

    def encode(
        self, events: Mapping[str, Events], timeline: Timeline, state: State | None = None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        """Inputs → what the core makes of them at every step."""
        seen: dict[str, Seen] = {}
        after: State = {}
        before = part(state, "modalities")
        for name in self.modalities:
            seen[name], after[name] = self.see(name, events[name], timeline, part(before, name))
        fused = self.fusion(seen, clock(timeline, self.facts.time_scale, self.dtype))
        hidden, core = self.core(fused, timeline, part(state, "core"))
        return hidden, {"modalities": after, "core": core}

    def see(
        self, name: str, events: Events, timeline: Timeline, state: State | None = None
    ) -> tuple[Seen, State]:
        """One modality: its events, carried and encoded, and what is known of it at every step."""
        events, carried = self.modalities[name](events, timeline, part(state, "carry"))
        encoded = self.encoders[name](events)
        before = part(state, "align")
        if name in self.static:
            seen, aligned = align_static(encoded, events.step, timeline, before)
        else:
            seen, aligned = align(encoded, events.step, timeline, self.facts.time_scale, before)
        rate = self.experiment.modalities[name].dropout
        if rate and timeline.noise is not None:
            seen = drop(seen, timeline.noise.uniform(hash_name(f"modality {name}"), 1)[:, 0] < rate, timeline)
        return seen, {"carry": carried, "align": aligned}

    def read(
        self,
        hidden: Float[Tensor, "step hidden"],
        timeline: Timeline,
        state: State | None,
        at: Int64[Tensor, "query"] | None,
    ) -> tuple[Float[Tensor, "query read"], State]:
        """All readouts side by side."""
        if not self.readouts:
            return hidden.new_zeros(timeline.n_samples if at is None else len(at), 0), {}
        parts, after = [], {}
        for i, readout in enumerate(self.readouts):
            read, after[str(i)] = readout(hidden, timeline, part(state, str(i)), at)
            parts.append(read)
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0], after
