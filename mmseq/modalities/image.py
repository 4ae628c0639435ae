"""Images: the frames of a camera, scans, plots."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow
import torch
from jaxtyping import Int64
from pydantic import Field, PositiveInt
from torch import Tensor

from mmseq.batch import ImageEvents
from mmseq.modalities import Arrays, ModalityConfig, Spec, Stored, check_some_events, modalities
from mmseq.modalities.payload import PayloadModality
from mmseq.modalities.pixels import pillow, read_pixels
from mmseq.sources import BadCell, Payload, Reading
from mmseq.sources.binary import decode

_PART = 1 << 22  # pixels that are counted at a time


class ImageConfig(ModalityConfig):
    kind: Literal["image"]
    column: str = Field(
        description="column of images: paths from the data's folder on, bytes of files, or uint8 arrays"
    )
    size: list[PositiveInt] = Field(
        min_length=2, max_length=2, description="height and width that every image is resized to"
    )
    channels: Literal[1, 3] = Field(3, description="1: grey; 3: red, green and blue")


@dataclass(frozen=True)
class ImagePayload(Payload):
    """Pixels of one size, (height, width, channel) uint8."""

    shape: tuple[int, int, int]
    files: ClassVar[bool] = True

    def value(self, cell: Any, folder: Path) -> np.ndarray:
        return read_pixels(cell, folder, self.shape)

    def read(self, cells: pyarrow.Array, folder: Path) -> np.ndarray:
        """As `Payload.read`, in threads: pillow decodes without Python's lock."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            futures = [pool.submit(self._one, cell, folder) for cell in cells]
            try:
                return np.asarray(self.join([_result(i, future) for i, future in enumerate(futures)]))
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, cell: Any, folder: Path) -> np.ndarray:
        return self.value(decode(cell.as_py()), folder)


def _result(row: int, future: Future[np.ndarray]) -> np.ndarray:
    try:
        return future.result()
    except (ValueError, OSError) as error:
        raise BadCell(row, str(error)) from error


class ImageSpec(Spec):
    """Facts of each channel, over all pixels of the training split.

    Attributes:
        columns: the name of the column.
        shape: height, width, channels.
        mean, std: of each channel, from 0 to 255; the spread is 1 where a channel never varies.
    """

    columns: list[str]
    shape: tuple[int, int, int]
    mean: list[float]
    std: list[float]


@modalities.register(ImageConfig)
class ImageModality(PayloadModality):
    """Brings each channel to mean 0 and spread 1 over the training split; bytes stay bytes until then."""

    Spec = ImageSpec
    gives = ImageEvents
    default_encoder = "frames"
    example_options: ClassVar[dict[str, Any]] = {"size": [6, 5]}

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__(spec)
        self.payload = ImagePayload(spec.columns[0], "uint8", spec.shape)
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    mean: Tensor
    std: Tensor

    @classmethod
    def reading(cls, config: ImageConfig) -> Reading:
        """Raises PluginError where pillow is not installed."""
        pillow()
        payload = ImagePayload(config.column, "uint8", (config.size[0], config.size[1], config.channels))
        return Reading(config.table, config.time, payload=payload)

    @classmethod
    def fit(cls, config: ImageConfig, stored: Stored) -> ImageSpec:
        """Mean and spread of each channel. Raises DataError where the training split has no image."""
        check_some_events(config.table, stored)
        counts = _count(stored.chunks(), config.channels)
        values = np.arange(256.0)
        mean = counts @ values / counts.sum(1)
        std = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(1) / counts.sum(1))
        return ImageSpec(
            columns=[config.column],
            shape=(config.size[0], config.size[1], config.channels),
            mean=mean.tolist(),
            std=np.where(std > 0, std, 1.0).tolist(),
        )

    def make(self, step: Tensor, payload: np.ndarray) -> ImageEvents:
        return ImageEvents(step, torch.from_numpy(payload))

    def ready(self, events: ImageEvents) -> ImageEvents:
        return ImageEvents(events.step, (events.values.to(self.mean) - self.mean) / self.std)

    def several(self, value: Any) -> list[Any]:
        """A list of paths, bytes, arrays or dicts is several; nested lists of numbers are one image."""
        is_one = not isinstance(value, list) or any(isinstance(row, list | int) for row in value)
        return [value] if is_one else value

    def kept(self, value: Any) -> Any:
        cell = self._cell(value)
        return self._read(cell) if isinstance(cell, str | PathLike) else value


def _count(chunks: Iterable[Arrays], channels: int) -> Int64[np.ndarray, "channel value"]:
    """How often each channel has each of the 256 values."""
    counts = np.zeros((channels, 256), np.int64)
    for chunk in chunks:
        pixels = chunk["payload"].reshape(-1, channels)
        for first in range(0, len(pixels), _PART):
            part = pixels[first : first + _PART]
            counts += [np.bincount(part[:, channel], minlength=256) for channel in range(channels)]
    return counts
