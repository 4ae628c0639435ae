"""`mmseq config`: the configuration as the program sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmseq.cli._options import Override, Plugin

app = typer.Typer(help="Show a configuration with its defaults, or what one may hold.", no_args_is_help=True)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML of the run.")],
    override: Override = [],  # noqa: B006 – typer reads the default, nobody changes it
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Print the whole configuration, defaults included, as YAML that loads to the same.

    Example: mmseq config show configs/flights.yaml --set core.hidden=64
    """
    from mmseq.config.load import dump_config, load_config

    print(dump_config(load_config(file, override, plugin)), end="")


@app.command()
def schema(plugin: Plugin = []) -> None:  # noqa: B006
    """Print the JSON schema of a configuration, with every kind that is installed.

    Editors check and complete a YAML by it.

    Example: mmseq config schema > mmseq.schema.json
    """
    import json

    from mmseq.config.schema import config_schema
    from mmseq.plugin import load_plugin

    for path in plugin:
        load_plugin(path)
    print(json.dumps(config_schema(), indent=2))
