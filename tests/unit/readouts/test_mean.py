from __future__ import annotations

import torch

from mmseq.batch import Timeline
from mmseq.readouts.mean import MeanReadout

HIDDEN = torch.tensor([[2.0], [4.0], [9.0], [-7.0]])
TIMELINE = Timeline(torch.tensor([0, 3, 3, 4]), torch.zeros(4), torch.zeros(4), continues=True)


def test_means_of_prefixes() -> None:
    read, state = MeanReadout(1)(HIDDEN, TIMELINE, None, torch.arange(4))
    assert read[:, 0].tolist() == [2, 3, 5, -7]
    assert state["sum"].tolist() == [[15], [0], [-7]]
    assert state["count"].tolist() == [[3], [0], [1]]


def test_mean_goes_on_from_the_state() -> None:
    readout = MeanReadout(1)
    _, state = readout(HIDDEN, TIMELINE)
    more = Timeline(torch.tensor([0, 1, 2, 2]), torch.ones(2), torch.ones(2))
    read, _ = readout(torch.tensor([[1.0], [6.0]]), more, state)
    assert read[:, 0].tolist() == [4, 6, -7]


def test_long_half_precision_sums_keep_their_digits() -> None:
    steps = 5_000
    timeline = Timeline(torch.tensor([0, steps]), torch.zeros(steps), torch.zeros(steps))
    hidden = torch.full((steps, 1), 1.0, dtype=torch.bfloat16)
    for at in (None, torch.tensor([steps - 1])):
        read, _ = MeanReadout(1)(hidden, timeline, None, at)
        assert read.dtype == torch.bfloat16 and read.item() == 1
