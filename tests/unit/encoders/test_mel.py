"""Mels and their triangles, against published numbers and formulas by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mmseq.encoders.mel import mel_filters, to_hertz, to_mel
from mmseq.errors import ConfigError

PUBLISHED = [(60.0, 0.9), (110.0, 1.65), (220.0, 3.3), (440.0, 6.6), (200.0, 3.0)]
"""Examples in librosa's documentation of `hz_to_mel` and `mel_to_hz`."""
BY_HAND = [(0.0, 0.0), (1000.0, 15.0), (6400.0, 42.0), (1000 * 6.4 ** (1 / 3), 24.0)]

FILTERS = {
    0: [0, 0.016182853208219942, 0.032365706416439884, 0.028990088037379964, 0.012807234829160026, 0],
    1: [0, 0, 0, 0.009779235793639925, 0.025962089001859864, 0.035393705451959974, 0.01921085224374004,
        0.003027999035520103, 0],
}  # fmt: skip
"""What `librosa.filters.mel(sr=22050, n_fft=2048)` begins with, as the documentation of the crate mel_filter
prints it; a filter has an area of 1 there, and weights that sum to 1 here."""


@pytest.mark.parametrize(("hertz", "mel"), PUBLISHED + BY_HAND)
def test_mels(hertz: float, mel: float) -> None:
    assert float(to_mel(hertz)) == pytest.approx(mel, abs=1e-9)
    assert float(to_hertz(mel)) == pytest.approx(hertz, abs=1e-9)


@pytest.mark.parametrize("row", FILTERS)
def test_triangles_are_those_of_librosa(row: int) -> None:
    expected = np.array(FILTERS[row])
    found = mel_filters(22050.0, 2048, 128, 0.0, 11025.0)
    assert found.shape == (128, 1025)
    np.testing.assert_allclose(found[row, : len(expected)], expected / expected.sum(), atol=1e-12)


def test_triangles_by_hand() -> None:
    """Bins are 100 Hz apart; of two mels between 0 and 600 Hz, the edges are at 0, 200, 400 and 600 Hz."""
    found = mel_filters(1600.0, 16, 2, 0.0, 600.0)
    expected = np.zeros((2, 9))
    expected[0, 1:4] = [0.25, 0.5, 0.25]
    expected[1, 3:6] = [0.25, 0.5, 0.25]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bands_without_a_bin() -> None:
    told = (
        r"each of 80 bands must have a frequency .* 62\.5 Hz apart; that from \d+ to \d+ Hz has none; lower"
    )
    with pytest.raises(ConfigError, match=told):
        mel_filters(8000.0, 128, 80, 0.0, 4000.0)
