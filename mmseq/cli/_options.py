"""Options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="YAML of the run.")]
Override = Annotated[
    list[str],
    typer.Option("--set", metavar="A.B=VALUE", help="Change one value of the YAML; may be repeated."),
]
Plugin = Annotated[
    list[Path],
    typer.Option("--plugin", metavar="FILE", help="Single-file plugin to import; may be repeated."),
]
RawInput = Annotated[
    Path, typer.Option("--input", "-i", help="Raw data, laid out as those the run was trained on.")
]
TableOutput = Annotated[Path, typer.Option("--output", "-o", help="File to write: .csv, .jsonl or .parquet.")]
TrainedModel = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, or of its model.")]
