"""Training speed of the recurrent cores on ragged samples, against the same PyTorch layer on padded ones.

    python benchmarks/recurrent.py --kinds lstm gru decay_gru rnn

Forward and backward of one layer in float32, on sequences of lognormal lengths. The padded side gets random
batches, as a plain data loader gives them. The core gets the same batches (`random`), or those that the
training order forms (`bucketed`: sorted by length within chunks of 16 batches). All sides take turns on each
batch, on the same threads. With `--equal` all lengths are the same, so that no side gains by padding less.
What decay_gru is measured against is a GRU without decay, as PyTorch has no other.

One JSON line a kind: samples per second of each side, and the ratios to padded (median over repeats).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmseq.batch import Timeline, pad
from mmseq.cores import Core, cores

MEDIAN, P99 = 94, 1_012
LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "decay_gru": nn.GRU, "rnn": nn.RNN}


def lognormal_lengths(n: int, generator: torch.Generator) -> Tensor:
    """Lengths with the given median and 99th percentile."""
    sigma = math.log(P99 / MEDIAN) / 2.326
    return (MEDIAN * torch.exp(sigma * torch.randn(n, generator=generator))).round().long().clamp(min=1)


def ragged(lengths: Tensor) -> Timeline:
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    steps = torch.arange(int(starts[-1]), dtype=torch.float64)
    return Timeline(starts, steps, torch.ones(len(steps)))


def core_step(core: Core, lengths: Tensor, width: int) -> Callable[[], None]:
    inputs = torch.randn(int(lengths.sum()), width, requires_grad=True)
    loss = torch.randn(len(inputs), core.hidden)

    def step() -> None:
        # A new timeline each time: the layout is part of the cost.
        outputs, _ = core(inputs, ragged(lengths))
        outputs.backward(loss)

    return step


def padded_step(layer: nn.RNNBase, lengths: Tensor, width: int) -> Callable[[], None]:
    steps = torch.randn(int(lengths.sum()), width)
    inputs, mask = pad(steps, ragged(lengths).starts)
    inputs.requires_grad_()
    loss = torch.randn(*mask.shape, layer.hidden_size) * mask[..., None]

    def step() -> None:
        outputs, _ = layer(inputs)
        outputs.backward(loss)

    return step


def seconds(step: Callable[[], None]) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def measure(kind: str, options: argparse.Namespace) -> dict[str, object]:
    torch.manual_seed(options.seed)
    core = cores.build(cores.config_class(kind)(kind=kind, hidden=options.width), options.width)
    layer = LAYERS[kind](options.width, options.width, batch_first=True)
    n = options.samples * options.batches
    lengths = lognormal_lengths(n, torch.Generator().manual_seed(options.seed))
    if options.equal:
        lengths = torch.full((n,), options.equal)
    random, bucketed = lengths.split(options.samples), lengths.sort().values.split(options.samples)
    sides = {
        "padded": [padded_step(layer, part, options.width) for part in random],
        "random": [core_step(core, part, options.width) for part in random],
        "bucketed": [core_step(core, part, options.width) for part in bucketed],
    }
    spent: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(options.repeats + 1):
        turn = dict.fromkeys(sides, 0.0)
        for i in range(options.batches):
            for side, steps in sides.items():
                turn[side] += seconds(steps[i])
        for side in sides:
            spent[side].append(turn[side])
    spent = {side: values[1:] for side, values in spent.items()}  # the first turn warms up
    return {
        "benchmark": "recurrent",
        "kind": kind,
        "lengths": options.equal or "lognormal",
        "threads": options.threads,
        "samples_per_second": {
            side: round(n / statistics.median(values), 1) for side, values in spent.items()
        },
        "ratio": {side: ratio(spent["padded"], spent[side]) for side in ("random", "bucketed")},
    }


def ratio(base: list[float], values: list[float]) -> dict[str, float]:
    """How many times faster than `base`, turn by turn."""
    ratios = [b / v for b, v in zip(base, values, strict=True)]
    return {"median": round(statistics.median(ratios), 2), "min": round(min(ratios), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=sorted(LAYERS), default=list(LAYERS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--samples", type=int, default=32, help="in a batch")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--equal", type=int, default=0, metavar="STEPS", help="give all samples this length")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for kind in options.kinds:
        print(json.dumps(measure(kind, options)), flush=True)


if __name__ == "__main__":
    main()
