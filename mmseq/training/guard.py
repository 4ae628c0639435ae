"""Whether the numbers of an optimizer step are fit to be learned from."""

from __future__ import annotations

from dataclasses import dataclass

from mmseq.config.training import GuardConfig

_PAST = 50  # losses that the running mean and deviation remember, about
_LEAST = 20  # losses before a spike can be told


@dataclass
class Guard:
    """The running mean of the loss, and its mean deviation from it; kept in checkpoints.

    Both are exponential averages, corrected for their start, over the steps that were taken. The deviation,
    not the mean, is the unit of a spike, since a likelihood's loss may be 0 or less.

    Attributes:
        mean, deviation: of the losses so far.
        n: how many those are.
        in_a_row: bad steps since the last good one.
        skipped: bad steps in all.
    """

    mean: float = 0.0
    deviation: float = 0.0
    n: int = 0
    in_a_row: int = 0
    skipped: int = 0

    def is_spike(self, loss: float, config: GuardConfig) -> bool:
        """Whether a finite loss lies further above the mean than the configured number of deviations."""
        if config.spike is None or self.n < _LEAST:
            return False
        return loss > self.mean + config.spike * self.deviation

    def take(self, loss: float) -> None:
        """Notes a step that is taken."""
        self.in_a_row = 0
        self.n += 1
        new = max(1 / self.n, 1 / _PAST)
        self.deviation += new * (abs(loss - self.mean) - self.deviation) if self.n > 1 else 0.0
        self.mean += new * (loss - self.mean)

    def skip(self) -> None:
        """Notes a step that is not taken."""
        self.in_a_row += 1
        self.skipped += 1
