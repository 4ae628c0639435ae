"""Recordings whose windows become the rows of a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mmseq.sources.payload import Payload
from mmseq.sources.sound import Samples, Sound, audio, sound_of

PERIODS = 160  # of the lower rate, that the filter of a resampler is heard over
LARGEST = 200_000  # whole number in a ratio of two rates


@dataclass(frozen=True)
class Recordings(Payload):
    """A cell is a recording; each of its windows is a row, at the time when the window ends.

    A window is of samples before its end alone, so that it is the same when the recording is heard live,
    and the same wherever reading began.

    Attributes:
        shape: (time, channel) of a window.
        rate: samples a second in a window.
        array_rate: in what is no file of sound.
        first: samples, at `rate`, until the first window ends.
        hop: from one window's end to the next one's.
    """

    shape: tuple[int, int]
    rate: float
    array_rate: float
    first: int
    hop: int
    files: ClassVar[bool] = True

    def value(self, cell: Any, folder: Path) -> np.ndarray:
        """One window, cut already."""
        n, channels = self.shape
        if isinstance(cell, str):
            raise ValueError(f"a window is an array of {n} samples; text came")
        sound = sound_of(cell, folder, exact(self.rate), channels)
        if sound.n != n or sound.rate != exact(self.rate):
            raise ValueError(f"a window has {n:,} samples; {sound.n:,} came")
        return self._stored(sound.read(0, n))

    def open(self, cell: Any, folder: Path) -> Sound:
        """The recording that a cell holds or names.

        Raises:
            ValueError: it breaks a rule.
            PluginError: the extra `audio` is not installed.
        """
        return sound_of(cell, folder, exact(self.array_rate), self.shape[1])

    def count(self, n: int, rate: Fraction) -> int:
        """Windows of a recording of so many samples. Raises ValueError where its rate cannot be changed."""
        ratio = self._ratio(rate)
        return max(0, (n * ratio.numerator // ratio.denominator - self.first) // self.hop + 1)

    def end(self, k: int) -> Fraction:
        """Seconds from a recording's begin to the end of a window."""
        return (self.first + k * self.hop) / exact(self.rate)

    def begin(self, k: int, rate: Fraction) -> int:
        """The first sample that a window is made of, in a recording of this rate."""
        return max(0, self._span(k, self._ratio(rate))[0])

    def window(self, read: Callable[[int, int], Samples], rate: Fraction, k: int) -> np.ndarray:
        """The array of a window.

        Args:
            read: gives a recording's samples [first, stop).
            rate: samples a second of the recording.
            k: which window.

        Raises:
            ValueError: it cannot be read.
        """
        ratio = self._ratio(rate)
        begin, stop, skip = self._span(k, ratio)
        samples, n = read(max(0, begin), stop), self.shape[0]
        if ratio != 1:
            samples = _resampled(samples, ratio, max(0, -begin), _reach(ratio))[skip:][:n]
        silent = max(0, n - self.first - k * self.hop)  # before the recording begins
        return self._stored(np.pad(samples[-(n - silent) :], ((silent, 0), (0, 0))))

    def _ratio(self, rate: Fraction) -> Fraction:
        ratio = exact(self.rate) / rate
        if max(ratio.numerator, ratio.denominator) > LARGEST:
            raise ValueError(
                f"rates must be to each other as whole numbers up to {LARGEST:,}; {float(rate)} Hz came for "
                f"{self.rate} Hz"
            )
        return ratio

    def _span(self, k: int, ratio: Fraction) -> tuple[int, int, int]:
        """First sample of the recording, the one after the last, and how many, resampled, precede the window.

        At samples that are multiples of the ratio's denominator both clocks tick together. The first may be
        before the recording begins.
        """
        stop = self.first + k * self.hop
        start = stop - self.shape[0]
        if ratio == 1:
            return start, stop, 0
        up, down = ratio.numerator, ratio.denominator
        both = start // up - _reach(ratio) // down
        return both * down, -(-stop * down // up), start - both * up

    def _stored(self, samples: Samples) -> np.ndarray:
        with np.errstate(over="ignore"):
            stored = samples.astype(self.dtype)
        if not np.isfinite(stored).all():
            raise ValueError(f"{float(np.abs(samples).max())} is beyond {self.dtype}")
        return stored


def _reach(ratio: Fraction) -> int:
    """Samples of a recording that the filter hears on each side; a multiple of the ratio's denominator."""
    lower = PERIODS / min(ratio, Fraction(1))  # in samples of the recording
    return -(-lower // ratio.denominator) * ratio.denominator


def _resampled(samples: Samples, ratio: Fraction, before: int, after: int) -> Samples:
    """At another rate; beyond the first and the last that are known, mirrored about them, so many samples."""
    longer = np.pad(samples, ((before, after), (0, 0)), mode="reflect", reflect_type="odd")
    return audio("soxr").resample(longer, ratio.denominator, ratio.numerator, quality="HQ")


def exact(number: float) -> Fraction:
    """A number as it is written: 0.1 is one tenth."""
    return Fraction(repr(number))
