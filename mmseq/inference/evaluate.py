"""How good a model is on some samples, beside a baseline that reads no inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import evaluation_loader
from mmseq.carried import Carried
from mmseq.data import check_clock, prepare
from mmseq.errors import ConfigError
from mmseq.fit import check_labels
from mmseq.inference.evaluator import Evaluator
from mmseq.inference.predict import predict_stored
from mmseq.memory import FREE_SOME, telling_shortage
from mmseq.processes import ALONE, Processes, together
from mmseq.registry import did_you_mean
from mmseq.run import Run
from mmseq.split import listed_samples

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store import Store


def evaluate(run: Run | str | Path, split: str, data: Any = None) -> dict[str, Any]:
    """Evaluates a run's model on a split; keeps metrics and predictions in the run's folder.

    Under torchrun or srun, every process makes this call, and takes its share of the samples.

    Args:
        run: a finished run, or its folder.
        split: train, validation or test.
        data: tables in memory, for a source of kind `memory`.

    Raises:
        ConfigError: there is no such split, or it has no sample.
        DataError: samples of the run are gone from the data.
        MemoryShort: a batch does not fit into memory.
    """
    run = Run.of(run)
    with together() as processes:
        model, store, samples = processes.first(lambda: split_of(run, split, data))
        return score(run, model, store, samples, split, processes)


def score(
    run: Run, model: Model, store: Store, samples: np.ndarray, split: str, processes: Processes = ALONE
) -> dict[str, Any]:
    """Metrics of a model on samples; the leader keeps them, and the predictions, in the run's folder."""
    report = evaluate_model(model, store, samples, processes)
    predictions = predict_stored(model, store, samples, processes=processes)
    if processes.leads:
        run.write_report(split, report)
        run.write_predictions(split, predictions.table)
        predictions.warn()
    return report


def split_of(
    run: Run, split: str, data: Any = None, model: Model | None = None
) -> tuple[Model, Store, np.ndarray]:
    """A run's model, read unless it is given, its store, and the samples of a split; see `evaluate`."""
    model = model or run.model()
    store = prepare(model.experiment, data)
    splits = listed_samples(run.splits, store)
    if split not in splits:
        raise ConfigError(
            f"{run.path}: a split is one of {', '.join(splits)}; {split!r} came"
            f"{did_you_mean(str(split), splits)}"
        )
    samples = splits[split]
    if not len(samples):
        raise ConfigError(f"{run.path}: the {split} split has no sample; see data.split")
    check_clock(model, store)  # the data may be others than in training
    check_labels(model, store, samples, data)
    return model, store, samples


def evaluate_model(
    model: Model, store: Store, samples: np.ndarray, processes: Processes = ALONE
) -> dict[str, Any]:
    """Metrics of every task over samples that each count once; see `Evaluator.compute`.

    Raises:
        MemoryShort: a batch does not fit into memory.
    """
    evaluator = Evaluator(dict(model.heads.items()), processes=processes)
    answers_of(model, store, samples, lambda batch, said: evaluator.update(said, batch.targets), processes)
    return evaluator.compute()


@torch.inference_mode()
def answers_of(
    model: Model,
    store: Store,
    samples: np.ndarray,
    take: Callable[[Batch, dict[str, Tensor]], None],
    processes: Processes = ALONE,
) -> None:
    """Runs a model over samples, each once.

    Args:
        model, store, samples: what is run on what.
        take: is called with each batch, and the parameters of each task at its labels, on the host.
        processes: that share the samples.

    Raises:
        MemoryShort: a batch does not fit into memory.
    """
    model.eval()
    device = next(model.parameters()).device
    assembler = Assembler(store, model, tasks=list(model.heads), previous=True)
    carried, window = Carried(), model.experiment.training.window
    with telling_shortage(lambda: ("evaluate", carried.batch), FREE_SOME):
        for batch in evaluation_loader(assembler, samples, window=window, processes=processes):
            parameters = carried.run(model, batch.to(device))
            take(batch, {t: p.cpu() for t, p in parameters.items()})
