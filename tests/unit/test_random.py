"""Random numbers as a pure function of (seed, step, sample, layer)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from mmseq.random import Draws, Dropout, Noise, hash_key, hash_name, name_layers, permutation
from mmseq.testing.build import LENGTHS, chunks, random_timeline, take_samples

MASK = 2**64 - 1


def splitmix64(x: int) -> int:
    """The finaliser in plain integers, as published."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def oracle_key(*parts: int) -> int:
    key = 0
    for part in parts:
        key = splitmix64((key + 0x9E3779B97F4A7C15 + part) & MASK)
    return key if key < 2**63 else key - 2**64


@pytest.mark.parametrize("parts", [(0,), (1, 2), (2**63, -5), (2**64 - 1,), (-(2**63), 7, 0)])
def test_key_is_splitmix64(parts: tuple[int, ...]) -> None:
    assert hash_key(*parts) == oracle_key(*parts)


def test_seeds_of_any_size_have_a_key() -> None:
    assert -(2**63) <= hash_key(2**70 + 3) < 2**63


def test_uniform_is_splitmix64() -> None:
    noise = Noise(11, torch.tensor([0, 5, 9_999_999]))
    found = noise.uniform(3, 4)
    for i, key in enumerate(noise.key.tolist()):
        row = splitmix64((key * 0x9E3779B97F4A7C15 + oracle_key(11, 3)) & MASK)
        for j in range(4):
            bits = splitmix64((row + (j + 1) * 0x9E3779B97F4A7C15) & MASK) >> 40
            assert float(found[i, j]) == bits / 2**24


def test_uniform_is_uniform_and_uncorrelated() -> None:
    x = Noise(0, torch.arange(4000)).uniform(1, 50)
    assert float(x.min()) >= 0 and float(x.max()) < 1
    counts = torch.histc(x, 20, 0, 1)
    assert float((counts / x.numel() - 0.05).abs().max()) < 0.002
    columns = x[:, :10].T - 0.5
    correlation = torch.corrcoef(torch.cat([columns, Noise(0, torch.arange(4000)).uniform(2, 10).T - 0.5]))
    assert float((correlation - torch.eye(20)).abs().max()) < 0.07


def test_draws_depend_on_the_key_alone_and_go_on() -> None:
    draws = Draws(torch.tensor([7, -3, 0]))
    found = torch.cat([draws.uniform(2), draws.uniform(0), draws.uniform(3)], 1)
    assert torch.equal(found[1:2], Draws(torch.tensor([-3])).uniform(5))
    row = splitmix64(7)
    for j in range(5):
        bits = splitmix64((row + (j + 1) * 0x9E3779B97F4A7C15) & MASK) >> 12
        assert float(found[0, j]) == (bits + 0.5) / 2**52
    many = Draws(torch.arange(4000)).uniform(50)
    assert float(many.min()) > 0 and float(many.max()) < 1
    assert float((torch.histc(many, 20, 0, 1) / many.numel() - 0.05).abs().max()) < 0.002
    assert (2**52 - 1 + 0.5) / 2**52 < 1  # the largest there can be


def test_permutation() -> None:
    found = permutation(100, 3, 1)
    assert sorted(found.tolist()) == list(range(100))
    assert found.tolist() == permutation(100, 3, 1).tolist()
    assert found.tolist() != permutation(100, 3, 2).tolist()
    assert permutation(0, 1).tolist() == []


def test_permutation_is_uniform() -> None:
    """Each of the 24 orders of four about as often: chi square with 23 degrees of freedom."""
    counts = Counter(tuple(permutation(4, 7, i).tolist()) for i in range(2400))
    assert len(counts) == 24
    assert sum((n - 100) ** 2 / 100 for n in counts.values()) < 49.7  # 0.1 %


def test_names_have_stable_numbers() -> None:
    assert hash_name("modality vitals") == 2358508754
    assert hash_name("a") != hash_name("b")


class TestDropout:
    timeline = random_timeline(LENGTHS, torch.Generator().manual_seed(0), noise=5)

    def mask(self, layer: Dropout) -> torch.Tensor:
        return layer(torch.ones(self.timeline.n_steps, 40), self.timeline)

    def test_one_mask_a_sample_for_all_its_steps(self) -> None:
        mask = self.mask(Dropout(0.3))
        starts = self.timeline.starts.tolist()
        rows = set()
        for a, b in pairwise(starts):
            assert all(torch.equal(mask[i], mask[a]) for i in range(a, b))
            if b > a:
                rows.add(tuple(mask[a].tolist()))
        assert len(rows) == sum(length > 0 for length in LENGTHS)

    @pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
    def test_rate_and_scale(self, rate: float) -> None:
        timeline = random_timeline([1] * 2000, torch.Generator().manual_seed(0), noise=5)
        x = torch.ones(2000, 40, dtype=torch.float64)
        found = Dropout(rate)(x, timeline)
        assert abs(float((found == 0).double().mean()) - rate) < 0.006
        kept = found[found != 0]
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rate)))

    def test_same_in_any_order_and_chunk(self) -> None:
        layer = Dropout(0.5)
        mask = self.mask(layer)
        order = list(reversed(range(len(LENGTHS))))
        for timeline, where in [take_samples(self.timeline, order), *chunks(self.timeline, 3)]:
            assert torch.equal(layer(torch.ones(timeline.n_steps, 40), timeline), mask[where])

    def test_seed_step_and_layer_matter(self) -> None:
        layer, other = Dropout(0.5), Dropout(0.5)
        other.layer = 1
        mask = self.mask(layer)
        assert not torch.equal(self.mask(other), mask)
        noisy = random_timeline(LENGTHS, torch.Generator().manual_seed(0), noise=6)
        assert not torch.equal(layer(torch.ones(noisy.n_steps, 40), noisy), mask)

    def test_global_generator_is_not_touched(self) -> None:
        torch.manual_seed(0)
        state = torch.get_rng_state()
        self.mask(Dropout(0.5))
        assert torch.equal(torch.get_rng_state(), state)

    def test_off_in_evaluation_and_at_rate_0(self) -> None:
        x = torch.randn(self.timeline.n_steps, 3)
        assert Dropout(0.0)(x, self.timeline) is x
        quiet = random_timeline(LENGTHS, torch.Generator().manual_seed(0))
        assert Dropout(0.9)(x, quiet) is x

    def test_rows_of_other_than_steps(self) -> None:
        row = torch.tensor([3, 3, 10, 0])
        found = Dropout(0.5)(torch.ones(4, 40), self.timeline, row)
        first = self.timeline.starts[row]
        assert torch.equal(found, self.mask(Dropout(0.5))[first])


def test_layers_are_numbered_by_their_names() -> None:
    model = nn.ModuleDict({"a": Dropout(0.1), "b": nn.Sequential(Dropout(0.1))})
    name_layers(model)
    numbers = [module.layer for module in model.modules() if isinstance(module, Dropout)]
    assert numbers == [hash_name("a"), hash_name("b.0")]


def test_numbers_do_not_depend_on_numpy_or_torch_seeds() -> None:
    np.random.seed(1)
    torch.manual_seed(1)
    first = permutation(10, 0).tolist(), Noise(1, torch.arange(3)).uniform(0, 2).tolist()
    np.random.seed(2)
    torch.manual_seed(2)
    assert (permutation(10, 0).tolist(), Noise(1, torch.arange(3)).uniform(0, 2).tolist()) == first
