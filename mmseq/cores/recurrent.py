"""What `rnn`, `lstm`, `gru` and `decay_gru` share: weights, states, layers, and the choice of how to run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float
from pydantic import BaseModel, Field, PositiveInt
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import Core
from mmseq.cores.initialise import initialise
from mmseq.cores.layout import Layout, layout
from mmseq.random import Dropout
from mmseq.state import State

_CUDNN_KEEP = 0.5  # share of rows still running at which cuDNN is called anew


class RecurrentOptions(BaseModel):
    """Fields that the configs of these cores have in common."""

    hidden: PositiveInt = Field(64, description="size of the state and of the outputs")
    layers: PositiveInt = Field(1, description="recurrent layers, one above another")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of each layer's outputs that is hidden, one mask a sample and layer",
    )


class GatedOptions(RecurrentOptions):
    """Fields that the cores with gates have in common."""

    chrono: int | None = Field(
        None,
        ge=2,
        description="the longest dependency to learn, in steps: units begin with memories of 2 to so many; "
        "none: all begin with memories of a few steps",
    )


class RecurrentCore(Core):
    """Layers of one recurrence, run in the way that is fastest for the device and the batch.

    Every way gives the same numbers, up to rounding.

    Attributes:
        rnn: holds the weights, in PyTorch's names and shapes; never called.
        parts: the names of the tensors in the state, each (sample, layer, hidden); the first is the output.
        n_gates: blocks of `hidden` rows in each weight.
        keep: how ragged a block of the layout may be; see `layout`.
        most: how many slots one may have, but by cuDNN; None: no limit.
        function: runs a layer over packed rows: (x, begin, where, *weights) → outputs.
        kernel: PyTorch's call for sequences, which is cuDNN's on CUDA; None where it has none.
    """

    parts: ClassVar[tuple[str, ...]] = ("hidden",)
    n_gates: ClassVar[int]
    keep: ClassVar[float] = 1.0
    most: int | None = None
    function: ClassVar[type[torch.autograd.Function]]
    kernel: ClassVar[Callable[..., Any] | None]

    def __init__(self, rnn: nn.RNNBase, dropout: float) -> None:
        super().__init__()
        self.rnn = rnn
        self.hidden = rnn.hidden_size
        self.dropout = nn.ModuleList(Dropout(dropout) for _ in range(rnn.num_layers))
        initialise(rnn, self.n_gates)

    @abstractmethod
    def cell(
        self,
        x: Float[Tensor, "step width"],
        timeline: Timeline,
        state: list[Tensor],
        weights: list[Tensor],
    ) -> Sequence[Float[Tensor, "step hidden"]]:
        """One step of one layer: the next value of each part."""

    def layer(
        self,
        x: Float[Tensor, "slot width"],
        timeline: Timeline,
        where: Layout,
        state: list[Tensor],
        weights: list[Tensor],
    ) -> tuple[Float[Tensor, "slot hidden"], Sequence[Float[Tensor, "sample hidden"]]]:
        """All steps of one layer. States are in the layout's order, exact only where nothing is padded."""
        running, waiting = state[0].tensor_split([len(where.last)])
        y = self.function.apply(x, running, where, *weights)
        return y, [torch.cat([y.index_select(0, where.last), waiting])]

    def by_blocks(
        self, x: Float[Tensor, "slot width"], where: Layout, state: list[Tensor], weights: list[Tensor]
    ) -> tuple[Float[Tensor, "slot hidden"], Sequence[Float[Tensor, "sample hidden"]]]:
        """As `layer`, by a call of PyTorch for each block of the layout, on the rows that still run."""
        assert self.kernel is not None
        before = [part[None] for part in state]
        blocks = x.split([duration * rows for duration, rows in where.blocks])
        outputs, ended = [], [[part[len(where.last) :]] for part in state]
        for i, (duration, rows) in enumerate(where.blocks):
            block, begin = blocks[i].view(duration, rows, -1), [part[:, :rows] for part in before]
            options = (True, 1, 0.0, torch.is_grad_enabled(), False, False)
            y, *after = self.kernel(block, begin if len(begin) > 1 else begin[0], weights, *options)
            outputs.append(y.reshape(duration * rows, -1))
            going_on = where.blocks[i + 1][1] if i + 1 < len(where.blocks) else 0
            for done, part in zip(ended, after, strict=True):
                done.append(part[0, going_on:])
            before = after
        return torch.cat(outputs), [torch.cat(done[::-1]) for done in ended]

    def packed(
        self, x: Float[Tensor, "step width"], sizes: Tensor, state: list[Tensor], weights: list[Tensor]
    ) -> tuple[Float[Tensor, "step hidden"], Sequence[Float[Tensor, "layer row hidden"]]]:
        """All steps of all layers in `weights`, by PyTorch's call for packed sequences.

        It is told to train wherever gradients are on: cuDNN's backward pass refuses otherwise, and with
        no dropout of its own there is no other difference.
        """
        assert self.kernel is not None
        begin = state if len(state) > 1 else state[0]
        n_layers, training = len(weights) // 4, torch.is_grad_enabled()
        y, *end = self.kernel(x, sizes, begin, weights, True, n_layers, 0.0, training, False)
        return y, end

    def forward(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, state: State | None = None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        device = inputs.device.type
        by_cudnn = device == "cuda" and self.kernel is not None
        if not by_cudnn and torch.is_autocast_enabled(device):
            # In half precision oneDNN's LSTM fails on many CPUs, and a state loses what it gathers slowly.
            with torch.autocast(device, enabled=False):
                return self.forward(inputs.to(self.rnn.all_weights[0][0].dtype), timeline, state)
        begin = self._begin(inputs, timeline, state)
        if max(timeline.lengths_list, default=0) <= 1:
            outputs, end = self._run_one_step(inputs, timeline, begin)
        elif by_cudnn and timeline.continues:
            outputs, end = self._run_packed(inputs, timeline, begin)
        else:
            outputs, end = self._run_layers(inputs, timeline, begin, by_cudnn)
        return outputs, dict(zip(self.parts, end, strict=True)) if timeline.continues else {}

    def _weights(self) -> list[list[Tensor]]:
        """Of each layer: input and recurrent weight, input and recurrent bias, and what a core adds."""
        # By name: a module looks its attributes up slowly, and a live event has little else to do.
        known = cast("dict[str, Tensor]", self.rnn._parameters)
        return [[known[name] for name in layer] for layer in self.rnn._all_weights]

    def _begin(self, inputs: Tensor, timeline: Timeline, state: State | None) -> list[Tensor]:
        """The parts of the state, zeros where there is none yet."""
        if state is None:
            shape = (timeline.n_samples, self.rnn.num_layers, self.hidden)
            return [inputs.new_zeros(shape)] * len(self.parts)
        self.check_state(state, self.parts)
        return [state[part].to(inputs.dtype) for part in self.parts]

    def _run_one_step(
        self, x: Float[Tensor, "step width"], timeline: Timeline, begin: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """At most one step a sample, as in streaming: nothing to lay out."""
        everyone = timeline.n_steps == timeline.n_samples
        before = begin if everyone else [part.index_select(0, timeline.sample) for part in begin]
        layers = []
        for i, weights in enumerate(self._weights()):
            layers.append(self.cell(x, timeline, [part[:, i] for part in before], weights))
            x = layers[-1][0]
            if timeline.noise is not None:
                x = self.dropout[i](x, timeline)
        if not timeline.continues:
            return x, []
        ends = zip(*layers, strict=True)
        end = [part[0][:, None] if len(part) == 1 else torch.stack(part, 1) for part in ends]
        if not everyone:
            end = [old.index_copy(0, timeline.sample, new) for old, new in zip(begin, end, strict=True)]
        return x, end

    def _run_layers(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, begin: list[Tensor], by_cudnn: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Layer after layer, each over all steps.

        cuDNN takes padded rows many times as fast as packed ones, which only an exact last state needs.
        """
        keep = 1.0 if timeline.continues else _CUDNN_KEEP if by_cudnn else self.keep
        where = layout(timeline, keep, None if by_cudnn else self.most)
        begin = [part.index_select(0, where.order) for part in begin]
        x = where.spread(inputs)
        layers = []
        for i, weights in enumerate(self._weights()):
            state = [part[:, i] for part in begin]
            if by_cudnn:
                x, end = self.by_blocks(x, where, state, weights)
            else:
                x, end = self.layer(x, timeline, where, state, weights)
            x = self.dropout[i](x, timeline, where.sample)
            layers.append(end)
        if not timeline.continues:
            return where.collect(x), []
        ends = [torch.stack(part, 1).index_select(0, where.rank) for part in zip(*layers, strict=True)]
        return where.collect(x), ends

    def _run_packed(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, begin: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """By cuDNN: all layers in one call, or one call a layer where there is dropout."""
        where = layout(timeline)
        rows = len(where.last)
        sizes = torch.tensor(where.sizes)
        begin = [part.index_select(0, where.order).transpose(0, 1) for part in begin]
        weights = self._weights()
        apart = timeline.noise is not None and any(dropout.rate for dropout in self.dropout)
        runs = [[i] for i in range(len(weights))] if apart else [list(range(len(weights)))]
        x = where.spread(inputs)
        layers = []
        for run in runs:
            state = [part[run[0] : run[-1] + 1, :rows].contiguous() for part in begin]
            x, end = self.packed(x, sizes, state, [weight for i in run for weight in weights[i]])
            x = self.dropout[run[-1]](x, timeline, where.sample) if apart else x
            layers.append(end)
        if not timeline.continues:
            return where.collect(x), []
        joined = [torch.cat(part) for part in zip(*layers, strict=True)]
        ends = [torch.cat([new, old[:, rows:]], 1) for new, old in zip(joined, begin, strict=True)]
        return where.collect(x), [part.index_select(1, where.rank).transpose(0, 1) for part in ends]
