"""Random numbers as a pure function of (seed, step, sample, layer).

The same numbers come out in any batch, chunk, process or device, because nothing is drawn from a
shared stream: each number is the hash of a counter.
Source: splitmix64 finaliser (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

if TYPE_CHECKING:
    from mmseq.batch.timeline import Timeline

_WEYL = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64
_MIX1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX2 = -7723592293110705685  # 0x94D049BB133111EB


def _shift(x: Any, n: int) -> Any:
    """Logical right shift of int64."""
    return (x >> n) & ((1 << (64 - n)) - 1)


def mix(x: Any) -> Any:
    """splitmix64's finaliser on int64 tensors or arrays; products wrap around."""
    x = (x ^ _shift(x, 30)) * _MIX1
    x = (x ^ _shift(x, 27)) * _MIX2
    return x ^ _shift(x, 31)


def hash_key(*parts: int) -> int:
    """Whole numbers → one int64 key."""
    key = 0
    for part in parts:
        key = (key + _WEYL + part) % 2**64
        key = (key ^ (key >> 30)) * _MIX1 % 2**64
        key = (key ^ (key >> 27)) * _MIX2 % 2**64
        key ^= key >> 31
    return key if key < 2**63 else key - 2**64


def seed_globals(key: int) -> None:
    """Starts the generators that all share, torch's, numpy's and Python's, at a key."""
    torch.default_generator.manual_seed(key)
    if torch.cuda.is_initialized():  # else torch.manual_seed would note the stack for later, each time
        torch.cuda.manual_seed_all(key)
    np.random.seed(key % 2**32)
    random.seed(key)


def hash_name(name: str) -> int:
    """A stable number for a name."""
    return zlib.crc32(name.encode())


def permutation(n: int, *parts: int) -> np.ndarray:
    """A permutation of range(n) that depends on `parts` alone."""
    with np.errstate(over="ignore"):
        return np.argsort(
            mix(np.arange(1, n + 1, dtype=np.int64) * np.int64(_WEYL) + hash_key(*parts)), kind="stable"
        )


def integers(
    below: int, key: Int64[np.ndarray, "row"], width: int, *parts: int
) -> Int64[np.ndarray, "row width"]:
    """Whole numbers in [0, below), with repeats: each row's depend on its key and on `parts` alone."""
    with np.errstate(over="ignore"):
        row = mix(key * np.int64(_WEYL) + np.int64(hash_key(*parts)))
        column = np.arange(1, width + 1, dtype=np.int64) * np.int64(_WEYL)
        return _shift(mix(row[:, None] + column), 1) % below


def row_keys(*columns: Int64[np.ndarray, "row"]) -> Int64[np.ndarray, "row"]:
    """Some whole numbers a row → one key a row."""
    key = np.zeros(len(columns[0]), np.int64)
    with np.errstate(over="ignore"):
        for column in columns:
            key = mix(key + np.int64(_WEYL) + column)
    return key


@dataclass(frozen=True)
class Noise:
    """Where a batch's random numbers come from.

    Attributes:
        seed: a key of (seed, optimizer step).
        key: one number per sample, the same wherever the sample is batched.
    """

    seed: int
    key: Int64[Tensor, "sample"]

    def uniform(self, layer: int, width: int) -> Float[Tensor, "sample width"]:
        """float32 numbers in [0, 1), one row a sample, for the layer of that number."""
        row = mix(self.key * _WEYL + hash_key(self.seed, layer))
        column = torch.arange(1, width + 1, device=row.device) * _WEYL
        return _shift(mix(row[:, None] + column), 40).float() / (1 << 24)

    def to(self, device: Any) -> Noise:
        return replace(self, key=self.key.to(device))


class Draws:
    """Uniform numbers for some rows, as many as are asked for; each row's depend on its key alone.

    Args:
        key: one a row, of whatever the numbers are to depend on.
    """

    def __init__(self, key: Int64[Tensor, "row"]) -> None:
        self.key, self.used = key, 0

    def uniform(self, width: int) -> Float64[Tensor, "row width"]:
        """The next numbers of each row, strictly between 0 and 1."""
        column = torch.arange(self.used + 1, self.used + width + 1, device=self.key.device) * _WEYL
        self.used += width
        return (_shift(mix(mix(self.key)[:, None] + column), 12).double() + 0.5) / (1 << 52)


class Dropout(nn.Module):
    """Variational dropout: one mask per sample and layer, the same at all its steps.

    Source: Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent
    neural networks".

    Args:
        rate: share of the features that are hidden, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.layer = 0

    def forward(
        self, x: Float[Tensor, "row width"], timeline: Timeline, row: Int64[Tensor, "row"] | None = None
    ) -> Float[Tensor, "row width"]:
        """Hides features. `row` gives the sample of each row; by default the rows are the steps."""
        if self.rate == 0 or timeline.noise is None:
            return x
        keep = timeline.noise.uniform(self.layer, x.shape[1]) >= self.rate
        scale = keep.to(x.dtype) / (1 - self.rate)
        return x * scale.index_select(0, timeline.sample if row is None else row)


def name_layers(model: nn.Module) -> None:
    """Gives every dropout layer of a model its own number, from its name in the model."""
    for name, module in model.named_modules():
        if isinstance(module, Dropout):
            module.layer = hash_name(name)
