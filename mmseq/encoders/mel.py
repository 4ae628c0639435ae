"""How much power a signal has in bands as wide as the ear tells apart."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from mmseq.errors import ConfigError

_LINEAR = 200 / 3  # Hz of a mel below the break
_BREAK, _BREAK_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27

Numbers = Float64[np.ndarray, "*number"]


def to_mel(hertz: Numbers | float) -> Numbers:
    """Slaney's scale: 3 f / 200 below 1 kHz; 15 + 27 ln(f / 1000) / ln 6.4 above.

    Source: Slaney 1998, Auditory Toolbox, version 2, Interval Research technical report 1998-010.
    """
    hertz = np.asarray(hertz, np.float64)
    above = _BREAK_MEL + np.log(np.maximum(hertz, _BREAK) / _BREAK) / _LOG_STEP
    return np.where(hertz < _BREAK, hertz / _LINEAR, above)


def to_hertz(mel: Numbers | float) -> Numbers:
    """The other way round."""
    mel = np.asarray(mel, np.float64)
    above = _BREAK * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR, above)


def mel_filters(
    rate: float, n_fft: int, n_mels: int, low: float, high: float
) -> Float64[np.ndarray, "mel bin"]:
    """Triangles over the bins of a Fourier transform, evenly spaced in mels; the weights of each sum to 1.

    A triangle rises from the centre of the one before to its own, and falls to that of the one after.

    Args:
        rate: samples a second.
        n_fft: samples of the transform, which has n_fft / 2 + 1 bins.
        n_mels: how many triangles.
        low: Hz where the first begins.
        high: Hz where the last ends.

    Raises:
        ConfigError: a triangle is too narrow to have a bin in it.
    """
    edges = to_hertz(np.linspace(to_mel(low), to_mel(high), n_mels + 2))[:, None]
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    sums = triangles.sum(1, keepdims=True)
    if not sums.all():
        narrow = int(np.flatnonzero(sums[:, 0] == 0)[0])
        raise ConfigError(
            f"log_mel: each of {n_mels} bands must have a frequency of the transform in it, which are "
            f"{rate / n_fft:g} Hz apart; that from {edges[narrow, 0]:.0f} to {edges[narrow + 2, 0]:.0f} Hz "
            "has none; lower `n_mels`, or raise `window`"
        )
    return triangles / sums
