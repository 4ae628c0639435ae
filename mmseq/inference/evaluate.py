"""How good a model is on some samples, beside a baseline that reads no inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmseq.batch.assemble import Assembler
from mmseq.inference.evaluator import Evaluator
from mmseq.training.loader import evaluation_loader

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store import Store


@torch.inference_mode()
def evaluate_model(model: Model, store: Store, samples: np.ndarray) -> dict[str, Any]:
    """Metrics of every task over samples that each count once; see `Evaluator.compute`."""
    model.eval()
    device = next(model.parameters()).device
    assembler = Assembler(store, model, tasks=list(model.heads), previous=True)
    evaluator = Evaluator(dict(model.heads.items()))
    for batch in evaluation_loader(assembler, samples):
        parameters, _ = model(batch.to(device))
        evaluator.update({t: p.cpu() for t, p in parameters.items()}, batch.targets)
    return evaluator.compute()
