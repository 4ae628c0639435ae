"""The ragged batch: all steps of all samples in one tensor, and nothing padded."""

from mmseq.batch.batch import Batch
from mmseq.batch.events import (
    CategoryEvents,
    Events,
    ImageEvents,
    MeasurementEvents,
    NumericEvents,
    TextEvents,
    VectorEvents,
    WaveformEvents,
)
from mmseq.batch.padding import pad, unpad
from mmseq.batch.target import Target
from mmseq.batch.timeline import Timeline

__all__ = [
    "Batch",
    "CategoryEvents",
    "Events",
    "ImageEvents",
    "MeasurementEvents",
    "NumericEvents",
    "Target",
    "TextEvents",
    "Timeline",
    "VectorEvents",
    "WaveformEvents",
    "pad",
    "unpad",
]
