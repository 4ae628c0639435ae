"""Waveforms: sound, and whatever else is sampled regularly, cut into windows."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from mmseq.batch import WaveformEvents
from mmseq.modalities import ModalityConfig, Spec, Stored, check_some_events, modalities
from mmseq.modalities.payload import PayloadModality
from mmseq.sources import Reading, Recordings
from mmseq.sources.recordings import LARGEST, exact

Begin = Literal["full", "silence"]


class WaveformConfig(ModalityConfig):
    kind: Literal["waveform"]
    time: str | None = Field(
        None,
        description="column of when each recording begins; none: all begin at 0, one a sample or several",
    )
    column: str = Field(
        description="column of recordings: paths of files (relative to the data's folder), or arrays"
    )
    rate: PositiveFloat = Field(description="samples a second that the model works in; others are resampled")
    given_rate: PositiveFloat | None = Field(
        None, description="samples a second of arrays; none: `rate`. Files tell their own"
    )
    length: PositiveFloat = Field(1.0, description="seconds of a window, which is an event when it ends")
    hop: PositiveFloat | None = Field(
        None, description="seconds from one window's end to the next one's; none: `length`"
    )
    begin: Begin = Field(
        "full",
        description="full: the first window ends when there is a whole one; silence: after one hop, "
        "silence being heard before the recording",
    )
    channels: PositiveInt = Field(
        1, description="1: the mean of all that a recording has; else it has so many"
    )

    @property
    def static(self) -> bool:
        return False

    @model_validator(mode="after")
    def _is_whole(self) -> WaveformConfig:
        for name in ("length", "hop"):
            seconds = getattr(self, name)
            if seconds is not None and (exact(seconds) * exact(self.rate)).denominator != 1:
                raise ValueError(
                    f"{name}: must be a whole number of samples; {seconds} s at {self.rate} Hz are "
                    f"{seconds * self.rate:g}; change `{name}` or `rate`"
                )
        if self.begin == "silence" and (self.hop is None or self.hop >= self.length):
            raise ValueError("begin: silence does nothing where windows do not overlap; leave it out")
        ratio = exact(self.given_rate or self.rate) / exact(self.rate)
        if max(ratio.numerator, ratio.denominator) > LARGEST:
            raise ValueError(
                f"given_rate: must be to `rate` as whole numbers up to {LARGEST:,}; {ratio} came; round it"
            )
        return self


class WaveformSpec(Spec):
    """Facts of each channel, over all windows of the training split.

    Attributes:
        columns: the name of the column.
        rate, array_rate: samples a second of a window, and of arrays that come in.
        shape: samples and channels of a window.
        first, hop: samples until the first window ends, and between the ends of two.
        mean, std: of each channel; the spread is 1 where it never varies.
    """

    columns: list[str]
    rate: float
    array_rate: float
    shape: tuple[int, int]
    first: int
    hop: int
    mean: list[float]
    std: list[float]


@modalities.register(WaveformConfig)
class WaveformModality(PayloadModality):
    """Brings each channel to mean 0 and spread 1 over the training split."""

    Spec = WaveformSpec
    gives = WaveformEvents
    default_encoder = "conv"
    example_options: ClassVar[dict[str, Any]] = {"rate": 8000.0, "length": 0.05, "hop": 0.025, "channels": 2}

    def __init__(self, spec: WaveformSpec) -> None:
        super().__init__(spec)
        self.payload = Recordings(
            spec.columns[0], "float32", spec.shape, spec.rate, spec.array_rate, spec.first, spec.hop
        )
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    mean: Tensor
    std: Tensor

    @classmethod
    def reading(cls, config: WaveformConfig) -> Reading:
        rate = exact(config.rate)
        size, hop = (int(exact(seconds) * rate) for seconds in (config.length, config.hop or config.length))
        first = hop if config.begin == "silence" else size
        array_rate, shape = config.given_rate or config.rate, (size, config.channels)
        payload = Recordings(config.column, "float32", shape, config.rate, array_rate, first, hop)
        return Reading(config.table, config.time, payload=payload)

    @classmethod
    def fit(cls, config: WaveformConfig, stored: Stored) -> WaveformSpec:
        """Mean and spread of each channel. Raises DataError where the training split has no window."""
        check_some_events(config.table, stored)
        payload = cls.reading(config).payload
        assert isinstance(payload, Recordings)
        n = stored.n_events * payload.shape[0]
        mean = sum(_samples(chunk["payload"]).sum(0) for chunk in stored.chunks()) / n
        square = sum(((_samples(chunk["payload"]) - mean) ** 2).sum(0) for chunk in stored.chunks())
        std = np.sqrt(square / n)
        return WaveformSpec(
            columns=[config.column],
            rate=payload.rate,
            array_rate=payload.array_rate,
            shape=payload.shape,
            first=payload.first,
            hop=payload.hop,
            mean=np.asarray(mean).tolist(),
            std=np.where(std > 1e-6 * np.maximum(np.abs(mean), 1e-30), std, 1.0).tolist(),
        )

    def make(self, step: Tensor, payload: np.ndarray) -> WaveformEvents:
        return WaveformEvents(step, torch.from_numpy(payload))

    def ready(self, events: WaveformEvents) -> WaveformEvents:
        return WaveformEvents(events.step, (events.values.to(self.mean) - self.mean) / self.std)


def _samples(windows: np.ndarray) -> np.ndarray:
    """Of some windows, side by side: (time, channel)."""
    return windows.reshape(-1, windows.shape[2]).astype(np.float64)
