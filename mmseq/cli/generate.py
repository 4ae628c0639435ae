"""`mmseq generate`: from raw inputs, or from nothing, what may come next."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from mmseq.cli._model import open_model
from mmseq.cli._options import Plugin, TrainedModel
from mmseq.place import one_process


def command(
    run: TrainedModel,
    input: Annotated[
        Path | None,
        typer.Option("--input", "-i", help="Raw data to go on from; without, from nothing known."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write, .jsonl; without, standard output.")
    ] = None,
    n: Annotated[int, typer.Option("--n", help="Paths a sample.")] = 1,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps a path has at most.")] = None,
    horizon: Annotated[
        float | None,
        typer.Option("--horizon", help="How long a path goes on, in the timeline's unit."),
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", help="0 takes what is most probable; 1 draws as predicted.")
    ] = 1.0,
    top_k: Annotated[
        int | None, typer.Option("--top-k", metavar="K", help="Draw from the K most probable classes.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other paths.")] = 0,
    quantiles: Annotated[
        str | None,
        typer.Option(
            "--quantiles", metavar="Q,Q", help="Instead of paths, quantiles of their numbers: 0.1,0.5,0.9."
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option("--every", help="Time between quantiles; without, a twentieth of the horizon."),
    ] = None,
    plugin: Plugin = [],  # noqa: B006 – typer reads the default, nobody changes it
) -> None:
    """Draw what may come next, event after event, for each sample of some raw data.

    Example: mmseq generate runs/characters --input data/characters/prompts --steps 200 --temperature 0.5
    """
    from mmseq.inference.generate import check_ending, generate, lines
    from mmseq.inference.predict import write_whole

    if output is not None:
        check_ending(output)
    one_process("generate")
    model = open_model(run, plugin)
    generated = generate(
        model,
        input,
        n=n,
        steps=steps,
        horizon=horizon,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        quantiles=None if quantiles is None else _numbers(quantiles),
        every=every,
    )
    if output is None:
        sys.stdout.writelines(lines(generated.table))
    else:
        write_whole(output, lambda aside: _write(aside, lines(generated.table)))
        print(f"{generated.table.num_rows} lines written to {output}")
    for line in generated.notes():
        print(f"warning: {line}", file=sys.stdout if output else sys.stderr)


def _write(path: Path, lines: Iterable[str]) -> None:
    with path.open("w") as stream:
        stream.writelines(lines)


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"needs numbers with commas between them, such as 0.1,0.5,0.9; {text!r} came",
            param_hint="--quantiles",
        ) from None
