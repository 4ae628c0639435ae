"""Multimodal, multitask sequence models on messy clocks and sparse labels.

The public names are imported when they are first used, so that `import mmseq` alone is quick. The
registries stand with their families: `from mmseq.encoders import Encoder, EncoderConfig, encoders`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmseq.batch import Batch as Batch
    from mmseq.config.load import load_config as load_config
    from mmseq.data import prepare as prepare
    from mmseq.errors import MmseqError as MmseqError
    from mmseq.inference.calibrate import calibrate as calibrate
    from mmseq.inference.evaluate import evaluate as evaluate
    from mmseq.inference.generate import generate as generate
    from mmseq.inference.impute import impute as impute
    from mmseq.inference.predict import predict as predict
    from mmseq.model import Model as Model
    from mmseq.run import Run as Run
    from mmseq.sources.padded import padded as padded
    from mmseq.streaming.stream import Stream as Stream
    from mmseq.training.train import train as train

_HOME = {
    "Batch": "mmseq.batch",
    "MmseqError": "mmseq.errors",
    "Model": "mmseq.model",
    "Run": "mmseq.run",
    "Stream": "mmseq.streaming.stream",
    "calibrate": "mmseq.inference.calibrate",
    "evaluate": "mmseq.inference.evaluate",
    "generate": "mmseq.inference.generate",
    "impute": "mmseq.inference.impute",
    "load_config": "mmseq.config.load",
    "padded": "mmseq.sources.padded",
    "predict": "mmseq.inference.predict",
    "prepare": "mmseq.data",
    "train": "mmseq.training.train",
}

__all__ = [
    "Batch",
    "MmseqError",
    "Model",
    "Run",
    "Stream",
    "calibrate",
    "evaluate",
    "generate",
    "impute",
    "load_config",
    "padded",
    "predict",
    "prepare",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
