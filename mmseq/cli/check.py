"""`mmseq check`: is the configuration good?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmseq.cli._options import Config, Override, Plugin

if TYPE_CHECKING:
    from mmseq.config.experiment import Experiment


def command(
    config: Config,
    override: Override = [],  # noqa: B006 – typer reads the default, nobody changes it
    plugin: Plugin = [],  # noqa: B006
    data: Annotated[bool, typer.Option("--data", help="Also read, check and describe the data.")] = False,
) -> None:
    """Check a configuration, and print what it asks for.

    Example: mmseq check -c configs/flights.yaml --data
    """
    from mmseq.config.load import load_config

    experiment = load_config(config, override, plugin)
    print("\n".join(_summary(experiment)))
    if data:
        _show_data(experiment)


def _summary(experiment: Experiment) -> list[str]:
    lines = [f"{experiment.name}: the configuration is good"]
    for name, modality in experiment.modalities.items():
        encoder = modality.encoder.kind if modality.encoder else "none"
        clock = f"by {modality.time}" if modality.time else "static"
        lines.append(f"  modality  {name}: {modality.kind} from {modality.table}, {clock}, encoder {encoder}")
    readouts = " + ".join(readout.kind for readout in experiment.readout)
    fusion, core = experiment.fusion.kind, experiment.core.kind
    lines.append(f"  model     fusion {fusion}, core {core}, readout {readouts}")
    for name, task in experiment.tasks.items():
        lines.append(f"  task      {name}: {task.kind}, weight {task.weight:g}")
    return lines


def _show_data(experiment: Experiment) -> None:
    from rich.console import Console

    from mmseq.cli._profile import profile_tables
    from mmseq.data import prepare
    from mmseq.split import split_samples
    from mmseq.store import profile

    store = prepare(experiment)
    splits = split_samples(experiment.data.split, store)
    console = Console()
    for table in profile_tables(profile(store, splits)):
        console.print(table)
    console.print("no group is in two splits" if store.groups is not None else "no sample is in two splits")
