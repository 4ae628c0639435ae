"""Whether a core learns what it must remember for a thousand steps; JSON lines, one a core.

    python benchmarks/memory_tasks.py adding
    python benchmarks/memory_tasks.py copy --cores lru,cnn --length 100

`adding`: two inputs a step, a number in [0, 1] and a mark; the sum of the two marked numbers, one in each
half, is asked for at the last step. Always to say 1 has a mean squared error of 0.167; below 0.01 is solved.
Source: Hochreiter and Schmidhuber 1997, experiment 4, as in Le, Jaitly and Hinton 2015, section 4.1.

`copy`: ten symbols of eight, blanks for `length` steps of which the last is a signal, and then the ten
symbols again, in order. The loss is the cross-entropy of all steps, blanks included: 10 ln 8 / (length + 20)
for one who knows when to answer, but not what. Over 99 % of the ten symbols right is solved; 12.5 % is luck.
Source: Arjovsky, Shah and Bengio 2016, section 5.1.

Samples are new at each update. Adam takes clipped gradients, at one rate for all that every core has. A core
trains until 256 samples that it never trained on are solved, or to the end of `--updates` or of `--seconds`
of CPU time. How it goes is told on the error stream.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import cores

N_SYMBOLS, N_COPIED = 8, 10
BLANK, SIGNAL = N_SYMBOLS, N_SYMBOLS + 1
N_TEST = 256


class Task(NamedTuple):
    """Inputs (step, width) of samples of one length, what is asked for, and at which steps.

    Attributes:
        inputs: (step, width).
        target: numbers, or classes.
        at: the steps that have a target.
        timeline: a step a second.
    """

    inputs: Tensor
    target: Tensor
    at: Tensor
    timeline: Timeline


def steady(n: int, length: int) -> Timeline:
    """`n` samples of `length` steps, one after another in time."""
    place = torch.arange(length).repeat(n)
    return Timeline(torch.arange(n + 1) * length, place.double(), (place > 0).float())


def adding(n: int, length: int, generator: torch.Generator) -> Task:
    """Two marked numbers, one in each half, to be added."""
    number = torch.rand(n, length, generator=generator)
    half = length // 2
    first = torch.randint(half, (n,), generator=generator)
    second = half + torch.randint(length - half, (n,), generator=generator)
    mark = torch.zeros(n, length)
    row = torch.arange(n)
    mark[row, first] = mark[row, second] = 1
    inputs = torch.stack([number, mark], 2).flatten(0, 1)
    timeline = steady(n, length)
    return Task(inputs, number[row, first] + number[row, second], timeline.last, timeline)


def copy(n: int, length: int, generator: torch.Generator) -> Task:
    """Ten symbols, to be told again after `length` steps."""
    symbols = torch.randint(N_SYMBOLS, (n, N_COPIED), generator=generator)
    blanks = torch.full((n, length + N_COPIED), BLANK)
    shown = torch.cat([symbols, blanks], 1)
    shown[:, length + N_COPIED - 1] = SIGNAL
    asked = torch.cat([blanks, symbols], 1)
    inputs = nn.functional.one_hot(shown, SIGNAL + 1).float().flatten(0, 1)
    timeline = steady(n, length + 2 * N_COPIED)
    return Task(inputs, asked.flatten(), torch.arange(timeline.n_steps), timeline)


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.mse_loss(output[:, 0], target)


def recalled(output: Tensor, target: Tensor) -> Tensor:
    """Share of the symbols that are right; blanks do not count."""
    return (output.argmax(1) == target)[target != BLANK].float().mean()


class Kind(NamedTuple):
    """How a task is made, learned and judged."""

    make: Callable[[int, int, torch.Generator], Task]
    n_outputs: int
    loss: Callable[[Tensor, Tensor], Tensor]
    metric: str
    score: Callable[[Tensor, Tensor], Tensor]
    is_solved: Callable[[float], bool]
    baseline: Callable[[int], float]


TASKS = {
    "adding": Kind(adding, 1, squared_error, "mse", squared_error, lambda x: x < 0.01, lambda _: 1 / 6),
    "copy": Kind(
        copy,
        BLANK + 1,
        nn.functional.cross_entropy,
        "accuracy",
        recalled,
        lambda x: x > 0.99,
        lambda length: N_COPIED * math.log(N_SYMBOLS) / (length + 2 * N_COPIED),
    ),
}


def configs(length: int, hidden: int) -> dict[str, dict[str, Any]]:
    """Every kind of core, set to reach as far as the task needs, where it has an option for that."""
    span = length + 2 * N_COPIED
    size = {"hidden": hidden}
    far = {**size, "chrono": span}
    # Of the radius r, r^span of a state remains.
    turning = {**size, "r_min": 0.5 ** (4 / span), "r_max": 0.5 ** (1 / (4 * span)), "max_phase": 6.28}
    third = round(span ** (1 / 3))
    return {
        "mlp": {"kind": "mlp", **size},
        "cnn": {"kind": "cnn", **size, "layers": math.ceil(math.log2(span / 2 + 1))},
        "rnn": {"kind": "rnn", **size},
        "lstm": {"kind": "lstm", **far},
        "gru": {"kind": "gru", **far},
        "decay_gru": {"kind": "decay_gru", **far},
        "min_gru": {"kind": "min_gru", **far, "layers": 2},
        "min_lstm": {"kind": "min_lstm", **far, "layers": 2},
        "lru": {"kind": "lru", **turning, "layers": 2},
        "stack of min_gru": {"kind": "stack", "layers": 3, "core": {"kind": "min_gru", **far}},
        "stack of lru": {"kind": "stack", "layers": 3, "core": {"kind": "lru", **turning}},
        "r2n2": {"kind": "r2n2", **size, "segments": [{"steps": round(span**0.5)}]},
        "r3n3": {"kind": "r3n3", **size, "segments": [{"steps": third}] * 2},
    }


class Learner:
    """A core with a linear head, and how it is trained."""

    def __init__(self, task: str, config: dict[str, Any], length: int, *, lr: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.task, self.length = TASKS[task], length
        width = self.task.make(1, length, torch.Generator()).inputs.shape[1]
        self.core = cores.build(cores.parse(config), width)
        self.head = nn.Linear(self.core.hidden, self.task.n_outputs)
        self.parameters = [*self.core.parameters(), *self.head.parameters()]
        # A change of what a state turns by, or fades by, in a step counts once for every step.
        slow = [p for name, p in self.core.named_parameters() if name.endswith(("log_phase", "log_rate"))]
        fast = [p for p in self.parameters if all(p is not other for other in slow)]
        groups = [{"params": fast}, {"params": slow, "lr": 10 * lr / length}]
        self.optimizer = torch.optim.Adam(groups, lr=lr)
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, task: Task) -> Tensor:
        return self.head(self.core(task.inputs, task.timeline)[0].index_select(0, task.at))

    def update(self, n: int) -> float:
        """One step on new samples; their loss."""
        task = self.task.make(n, self.length, self.generator)
        loss = self.task.loss(self(task), task.target)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        return float(loss.detach())

    @torch.no_grad()
    def score(self) -> dict[str, float]:
        """Loss and metric of samples that are always the same, and never trained on."""
        generator, rounds = torch.Generator().manual_seed(10**6), N_TEST // 64
        scores = torch.zeros(2)
        for _ in range(rounds):
            task = self.task.make(64, self.length, generator)
            output = self(task)
            scores += torch.stack([f(output, task.target) for f in (self.task.loss, self.task.score)])
        loss, metric = (scores / rounds).tolist()
        return {"loss": loss, self.task.metric: metric}


def learn(name: str, learner: Learner, options: argparse.Namespace) -> dict[str, Any]:
    """Trains until it is solved or the budget is spent; the JSON line."""
    begin, updates, score = time.process_time(), 0, None
    while updates < options.updates and time.process_time() - begin < options.seconds:
        learner.update(options.samples)
        updates += 1
        score = learner.score() if updates % options.every == 0 else None
        if score:
            print(name, updates, score, file=sys.stderr, flush=True)
        if score and learner.task.is_solved(score[learner.task.metric]):
            break
    score = score or learner.score()
    return {
        "benchmark": options.task,
        "length": options.length,
        "core": name,
        "parameters": sum(p.numel() for p in learner.parameters),
        "solved": learner.task.is_solved(score[learner.task.metric]),
        **{key: round(value, 5) for key, value in score.items()},
        "baseline": round(learner.task.baseline(options.length), 5),
        "updates": updates,
        "seconds": round(time.process_time() - begin, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--cores", help="some of them, divided by commas; all if left out")
    parser.add_argument("--length", type=int, default=1_000)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--samples", type=int, default=16, help="in an update")
    parser.add_argument("--updates", type=int, default=2_000, help="at most")
    parser.add_argument("--seconds", type=float, default=60, help="of one CPU thread, at most, a core")
    parser.add_argument("--every", type=int, default=50, help="updates between two looks at the test samples")
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = configs(options.length, options.hidden)
    for name in options.cores.split(",") if options.cores else known:
        if name not in known:
            parser.error(f"no core {name!r}; known: {', '.join(known)}")
        learner = Learner(options.task, known[name], options.length, lr=options.lr, seed=options.seed)
        print(json.dumps(learn(name, learner, options)), flush=True)


if __name__ == "__main__":
    main()
