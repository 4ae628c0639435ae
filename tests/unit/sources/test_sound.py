"""Recordings in files, bytes and arrays, and what is said of those that are none."""

from __future__ import annotations

import io
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mmseq.errors import PluginError
from mmseq.sources.binary import encode
from mmseq.sources.sound import FileSound, sound_of

RATE = 8000
STEREO = np.stack([np.arange(100), -np.arange(100) / 2], 1) / 128


def sound(cell: Any, folder: Path = Path(), channels: int = 1) -> Any:
    return sound_of(cell, folder, Fraction(50), channels)


def wav(array: np.ndarray, subtype: str = "PCM_16", format: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, array, RATE, format=format, subtype=subtype)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["path", "bytes", "base64", "flac"])
def test_files(form: str, tmp_path: Path) -> None:
    """16-bit samples come as they are; the file tells its rate; two channels become their mean."""
    content = wav(STEREO, format="FLAC" if form == "flac" else "WAV")
    (tmp_path / "x.wav").write_bytes(content)
    cell = {"path": "x.wav", "base64": encode(content)}.get(form, content)
    found = sound(cell, tmp_path)
    assert (found.n, found.rate) == (100, RATE)
    np.testing.assert_array_equal(found.read(10, 30)[:, 0], STEREO[10:30].mean(1))
    np.testing.assert_array_equal(found.read(5, 7)[:, 0], STEREO[5:7].mean(1))
    found.close()
    both = sound(cell, tmp_path, channels=2)
    np.testing.assert_array_equal(both.read(0, 100), STEREO)


@pytest.mark.parametrize("form", ["array", "list", "JSON", "npy"])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_arrays(form: str, n_channels: int) -> None:
    array = STEREO if n_channels == 2 else STEREO[:, 0]
    forms = {"array": array, "list": array.tolist(), "JSON": json.dumps(array.tolist()), "npy": npy(array)}
    found = sound(forms[form], channels=n_channels)
    assert (found.n, found.rate) == (100, 50)
    np.testing.assert_array_equal(found.read(3, 9), array.reshape(100, -1)[3:9])


def test_whole_numbers_are_numbers() -> None:
    assert sound(np.array([1, -32768], np.int16)).read(0, 2).tolist() == [[1.0], [-32768.0]]
    assert sound([]).n == 0


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (3.0, "a recording is a file or an array; '3.0' came"),
        ([["a"]], "a list of numbers, one a sample"),
        (np.zeros((2, 2, 2)), r"shape \[2, 2, 2\]"),
        ([True, False], "of bool came"),
        ("[1, 2", "Expecting"),
        ("absent.wav", r"there is no file .*absent\.wav"),
        (b"not a sound", "the bytes of a file is no sound that can be read"),
        (b"", "is no sound"),
    ],
)
def test_what_is_no_recording(cell: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        sound(cell, tmp_path)


def test_channels_must_be_as_many() -> None:
    for cell in (wav(STEREO), STEREO):
        with pytest.raises(ValueError, match="has the 3 channels of the configuration; 2 came"):
            sound(cell, channels=3)


def test_numbers_must_be_finite() -> None:
    values = np.zeros(50)
    values[20] = np.inf
    for cell in (wav(values, "FLOAT"), values):
        found = sound(cell)
        assert not found.read(0, 20).any()
        with pytest.raises(ValueError, match="finite numbers; others came"):
            found.read(20, 30)


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_a_file_that_is_cut_short(format: str, tmp_path: Path) -> None:
    """Told when the header is read, or when what is missing is. caught: silence instead."""
    content = wav(np.random.default_rng(0).normal(size=20_000) / 10, format=format)
    path = tmp_path / "x.sound"
    path.write_bytes(content[: len(content) // 2])
    try:
        found = FileSound(path, 1)
    except ValueError:
        return
    if found.n == 20_000:
        with pytest.raises(ValueError, match=r"x\.sound"):
            found.read(15_000, 16_000)
    else:
        assert len(found.read(0, found.n)) == found.n < 11_000


@pytest.mark.parametrize("package", ["soundfile", "soxr"])
def test_without_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays at the rate of the model need neither."""
    from mmseq.sources.recordings import Recordings

    monkeypatch.setitem(sys.modules, package, None)
    payload = Recordings("x", "float32", (10, 1), 50.0, 100.0, 10, 10)
    with pytest.raises(PluginError, match=rf"needs {package}; .*run: pip install 'mmseq\[audio\]'") as caught:
        if package == "soundfile":
            sound(wav(STEREO))
        else:
            payload.window(sound(np.zeros(100)).read, Fraction(100), 0)
    assert caught.value.exit_code == 3
    assert payload.window(sound(np.zeros(100)).read, Fraction(50), 0).shape == (10, 1)
