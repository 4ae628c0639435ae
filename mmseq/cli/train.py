"""`mmseq train`: from a YAML to a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmseq.cli._options import Override, Plugin
from mmseq.errors import ConfigError


def command(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="YAML of the run.")
    ] = None,
    override: Override = [],  # noqa: B006 – typer reads the default, nobody changes it
    plugin: Plugin = [],  # noqa: B006
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of runs; without it: runs.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Go on with an interrupted run.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option("--from", metavar="CHECKPOINT", help="With --resume: go on from an earlier checkpoint."),
    ] = None,
) -> None:
    """Train a model, and leave everything in a new folder below --output.

    Example: mmseq train --config configs/flights.yaml --set training.epochs=5
    """
    if (config is None) == (resume is None):
        raise ConfigError("train: needs one of --config FILE and --resume RUN; give one of them")
    if resume is None and checkpoint is not None:
        raise ConfigError("train --from: names a checkpoint of the run to go on with; give --resume RUN too")
    if resume is not None and output is not None:
        raise ConfigError("train --resume: a run goes on where it is; leave --output out")
    from rich.console import Console

    from mmseq.config.load import load_config, telling_places
    from mmseq.run import Run
    from mmseq.training.train import train

    if resume is not None:
        run = Run(resume, plugins=plugin)
        train(run.changed(override), resume=run, checkpoint=checkpoint, console=Console())
    elif config is not None:
        experiment = load_config(config, override, plugin)
        with telling_places(config, override):
            train(experiment, output=output or Path("runs"), source=config.read_text(), console=Console())
