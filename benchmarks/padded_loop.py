"""What a careful user would write by hand: nn.LSTM on length-bucketed padded batches."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from torch.nn.utils.rnn import pad_sequence


class PaddedLoop:
    """One LSTM, its output at each sample's last step, up to three heads, AdamW, clipped gradients.

    Args:
        series: (time, channel) a sample.
        labels: `kind` classes, and optionally `amount` numbers and `flags` labels.
        n_classes: of `kind`.
        hidden: of the LSTM.
        batch: samples in a batch; eight of them are sorted by length together.
    """

    def __init__(
        self,
        series: Sequence[np.ndarray],
        labels: dict[str, np.ndarray],
        *,
        n_classes: int,
        hidden: int,
        batch: int,
    ) -> None:
        self.series = [torch.from_numpy(s) for s in series]
        self.lengths = np.array([len(s) for s in series])
        self.labels = {name: torch.from_numpy(np.asarray(values)) for name, values in labels.items()}
        self.batch = batch
        self.lstm = nn.LSTM(series[0].shape[1], hidden, batch_first=True)
        sizes = {"kind": n_classes, "amount": 1, "flags": 5}
        self.heads = nn.ModuleDict({name: nn.Linear(hidden, sizes[name]) for name in labels})
        self.parameters = [*self.lstm.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-3)
        self.random = np.random.default_rng(0)

    def epoch(self) -> float:
        """Trains on every sample once; seconds that took."""
        begin = time.perf_counter()
        for rows in self._batches():
            loss = self._loss(rows)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
        return time.perf_counter() - begin

    def _batches(self) -> list[np.ndarray]:
        shuffled, group = self.random.permutation(len(self.series)), 8 * self.batch
        batches = []
        for first in range(0, len(shuffled), group):
            rows = shuffled[first : first + group]
            rows = rows[np.argsort(self.lengths[rows])]
            batches += [rows[i : i + self.batch] for i in range(0, len(rows), self.batch)]
        return [batches[i] for i in self.random.permutation(len(batches))]

    def _loss(self, rows: np.ndarray) -> Tensor:
        padded = pad_sequence([self.series[i] for i in rows], batch_first=True)
        last = torch.from_numpy(self.lengths[rows] - 1)
        hidden = self.lstm(padded)[0][torch.arange(len(rows)), last]
        outputs = {name: head(hidden) for name, head in self.heads.items()}
        loss = cross_entropy(outputs["kind"], self.labels["kind"][rows])
        if "amount" in outputs:
            loss = loss + mse_loss(outputs["amount"][:, 0], self.labels["amount"][rows])
            loss = loss + binary_cross_entropy_with_logits(outputs["flags"], self.labels["flags"][rows])
        return loss
