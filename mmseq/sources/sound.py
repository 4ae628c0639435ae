"""A recording in a file, in bytes or in an array, read part by part."""

from __future__ import annotations

import importlib
import io
import json
from abc import ABC, abstractmethod
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from mmseq.errors import PluginError
from mmseq.sources.binary import decode

NPY = b"\x93NUMPY"
Samples = Float64[np.ndarray, "_ channel"]
"""(time, channel)"""


class Sound(ABC):
    """Regular samples, any part of which can be read without the rest.

    Attributes:
        n: its samples, each of all channels.
        rate: of them in a second.
    """

    n: int
    rate: Fraction

    def read(self, first: int, stop: int) -> Samples:
        """Samples [first, stop), all of which there are.

        Raises:
            ValueError: they cannot be read, or are no finite numbers.
        """
        part = self._read(first, stop)
        if not np.isfinite(part).all():
            raise ValueError("a recording holds finite numbers; others came")
        return part

    @abstractmethod
    def _read(self, first: int, stop: int) -> Samples:
        """The same, whatever they hold."""

    def close(self) -> None:  # noqa: B027 – an array has nothing to let go of
        """Lets go of the file, where there is one."""


class ArraySound(Sound):
    """Numbers as they are.

    Args:
        samples: (time,) or (time, channel).
        rate: samples a second.
        channels: of what is read: one is the mean of all, else there must be as many.

    Raises:
        ValueError: they are none, or of another shape.
    """

    def __init__(self, samples: Any, rate: Fraction, channels: int) -> None:
        array = np.asarray(samples)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or not (array.dtype.kind in "iuf" or array.size == 0):
            raise ValueError(
                "a recording is a list of numbers, one a sample, or of lists of one a channel; an array of "
                f"shape {list(np.shape(samples))} of {array.dtype} came"
            )
        _check_channels(array.shape[1], channels)
        self._array, self._is_mixed = array, channels == 1 and array.shape[1] != 1
        self.n, self.rate = len(array), rate

    def _read(self, first: int, stop: int) -> Samples:
        part = self._array[first:stop].astype(np.float64)
        return part.mean(1, keepdims=True) if self._is_mixed else part


class FileSound(Sound):
    """A file of any format that libsndfile reads, of which the header alone is read at first.

    Args:
        file: its path, or its bytes.
        channels: as of `ArraySound`.

    Raises:
        ValueError: it is no such file, or there is none.
        PluginError: the extra `audio` is not installed.
    """

    def __init__(self, file: Path | bytes, channels: int) -> None:
        self._soundfile = audio("soundfile")
        self._name = "the bytes of a file" if isinstance(file, bytes) else str(file)
        if isinstance(file, Path) and not file.is_file():
            raise ValueError(f"a recording is a file or an array; there is no file {self._name}")
        try:
            self._file = self._soundfile.SoundFile(io.BytesIO(file) if isinstance(file, bytes) else file)
        except self._soundfile.SoundFileError as error:
            raise ValueError(f"{self._name} is no sound that can be read: {error}") from error
        try:
            _check_channels(self._file.channels, channels)
        except ValueError:
            self.close()
            raise
        self._channels = channels
        self.n, self.rate = self._file.frames, Fraction(self._file.samplerate)

    def _read(self, first: int, stop: int) -> Samples:
        try:
            self._file.seek(first)
            part = self._file.read(stop - first, dtype="float64", always_2d=True)
        except self._soundfile.SoundFileError as error:
            raise ValueError(f"{self._name} cannot be read at sample {first:,}: {error}") from error
        if len(part) < stop - first:
            raise ValueError(
                f"{self._name} ends at sample {first + len(part):,}; its header tells of {self.n:,}"
            )
        return part.mean(1, keepdims=True) if self._channels == 1 else part

    def close(self) -> None:
        self._file.close()


def sound_of(cell: Any, folder: Path, array_rate: Fraction, channels: int) -> Sound:
    """The recording that a cell holds or names.

    Args:
        cell: a path, the bytes of a file (as base64, too), an array, a list, a list as JSON, or an array as
            bytes of `.npy`.
        folder: that a path is relative to.
        array_rate: samples a second of what is no file of sound.
        channels: see `ArraySound`.

    Raises:
        ValueError: it is none of these, or breaks a rule.
        PluginError: the extra `audio` is not installed.
    """
    cell = decode(cell)
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        cell = json.loads(cell)
    if isinstance(cell, bytes) and cell.startswith(NPY):
        cell = np.load(io.BytesIO(cell), allow_pickle=False)
    if isinstance(cell, bytes):
        return FileSound(cell, channels)
    if isinstance(cell, str | PathLike):
        return FileSound(folder / cell, channels)
    if isinstance(cell, list | tuple | np.ndarray):
        return ArraySound(cell, array_rate, channels)
    raise ValueError(f"a recording is a file or an array; {str(cell)[:60]!r} came")


def _check_channels(came: int, channels: int) -> None:
    if channels != 1 and came != channels:
        raise ValueError(
            f"a recording has the {channels} channels of the configuration; {came} came; `channels: 1` takes "
            "the mean of any number"
        )


def audio(package: str) -> Any:
    """A package of the extra `audio`. Raises PluginError where it is not installed."""
    try:
        return importlib.import_module(package)
    except (ImportError, OSError) as error:  # OSError: soundfile without its library
        raise PluginError(
            f"waveform: to read files of sound, or to change a rate, needs {package}; it cannot be imported "
            f"({error}); run: pip install 'mmseq[audio]'"
        ) from error
