"""Training speed of the scan cores, against PyTorch's GRU on padded samples.

    python benchmarks/scan.py --threads 2
    python benchmarks/scan.py --equal 4000 --batches 1

Forward and backward of one layer in float32. The padded side and the cores get the same random batches, of
lognormal lengths or all of one length, and take turns on each batch, on the same threads.

One JSON line a kind: samples per second of each side, and the ratio to padded (median over repeats). With
`--forms`, instead, one line for each shape: milliseconds of the bare scan, forward and backward, where the
samples are the blocks and in two levels.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable

import torch
from recurrent import core_step, lognormal_lengths, padded_step, ragged, ratio, seconds
from torch import nn

from mmseq.cores import cores
from mmseq.cores.scan import Cut, cut, scan

KINDS = ("min_gru", "min_lstm", "lru")
SHAPES = ((32, 100), (32, 1_000), (16, 1_000), (8, 1_000), (4, 4_000), (1, 5_000))


def turns(sides: dict[str, list[Callable[[], None]]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side in each turn, all sides alternating on each batch; the first turn warms up."""
    spent: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeats + 1):
        turn = dict.fromkeys(sides, 0.0)
        for batch in range(len(next(iter(sides.values())))):
            for side, steps in sides.items():
                turn[side] += seconds(steps[batch])
        for side in sides:
            spent[side].append(turn[side])
    return {side: values[1:] for side, values in spent.items()}


def measure(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    n, width = options.samples * options.batches, options.width
    lengths = lognormal_lengths(n, torch.Generator().manual_seed(options.seed))
    if options.equal:
        lengths = torch.full((n,), options.equal)
    batches = lengths.split(options.samples)
    layer = nn.GRU(width, width, batch_first=True)
    sides = {"padded": [padded_step(layer, part, width) for part in batches]}
    for kind in options.kinds:
        core = cores.build(cores.config_class(kind)(kind=kind, hidden=width), width)
        sides[kind] = [core_step(core, part, width) for part in batches]
    spent = turns(sides, options.repeats)
    for kind in options.kinds:
        line = {
            "benchmark": "scan",
            "kind": kind,
            "lengths": options.equal or "lognormal",
            "threads": options.threads,
            "samples_per_second": {
                side: round(n / statistics.median(spent[side]), 1) for side in ("padded", kind)
            },
            "ratio": ratio(spent["padded"], spent[kind]),
        }
        print(json.dumps(line), flush=True)


def scan_step(n_samples: int, length: int, hidden: int, joined: bool) -> Callable[[], None]:
    timeline = ragged(torch.full((n_samples,), length))
    found = cut(timeline, 1)  # in two levels
    where = found if joined else Cut(length, False, found.running, found.first, found.last)
    decay, inputs = (torch.rand(timeline.n_steps, hidden, requires_grad=True) for _ in range(2))
    loss = torch.randn(timeline.n_steps, hidden)

    def step() -> None:
        scan(decay, inputs, None, where).backward(loss)

    return step


def measure_forms(options: argparse.Namespace) -> None:
    for n_samples, length in SHAPES:
        sides = {
            name: [scan_step(n_samples, length, options.width, joined)]
            for name, joined in (("blocks", False), ("two_levels", True))
        }
        line = {
            "benchmark": "scan",
            "samples": n_samples,
            "length": length,
            "threads": options.threads,
            "milliseconds": {
                side: round(1000 * statistics.median(values), 2)
                for side, values in turns(sides, options.repeats).items()
            },
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--samples", type=int, default=32, help="in a batch")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--equal", type=int, default=0, metavar="STEPS", help="give all samples this length")
    parser.add_argument("--forms", action="store_true", help="time the forms of the scan instead")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    (measure_forms if options.forms else measure)(options)


if __name__ == "__main__":
    main()
