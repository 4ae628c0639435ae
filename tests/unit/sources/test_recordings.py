"""Windows: which there are, when each ends, and what is in it at any rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmseq.sources.recordings import Recordings, exact
from mmseq.sources.sound import ArraySound


def recordings(size: int, rate: float, given: float, first: int | None = None, hop: int = 0) -> Recordings:
    return Recordings("x", "float32", (size, 1), rate, given, first or size, hop or size)


def windows_of(payload: Recordings, signal: np.ndarray) -> np.ndarray:
    sound = ArraySound(signal, exact(payload.array_rate), 1)
    count = payload.count(sound.n, sound.rate)
    return payload.join([payload.window(sound.read, sound.rate, k) for k in range(count)])[..., 0]  # type: ignore[call-overload]


def test_windows_by_hand() -> None:
    """Of ten samples: windows of four, two apart; the last two ends lie at 8 and 10."""
    payload = recordings(4, 2.0, 2.0, hop=2)
    found = windows_of(payload, np.arange(10))
    assert found.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert [payload.end(k) for k in range(4)] == [2, 3, 4, 5]


def test_what_is_left_over_is_no_window() -> None:
    payload = recordings(4, 2.0, 2.0, hop=3)
    assert windows_of(payload, np.arange(9)).tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert payload.count(3, Fraction(2)) == 0 == payload.count(0, Fraction(2))


def test_a_hop_longer_than_a_window_leaves_samples_out() -> None:
    assert windows_of(recordings(2, 1.0, 1.0, hop=5), np.arange(12)).tolist() == [[0, 1], [5, 6], [10, 11]]


def test_silence_before_the_recording() -> None:
    """The first window ends after one hop; a recording shorter than a window has one, too."""
    payload = recordings(4, 1.0, 1.0, first=1, hop=1)
    assert windows_of(payload, np.array([7, 8])).tolist() == [[0, 0, 0, 7], [0, 0, 7, 8]]


@pytest.mark.parametrize(
    ("given", "rate"),
    [(44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (22_050, 8_000), (44_101, 16_000)],
)
def test_a_sine_is_a_sine_at_another_rate(given: int, rate: int) -> None:
    """Against the sine itself: to 2e-6 but for the ends of a window, beyond which nothing is known."""
    size, tone = rate // 4, 440.0
    payload = recordings(size, float(rate), float(given), hop=size // 2)
    found = windows_of(payload, np.sin(2 * np.pi * tone * np.arange(given) / given))
    assert len(found) == 7
    for k, window in enumerate(found):
        time = np.arange(k * size // 2, k * size // 2 + size) / rate
        error = np.abs(window - np.sin(2 * np.pi * tone * time))
        assert error[rate // 100 : -(rate // 100)].max() < 2e-6
        assert error.max() < 0.02


def test_what_is_beyond_half_the_rate_is_filtered_out() -> None:
    """7 kHz would be heard as 1 kHz at a rate of 8 kHz. caught: taking every sixth sample."""
    signal = np.sin(2 * np.pi * 7000 * np.arange(48_000) / 48_000)
    found = windows_of(recordings(2000, 8000.0, 48_000.0), signal)
    assert np.abs(found[:, 100:-100]).max() < 1e-4


@pytest.mark.parametrize("given", [16_000, 44_100, 48_000])
def test_a_window_is_the_same_wherever_reading_begins_and_knows_nothing_later(given: int) -> None:
    """To the last bit, from the samples that it says it needs, whatever follows."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(given, 1))
    payload = recordings(4000, 16_000.0, float(given), hop=1777)
    whole = windows_of(payload, signal[:, 0])
    for k, expected in enumerate(whole):
        begin = payload.begin(k, Fraction(given))
        stop = -(-(payload.first + k * payload.hop) * given // 16_000)
        part = np.full_like(signal, 1e9)
        part[begin:stop] = signal[begin:stop]
        found = payload.window(lambda a, b, part=part: part[a:b], Fraction(given), k)  # type: ignore[misc]
        np.testing.assert_array_equal(found[:, 0], expected)


def test_rates_are_as_they_are_written() -> None:
    assert exact(0.1) * 50 == 5 and exact(16_000.0) == 16_000


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (np.zeros(3), "a window has 4 samples; 3 came"),
        ("sound.wav", "a window is an array of 4 samples; text came"),
        ([1.0, 2.0, 3.0, 1e39], "1e.39 is beyond float32"),
        ([1.0, 2.0, 3.0, np.nan], "finite numbers"),
    ],
)
def test_bad_windows(cell: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        recordings(4, 1.0, 1.0).value(cell, Path())


def test_rates_that_are_no_ratio_of_whole_numbers() -> None:
    with pytest.raises(ValueError, match=r"whole numbers up to 200,000; 333\.3333 Hz came"):
        recordings(4, 100.0, 100.0).count(10, exact(333.3333))
