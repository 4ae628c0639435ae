"""`mmseq check`: is the configuration good?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmseq.cli._options import Config, Override, Plugin

if TYPE_CHECKING:
    from mmseq.config.experiment import Experiment


def command(
    config: Config,
    override: Override = [],  # noqa: B006 – typer reads the default, nobody changes it
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Check a configuration, and print what it asks for.

    Example: mmseq check -c configs/flights.yaml
    """
    from mmseq.config.load import load_config

    print("\n".join(_summary(load_config(config, override, plugin))))


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
