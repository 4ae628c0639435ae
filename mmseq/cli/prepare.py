"""`mmseq prepare`: raw data to a store, which `train` finds again."""

from __future__ import annotations

from mmseq.cli._options import Config, Override, Plugin


def command(
    config: Config,
    override: Override = [],  # noqa: B006 – typer reads the default, nobody changes it
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Read, check and store a run's data; `train` does so by itself where it was not done.

    Example: mmseq prepare -c configs/flights.yaml
    """
    from mmseq.config.load import load_config
    from mmseq.data import prepare

    store = prepare(load_config(config, override, plugin))
    print(f"{len(store.ids):,} samples, {store.lengths.sum():,} steps in {store.path}")
    for name, entry in {**store.manifest.modalities, **store.manifest.tasks}.items():
        counts = ", ".join(f"{what} {n:,}" for what, n in entry.report.items() if n)
        print(f"  {name}: {entry.n_rows:,} rows kept; {counts}")
