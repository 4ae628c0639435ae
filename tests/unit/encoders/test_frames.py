"""A residual network over frames: sizes, and what it can tell apart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mmseq.batch import ImageEvents
from mmseq.encoders import encoders
from mmseq.encoders.frames import FramesEncoder
from mmseq.testing import check_kind


def built(shape: tuple[int, int, int], width: int = 5, **options: Any) -> FramesEncoder:
    torch.manual_seed(0)
    spec = SimpleNamespace(shape=shape)
    return encoders.build(encoders.parse({"kind": "frames", **options}), spec, width)


def events(values: Tensor) -> ImageEvents:
    return ImageEvents(torch.arange(len(values)), values)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 3), (17, 5, 1), (64, 48, 3)])
@pytest.mark.parametrize("n", [0, 3])
def test_any_size(shape: tuple[int, int, int], n: int) -> None:
    encoder = built(shape)
    encoded = encoder(events(torch.randn(n, *shape)))
    encoded.sum().backward()
    assert encoded.shape == (n, 5)
    assert all(parameter.grad is not None for parameter in encoder.parameters())


OPTIONS: list[dict[str, Any]] = [{"channels": 3, "blocks": 1}, {"blocks": 3, "regions": 1}, {"regions": 3}]


@pytest.mark.parametrize("options", OPTIONS)
def test_contract_of_options(options: dict[str, Any]) -> None:
    check_kind("encoders", "frames", **options)


def test_blocks_halve_and_double() -> None:
    encoder = built((32, 32, 3), channels=4, blocks=3)
    maps = encoder.first(torch.zeros(1, 3, 32, 32))
    shapes = [tuple(maps.shape[1:])]
    for block in encoder.blocks:
        maps = block(maps)
        shapes.append(tuple(maps.shape[1:]))
    assert shapes == [(4, 16, 16), (8, 8, 8), (16, 4, 4), (32, 2, 2)]


def test_it_learns_where_a_dot_is() -> None:
    """Which quarter of the frame: with one region, the mean over all, it is hardly told."""
    generator = torch.Generator().manual_seed(1)
    row, column = torch.randint(0, 16, (2, 256), generator=generator)
    frames = torch.zeros(256, 16, 16, 1)
    frames[torch.arange(256), row, column] = 10.0
    label = 2 * (row // 8) + column // 8
    encoder = built((16, 16, 1), 4, channels=4)
    optimizer = torch.optim.Adam(encoder.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(encoder(events(frames)), label).backward()
        optimizer.step()
    assert (encoder(events(frames)).argmax(1) == label).float().mean() > 0.95
