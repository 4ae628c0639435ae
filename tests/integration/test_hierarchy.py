"""Hierarchies in whole runs, and what they are for: dependencies that span many steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mmseq
from mmseq.batch import Timeline
from mmseq.cores import cores

N_CLASSES, CUE = 4, 8


def remember(generator: torch.Generator, n: int) -> tuple[Tensor, Tensor, Timeline]:
    """The class stands in the first steps, noise in the 64 to 80 steps after; it is asked for at the last."""
    lengths = torch.randint(72, 88, (n,), generator=generator)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    place = torch.cat([torch.arange(int(length)) for length in lengths])
    label = torch.randint(N_CLASSES, (n,), generator=generator)
    inputs = torch.randn(len(place), N_CLASSES, generator=generator)
    cue = 2 * nn.functional.one_hot(label, N_CLASSES).float().repeat_interleave(lengths, 0)
    inputs = torch.where((place < CUE)[:, None], cue, inputs)
    return inputs, label, Timeline(starts, place.double(), (place > 0).float())


def accuracy(config: dict[str, Any], seed: int) -> float:
    """Of a core with a linear head after 100 updates, on samples that it has not seen."""
    torch.manual_seed(seed)
    core = cores.build(cores.parse(config), N_CLASSES)
    head = nn.Linear(core.hidden, N_CLASSES)
    parameters = [*core.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(100):
        inputs, label, timeline = remember(generator, 32)
        loss = nn.functional.cross_entropy(head(core(inputs, timeline)[0][timeline.last]), label)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    inputs, label, timeline = remember(torch.Generator().manual_seed(99), 512)
    with torch.no_grad():
        found = head(core(inputs, timeline)[0][timeline.last]).argmax(1)
    return float((found == label).float().mean())


@pytest.mark.slow
def test_r3n3_remembers_over_segments_what_an_lstm_of_its_size_forgets() -> None:
    """Some 70 steps are two steps of the third level; chance is 0.25."""
    lstm = [accuracy({"kind": "lstm", "hidden": 16}, seed) for seed in (0, 1)]
    segments = [{"steps": 8}, {"steps": 4}]
    r3n3 = [accuracy({"kind": "r3n3", "hidden": 16, "segments": segments}, seed) for seed in (0, 1)]
    assert max(lstm) < 0.4
    assert min(r3n3) > 0.45
    assert sum(r3n3) > sum(lstm) + 2 * 0.25


@pytest.mark.parametrize(
    "core",
    [
        "{kind: r3n3, hidden: 8, segments: [{marker: codes}, {gap: 10}]}",
        "{kind: stack, dropout: 0.1, core: {kind: r2n2, hidden: 8, segments: [{marker: codes}]}}",
        "{kind: cnn, hidden: 8, layers: 2}",
    ],
)
def test_a_run_with_it(core: str, toy: Path, tmp_path: Path) -> None:
    """Trained, saved, loaded and asked."""
    overrides = [f"core={core}", "training.epochs=1", f"data.store={tmp_path / 'stores'}"]
    run = mmseq.train(mmseq.load_config(toy, overrides), output=tmp_path)
    table = run.model().predict(toy.parent / "data")
    assert table.num_rows > 0
    assert not any(column.null_count == len(table) for column in table.columns)
