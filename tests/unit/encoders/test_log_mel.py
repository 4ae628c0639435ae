"""Log-mel spectra against numbers worked out by hand, and what cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import WaveformEvents
from mmseq.encoders import encoders
from mmseq.encoders.log_mel import LogMelEncoder
from mmseq.errors import ConfigError


@dataclass
class Facts:
    rate: float = 1600.0
    shape: tuple[int, int] = (64, 1)


def encoder(spec: Any = None, **options: Any) -> LogMelEncoder:
    given = {"kind": "log_mel", "n_mels": 2, "window": 0.01, "hop": 0.005, "f_max": 600.0, **options}
    built = encoders.build(encoders.parse(given), spec or Facts(), 3).double()
    assert isinstance(built, LogMelEncoder)
    return built


def bands(values: np.ndarray, **options: Any) -> np.ndarray:
    found = encoder(Facts(shape=(len(values), 1)), **options).log_mel(torch.from_numpy(values)[None, None])
    return (10 ** found[0, 0].detach() - options.get("floor", 1e-5)).numpy()


def test_a_tone_by_hand() -> None:
    """A tone of 200 Hz, amplitude A, stands in bins 1, 2 and 3 of a Hann window of 16 samples, of which the
    squares sum to 16 · 3/8 = 6: |X| = A/2 · 8 at its own bin, half of it at the neighbours. The first band
    weighs them by 1/4, 1/2, 1/4, the second has a quarter of bin 3.
    """
    amplitude = 3.0
    tone = amplitude * np.cos(2 * np.pi * 200 * np.arange(64) / 1600 + 0.4)
    power = (amplitude * 4) ** 2 / 6
    found = bands(tone)
    assert found.shape == (2, 7)
    np.testing.assert_allclose(found[0], power * (1 / 2 + 1 / 4 * 1 / 4 * 2), rtol=1e-6)
    np.testing.assert_allclose(found[1], power * 1 / 4 * 1 / 4, rtol=1e-6)


def test_noise_has_power_1_in_every_band() -> None:
    """White noise of variance 1, whatever the window."""
    noise = np.random.default_rng(0).normal(size=200_000)
    for window in (0.01, 0.04):
        np.testing.assert_allclose(bands(noise, window=window).mean(1), 1, rtol=0.03)


def test_silence_has_the_floor() -> None:
    found = encoder(floor=1e-3).log_mel(torch.zeros(1, 1, 64, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), -3.0)


def test_against_a_spectrum_by_the_formula() -> None:
    """Sums of cosines and sines written out, for each frame."""
    values = np.random.default_rng(1).normal(size=64)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(16) / 16)
    angles = np.exp(-2j * np.pi * np.outer(np.arange(9), np.arange(16)) / 16)
    power = [np.abs(angles @ (values[8 * t : 8 * t + 16] * hann)) ** 2 for t in range(7)]
    weights = np.zeros((2, 9))
    weights[0, 1:4] = weights[1, 3:6] = [0.25, 0.5, 0.25]
    np.testing.assert_allclose(bands(values), weights @ np.array(power).T / 6, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"f_max": 900.0}, "log_mel.f_max: must be above f_min and at most half the modality's rate, 800 Hz"),
        ({"f_min": 700.0}, "700 to 600 Hz came"),
        ({"window": 0.1}, "log_mel.window: must fit into a window of the modality, 64 samples; it has 160"),
        ({"hop": 1e-4}, "log_mel.hop: must be a sample at least"),
        ({"n_mels": 20}, "each of 20 bands must have a frequency of the transform"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        encoder(**options)


def test_no_events_leave_zero_gradients() -> None:
    built = encoder()
    values = torch.zeros(0, 64, 1, dtype=torch.float64)
    found = built(WaveformEvents(torch.zeros(0, dtype=torch.int64), values))
    assert found.shape == (0, 3)
    found.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in built.parameters())
