"""Waveforms: what a configuration means, how a signal is normalised, and training on sounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmseq.errors import DataError
from mmseq.modalities import Stored, modalities
from mmseq.modalities.waveform import WaveformConfig, WaveformModality
from mmseq.sources import Recordings


def config(**options: Any) -> WaveformConfig:
    given = {"kind": "waveform", "table": "t", "column": "x", "rate": 16000, **options}
    parsed = modalities.parse(given)
    assert isinstance(parsed, WaveformConfig)
    return parsed


def recordings(**options: Any) -> Recordings:
    payload = WaveformModality.reading(config(**options)).payload
    assert isinstance(payload, Recordings)
    return payload


def test_seconds_become_samples() -> None:
    payload = recordings(length=0.1, hop=0.3, channels=2, given_rate=100)
    assert (payload.shape, payload.first, payload.hop) == ((1600, 2), 1600, 4800)
    assert payload.array_rate == 100 and payload.files
    assert recordings().hop == 16000 == recordings().first
    assert recordings(length=0.5, hop=0.1, begin="silence").first == 1600
    assert recordings(rate=12.5, length=0.8, hop=0.08).shape == (10, 1)


def test_it_is_never_static() -> None:
    assert not config().static and not config(time="start").static
    assert WaveformModality.reading(config()).timed


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"length": 0.33333},
            "length: must be a whole number of samples; 0.33333 s at 16000.0 Hz are 5333.28",
        ),
        ({"rate": 44100, "hop": 0.0001}, "hop: must be a whole number of samples"),
        ({"begin": "silence"}, "does nothing where windows do not overlap"),
        ({"begin": "silence", "hop": 1.0}, "does nothing where windows do not overlap"),
        ({"given_rate": 333.3333}, "given_rate: must be to `rate` as whole numbers up to 200,000"),
        ({"rate": 0}, "greater than 0"),
        ({"channels": 0}, "greater than 0"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        config(**options)


def fitted(windows: np.ndarray, **options: Any) -> WaveformModality:
    given = config(rate=windows.shape[1], channels=windows.shape[2], **options)
    chunks = [{"payload": part} for part in np.array_split(windows, 3)]
    stored = Stored(("x",), (), lambda: iter(chunks), len(windows), False, 1.0)
    built = modalities.build(given, WaveformModality.fit(given, stored))
    assert isinstance(built, WaveformModality)
    return built


def test_normalised() -> None:
    """Each channel by its own mean and spread; one that never varies is left at 0."""
    windows = np.random.default_rng(0).normal([5.0, -2.0], [3.0, 0.0], (50, 40, 2)).astype(np.float32)
    built = fitted(windows)
    values = built.ready(built.make(torch.arange(50), windows)).values.numpy()
    np.testing.assert_allclose(values[..., 0].mean(), 0, atol=1e-5)
    np.testing.assert_allclose(values[..., 0].std(), 1, atol=1e-5)
    np.testing.assert_allclose(values[..., 1], 0, atol=1e-5)


def test_windows_are_parsed() -> None:
    built = fitted(np.zeros((4, 3, 1), np.float32))
    events = built.parse(torch.tensor([0, 1, 1]), [None, [1.0, 2.0, 3.0], {"x": np.ones((3, 1))}])
    assert events.step.tolist() == [1, 1] and events.values.shape == (2, 3, 1)  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="a window has 3 samples; 2 came"):
        built.parse(torch.tensor([0]), [[1.0, 2.0]])
