"""How good a model is early: when only a share of each sequence has been seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmseq.batch import Batch, Target
from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import evaluation_loader
from mmseq.carried import Carried
from mmseq.errors import ConfigError
from mmseq.inference.evaluate import split_of
from mmseq.inference.evaluator import Evaluator
from mmseq.inference.predict import reading
from mmseq.memory import FREE_SOME, telling_shortage
from mmseq.processes import ALONE, Processes, together
from mmseq.run import Run

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store import Store

SHARES = tuple(round(0.1 * i, 1) for i in range(1, 11))


def evaluate_early(
    run: Run, split: str, data: Any = None, shares: Sequence[float] = SHARES
) -> dict[str, Any]:
    """By share of the steps seen, every task's metrics; keeps them in the run's folder.

    A sample of n steps is read as of its step ⌈share · n⌉. Tasks that predict at steps are left out: their
    labels have a time of their own.

    Args:
        run: a finished run.
        split: train, validation or test.
        data: tables in memory, for a source of kind `memory`.
        shares: of each sample's steps, in (0, 1].

    Raises:
        ConfigError: the split has no sample, no task is of whole samples, or the core looks ahead.
    """
    with together() as processes:
        model, store, samples = processes.first(lambda: split_of(run, split, data))
        report = early_model(model, store, samples, shares, processes)
        if processes.leads:
            run.write_report(f"{split}-early", report)
    return report


@torch.inference_mode()
def early_model(
    model: Model,
    store: Store,
    samples: np.ndarray,
    shares: Sequence[float] = SHARES,
    processes: Processes = ALONE,
) -> dict[str, Any]:
    """By share, what `evaluate_model` gives; see `evaluate_early`.

    Raises:
        ConfigError: no task is of whole samples, or the core looks ahead.
        MemoryShort: a batch does not fit into memory.
    """
    if not model.core.causal:
        raise ConfigError(
            "core: only a causal one knows what it would have said early; "
            f"{model.experiment.core.kind!r} looks at later steps"
        )
    heads = {task: head for task, head in model.heads.items() if task not in model.by_step}
    if not heads:
        raise ConfigError("tasks: every one predicts at steps; only labels of whole samples can be early")
    model.eval()
    inputs, labels = Assembler(store, model, tasks=[]), Assembler(store, model, tasks=list(heads))
    scores = {share: Evaluator(heads, processes=processes) for share in shares}
    place, carried = {id: i for i, id in enumerate(store.ids.tolist())}, Carried()
    window = model.experiment.training.window
    with telling_shortage(lambda: ("evaluate --early", carried.batch), FREE_SOME):
        for batch in evaluation_loader(inputs, samples, window=window, processes=processes):
            members = np.array([place[id] for id in batch.ids])
            if not batch.begin:  # the labels of the windows to come, too
                targets = labels.labels(members)
            there = [_as_of(batch, store.lengths[members], share) for share in shares]
            at = torch.cat([step for _, step in there])
            batch, at = batch.to(model.like.device), at.to(model.like.device)
            parameters = carried.run(reading(model, at), batch)
            first = 0
            for share, (sample, step) in zip(shares, there, strict=True):
                rows = {task: parameters[task][first : first + len(step)].cpu() for task in heads}
                first += len(step)
                _score(scores[share], rows, targets, sample, len(members))
    return {f"{share:g}": score.compute() for share, score in scores.items()}


def _as_of(batch: Batch, lengths: np.ndarray, share: float) -> tuple[np.ndarray, torch.Tensor]:
    """The samples whose step of that share is in this batch, and that step."""
    place = np.maximum(np.ceil(share * lengths - 1e-9).astype(np.int64), 1) - 1 - batch.begin
    here = np.flatnonzero((place >= 0) & (place < np.array(batch.timeline.lengths_list)))
    return here, batch.timeline.starts[torch.from_numpy(here)] + torch.from_numpy(place[here])


def _score(
    evaluator: Evaluator,
    parameters: dict[str, torch.Tensor],
    targets: dict[str, Target],
    sample: np.ndarray,
    n_samples: int,
) -> None:
    """Scores the labels of these samples, `where` being the sample."""
    row_of = torch.full((n_samples,), -1)
    row_of[torch.from_numpy(sample)] = torch.arange(len(sample))
    rows, mine = {}, {}
    for task, target in targets.items():
        row = row_of[target.where]
        kept = torch.nonzero(row >= 0)[:, 0]
        mine[task] = replace(target.take(kept), where=torch.arange(len(kept)))
        rows[task] = parameters[task][row[kept]]
    evaluator.update(rows, mine)
