from __future__ import annotations

import torch

from mmseq.batch import Timeline
from mmseq.readouts.last import LastReadout

STARTS = torch.tensor([0, 2, 2, 3])


def test_reads_the_last_step_and_keeps_it() -> None:
    hidden = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    readout = LastReadout(2)
    read, state = readout(hidden, Timeline(STARTS, torch.zeros(3), torch.zeros(3), continues=True))
    assert read.tolist() == [[3, 4], [0, 0], [5, 6]]
    later = Timeline(torch.tensor([0, 0, 1, 1]), torch.ones(1), torch.ones(1), continues=True)
    read, _ = readout(torch.tensor([[7.0, 8.0]]), later, state)
    assert read.tolist() == [[3, 4], [7, 8], [5, 6]]


def test_reads_the_queried_steps() -> None:
    hidden = torch.arange(6.0).view(3, 2)
    timeline = Timeline(STARTS, torch.zeros(3), torch.zeros(3))
    read, state = LastReadout(2)(hidden, timeline, None, torch.tensor([2, 0, 0]))
    assert read.tolist() == [[4, 5], [0, 1], [0, 1]]
    assert state == {}
