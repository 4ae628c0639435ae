"""Recordings that are heard piece by piece: windows are cut as soon as they end, and the rest waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mmseq.errors import DataError
from mmseq.modalities import cells_of
from mmseq.sources import Recordings
from mmseq.sources.binary import is_encoded
from mmseq.sources.recordings import exact
from mmseq.sources.sound import Samples, sound_of
from mmseq.streaming.clock import LiveClock, Time

KEYS = ("samples", "rate", "new")


@dataclass(frozen=True)
class Heard:
    """A recording as far as it was heard.

    Attributes:
        start: when it began: an absolute time, see `LiveClock`.
        rate: samples a second.
        n: samples that were heard.
        k: the window that ends next.
        kept: the last samples, which windows to come are made of, (time, channel) float64.
    """

    start: Time
    rate: float
    n: int
    k: int
    kept: Samples

    def read(self, first: int, stop: int) -> Samples:
        """Samples [first, stop) of the recording, which are still kept."""
        begin = self.n - len(self.kept)
        return self.kept[first - begin : stop - begin]


@dataclass(frozen=True)
class Piece:
    """What was heard between two pushes.

    Attributes:
        samples: (time, channel) float64.
        rate: of them in a second.
        new: a recording begins with it.
    """

    samples: Samples
    rate: float
    new: bool


def piece_of(payload: Recordings, value: Any) -> Piece | None:
    """A raw value of a push; None is missing.

    Args:
        payload: of the modality.
        value: samples: what a cell of a table may be; or a dict of `samples`, and `rate` where it is not that
            of arrays in training, and `new: true` where a recording begins.

    Raises:
        DataError: it is none of these.
    """
    rate, new = payload.array_rate, False
    if isinstance(value, Mapping) and "samples" in value and set(value) <= set(KEYS):
        rate, new, value = value.get("rate", rate), value.get("new", False), value["samples"]
        if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < np.inf:
            raise DataError(f"rate: samples a second are a number above 0; {rate!r} came; correct it")
        if not isinstance(new, bool):
            raise DataError(f"new: true where a recording begins; {new!r} came; correct it, or leave it out")
    elif isinstance(value, Mapping) and not is_encoded(value):
        (value,) = cells_of(value, [payload.column])
    if value is None:
        return None
    try:
        sound = sound_of(value, Path(), exact(float(rate)), payload.shape[1])
        samples = sound.read(0, sound.n)
        sound.close()
        payload.count(sound.n, sound.rate)  # whether its rate can be changed
    except (ValueError, OSError) as error:
        raise DataError(f"{error}; correct it") from error
    return Piece(samples, float(sound.rate), new)


def hear(
    payload: Recordings, heard: Heard | None, piece: Piece, clock: LiveClock, time: Time
) -> tuple[list[tuple[Time, np.ndarray]], Heard]:
    """The windows that end within a piece, each with its absolute time, and what is kept for later ones.

    Args:
        payload: how windows are cut.
        heard: the recording so far; None: there is none.
        piece: what comes.
        clock: of the sample.
        time: when the piece ends.

    Raises:
        DataError: the piece does not go on where the recording ended, or has another rate.
    """
    duration = len(piece.samples) / exact(piece.rate)
    if heard is None or piece.new:
        heard = Heard(clock.later(time, -duration), piece.rate, 0, 0, piece.samples[:0])
    else:
        _check(heard, piece, clock, time, duration)
    rate = exact(heard.rate)
    kept = np.concatenate([heard.kept, piece.samples])
    heard = replace(heard, n=heard.n + len(piece.samples), kept=kept)
    windows = []
    for k in range(heard.k, payload.count(heard.n, rate)):
        end = payload.end(k)
        at = time if end == heard.n / rate else clock.later(heard.start, end)
        windows.append((at, payload.window(heard.read, rate, k)))
    after = heard.k + len(windows)
    n_kept = max(0, heard.n - payload.begin(after, rate))
    return windows, replace(heard, k=after, kept=kept[len(kept) - n_kept :].copy())


def _check(heard: Heard, piece: Piece, clock: LiveClock, time: Time, duration: Fraction) -> None:
    advice = 'correct it, or begin another recording: {"samples": […], "new": true}'
    if piece.rate != heard.rate:
        raise DataError(
            f"a piece has the rate of its recording, {heard.rate:g} Hz; {piece.rate:g} Hz came; {advice}"
        )
    rate = exact(heard.rate)
    expected = clock.later(heard.start, heard.n / rate + duration)
    if abs(time - expected) > clock.later(0, 1 / (2 * rate)) + clock.grain(time):
        raise DataError(
            f"a piece goes on where its recording ended, and so this one, of {len(piece.samples):,} samples, "
            f"ends at {clock.told(expected)}; {clock.told(time)} came; {advice}"
        )
