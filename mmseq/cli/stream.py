"""`mmseq stream`: a model that runs live, on lines of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmseq.cli._model import open_model
from mmseq.cli._options import Plugin, TrainedModel
from mmseq.place import one_process


def command(
    run: TrainedModel,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Folder to go on from, where it is there, and to leave the states in."),
    ] = None,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", help="Tell of a bad line and go on; the exit code is 2 then, too."),
    ] = False,
    plugin: Plugin = [],  # noqa: B006 – typer reads the default, nobody changes it
) -> None:
    """Read events from standard input, and write a prediction for each as soon as it comes.

    A line in is {"id": "a", "time": 3.5, "values": {"vitals": {"heart": 80}}}, or {"id": "a", "flush": true}
    to close a bin of the timeline, or {"id": "a", "forget": true}. A line out is a row of `mmseq predict`.

    Example: mmseq stream runs/flights < events.jsonl > predictions.jsonl
    """
    from mmseq.bundle import check_replaceable, found_at
    from mmseq.errors import DataError
    from mmseq.inference.predict import unknown_notes
    from mmseq.streaming.lines import answer, undisturbed
    from mmseq.streaming.stream import SCHEMA, Stream

    one_process("stream")
    model = open_model(run, plugin)
    if state is not None:
        check_replaceable(state, SCHEMA)
    stream = Stream.load(state, model) if state is not None and found_at(state).is_dir() else Stream(model)
    bad = 0
    try:
        for number, line in enumerate(typer.get_binary_stream("stdin"), 1):
            if not line.strip():
                continue
            try:
                with undisturbed():
                    row = answer(stream, line)
            except DataError as error:
                told = DataError(f"standard input, line {number}: {error}")
                if not keep_going:
                    raise told from error
                bad += 1
                typer.echo(str(told), err=True)
                continue
            if row is not None:
                print(row, flush=True)
    finally:
        if state is not None:
            stream.save(state)
    for note in unknown_notes(stream.unknown):
        typer.echo(f"warning: {note}", err=True)
    if bad:
        raise typer.Exit(2)
