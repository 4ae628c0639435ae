"""Cores: what runs over the steps and remembers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.registry import ComponentConfig, Registry
from mmseq.state import State

__all__ = ["Core", "CoreConfig", "cores"]


class CoreConfig(ComponentConfig):
    """Base of every core's config."""


class Core(nn.Module):
    """A function (inputs, timeline, state) → (outputs, state) over the steps of each sample.

    Running a sequence whole, in chunks or one step at a time is the same call and gives the same
    numbers. Constructor: `(width, *, …options)`.

    Attributes:
        hidden: size of the outputs.
        causal: outputs depend on no later step; a core that is not causal cannot stream.
        marks: names of category modalities whose changes it wants to find in `timeline.marks`.
    """

    causal: bool = True
    marks: tuple[str, ...] = ()
    hidden: int

    @abstractmethod
    def forward(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, state: State | None = None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        """Runs on from `state` (None: from the beginning).

        The state returned has one row a sample; rows without a step keep theirs. It may be empty where
        `timeline.continues` is false.
        """

    def check_state(self, state: State, names: Iterable[str], may_be_empty: Iterable[str] = ()) -> None:
        """Raises ValueError where a state is not what this core returns.

        Args:
            state: what came.
            names: of the parts that the core returns.
            may_be_empty: those among them that may hold nothing, and so may be left out.
        """
        names = tuple(names)
        if not set(names) - set(may_be_empty) <= set(state) <= set(names):
            raise ValueError(
                f"{type(self).__name__}: a state holds {', '.join(names)}; "
                f"got {', '.join(state) or 'nothing'}; "
                "pass the state of a call whose timeline has continues=True"
            )


cores: Registry[Core] = Registry("cores", CoreConfig)
