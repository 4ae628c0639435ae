"""The spectrum of a window as it changes, in bands as the ear hears them, and convolutions over it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from mmseq.batch import WaveformEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders
from mmseq.encoders.mel import mel_filters
from mmseq.errors import ConfigError


class LogMelConfig(EncoderConfig):
    kind: Literal["log_mel"]
    n_mels: PositiveInt = Field(40, description="number of bands")
    window: PositiveFloat = Field(0.025, description="seconds of each spectrum")
    hop: PositiveFloat = Field(0.01, description="seconds from one spectrum to the next")
    f_min: NonNegativeFloat = Field(0.0, description="Hz where the lowest band begins")
    f_max: PositiveFloat | None = Field(
        None, description="Hz where the highest band ends; none: half the modality's rate"
    )
    floor: PositiveFloat = Field(
        1e-5,
        description="power added to each band before its logarithm; the training split's mean power is 1",
    )
    channels: PositiveInt = Field(32, description="of each convolution")
    layers: PositiveInt = Field(2, description="number of convolutions, each of which halves both axes")


@encoders.register(LogMelConfig)
class LogMelEncoder(Encoder):
    """Spectra, bands, logarithm; convolutions with GELU, the mean over time, and a linear map.

    m[t, b] = log10(floor + sum_f W[b, f] |X[t, f]|² / sum_n w[n]²), where X are Fourier transforms of Hann
    windows w and W are `mel_filters`: white noise of the training split's power has 1 in every band.
    """

    reads = WaveformEvents

    def __init__(
        self, spec: Any, width: int, *, n_mels: int, window: float, hop: float, f_min: float,
        f_max: float | None, floor: float, channels: int, layers: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.n_fft, self.hop = _samples("window", window, spec.rate), _samples("hop", hop, spec.rate)
        high = spec.rate / 2 if f_max is None else f_max
        _check(spec, self.n_fft, f_min, high)
        filters = torch.from_numpy(mel_filters(spec.rate, self.n_fft, n_mels, f_min, high))
        self.register_buffer("filters", filters.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("hann", torch.hann_window(self.n_fft), persistent=False)
        self.floor = floor
        sizes = [spec.shape[1], *[channels] * layers]
        blocks = [
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GELU()) for a, b in pairwise(sizes)
        ]
        self.convolutions = nn.Sequential(*blocks)
        for _ in range(layers):
            n_mels = -(-n_mels // 2)
        self.linear = nn.Linear(channels * n_mels, width)

    filters: Tensor
    hann: Tensor

    def forward(self, events: WaveformEvents) -> Float[Tensor, "event width"]:
        bands = self.log_mel(events.values.transpose(1, 2))
        return self.linear(self.convolutions(bands).mean(3).flatten(1))

    def log_mel(
        self, values: Float[Tensor, "event channel time"]
    ) -> Float[Tensor, "event channel mel frame"]:
        """The logarithm of the power in each band."""
        shape, signals = values.shape[:2], values.flatten(0, 1)
        if not len(signals):  # MKL transforms no empty batch
            n_frames = 1 + (values.shape[2] - self.n_fft) // self.hop
            return values.new_zeros(*shape, len(self.filters), n_frames)
        spectra = torch.stft(
            signals, self.n_fft, self.hop, window=self.hann, center=False, return_complex=True
        )
        power = spectra.real.square() + spectra.imag.square()
        bands = self.filters @ power / self.hann.square().sum()
        return torch.log10(bands + self.floor).unflatten(0, shape)


def _samples(name: str, seconds: float, rate: float) -> int:
    n = round(seconds * rate)
    if n < 1:
        raise ConfigError(
            f"log_mel.{name}: must be a sample at least; {seconds} s at {rate:g} Hz are less; raise it"
        )
    return n


def _check(spec: Any, n_fft: int, low: float, high: float) -> None:
    if not low < high <= spec.rate / 2:
        raise ConfigError(
            f"log_mel.f_max: must be above f_min and at most half the modality's rate, {spec.rate / 2:g} Hz; "
            f"{low:g} to {high:g} Hz came; correct them"
        )
    if n_fft > spec.shape[0]:
        raise ConfigError(
            f"log_mel.window: must fit into a window of the modality, {spec.shape[0]} samples; it has "
            f"{n_fft}; lower it"
        )
