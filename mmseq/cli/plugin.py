"""`mmseq plugin`: begins a plugin, lists what there is, and checks that it keeps its contract."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmseq.cli._options import Plugin

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from mmseq.testing.contract import Result

app = typer.Typer(
    help="Begin a plugin, list the kinds there are, and check that one keeps its contract.",
    no_args_is_help=True,
)


class Kind(StrEnum):
    """What a plugin may be."""

    modality = "modality"
    encoder = "encoder"
    core = "core"
    fusion = "fusion"
    readout = "readout"
    head = "head"
    balancer = "balancer"
    source = "source"


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its kind in a YAML, such as my_encoder.")],
    kind: Annotated[Kind, typer.Option("--kind", help="What it is.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the package's folder is put.")
    ] = Path("."),
) -> None:
    """Write a package with one component, its config, its tests, an example and a README.

    The component works: change it into yours, and its tests say whether it still does.

    Example: mmseq plugin new pulse --kind encoder
    """
    from mmseq.kit.listing import place_of
    from mmseq.kit.new import write_package

    folder = write_package(name, kind.value, output)
    print(f"written: {place_of(folder)}")
    print(f"  mmseq plugin check {place_of(folder)}")
    print(f"  pip install -e {place_of(folder)}")


@app.command()
def ls(plugin: Plugin = []) -> None:  # noqa: B006 – typer reads the default, nobody changes it
    """List every kind with the package that offers it; nothing of it is imported, but for --plugin.

    Example: mmseq plugin ls --plugin plugins/fourier.py
    """
    from rich.table import Table

    from mmseq.kit.listing import installed, loaded

    if plugin:
        from mmseq.plugin import load_plugin

        for path in plugin:
            load_plugin(path)
    table = Table("family", "kind", "owner", "version", "status")
    for offer in [*installed(), *loaded()]:
        table.add_row(*map(_cell, (offer.family, offer.kind, offer.owner, offer.version, offer.status)))
    _print(table)


@app.command()
def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PLUGIN", help="A file, a folder, or a kind, such as fourier or encoders/fourier."
        ),
    ],
    override: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="A=VALUE", help="A field to build the component with; may be repeated."
        ),
    ] = [],  # noqa: B006
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Hold what a plugin registers to the contract of its family, and show every check.

    Ends with 1 where a rule is broken, or could not be tried.

    Example: mmseq plugin check plugins/fourier.py --set n_frequencies=3
    """
    from mmseq.errors import ConfigError
    from mmseq.kit.offers import offered_by
    from mmseq.plugin import load_plugin
    from mmseq.testing.contract import Result
    from mmseq.testing.kinds import results
    from mmseq.testing.version import VERSION

    for path in plugin:
        load_plugin(path)
    options = _options(override)
    components = offered_by(what)
    if options and len(components) > 1:
        named = ", ".join(f"{component.family}/{component.kind}" for component in components)
        raise ConfigError(f"--set: builds one component; {what} has {named}; check one of them by its name")
    everything: list[Result] = []
    for component in components:
        found = list(results(component.family, component.kind, options))
        if component.problem:
            rule = "who installs the package finds it"
            found.append(Result("entry point", rule, "failed", component.problem))
        _print(_table(f"{component.family}/{component.kind}", found))
        everything += found
    for result in everything:
        if not result.good:
            case = f" ({result.case})" if result.case else ""
            print(f"{result.status}: {result.check}{case}: {result.reason}", file=sys.stderr)
    print(f"{_counted(everything)} (version {VERSION} of the contracts)")
    if not all(result.good for result in everything):
        raise typer.Exit(1)


def _options(overrides: list[str]) -> dict[str, Any]:
    from mmseq.config.override import apply_overrides
    from mmseq.config.places import Text
    from mmseq.config.yaml import parse_yaml

    document = parse_yaml(Text("--set", "{}", inline=True))
    apply_overrides(document, overrides)
    return dict(document.value)


def _table(title: str, results: Iterable[Result]) -> Table:
    from rich.table import Table

    table = Table("check", "what it asks", "result", "why", title=title, title_justify="left")
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for result in results:
        rows.setdefault((result.check, result.rule, result.status, result.reason), []).append(result.case)
    for (name, rule, status, reason), cases in rows.items():
        alone = [case for case in cases if case]
        shared = sum(other[:2] == (name, rule) for other in rows) > 1
        told = f"{status} ({', '.join(alone)})" if shared and alone else status
        table.add_row(*map(_cell, (name, rule, told, reason)))
    return table


def _cell(text: str) -> RenderableType:
    """The text as it is: Rich would take [brackets] for markup."""
    from rich.text import Text

    return Text(text)


def _counted(results: list[Result]) -> str:
    counts = {"passed": 0, "does not apply": 0, "failed": 0, "could not run": 0}
    for result in results:
        counts[result.status] += 1
    passed = f"{counts.pop('passed')} checks passed"
    return ", ".join([passed, *(f"{n} {what}" for what, n in counts.items() if n)])


def _print(table: Table) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:  # nothing is cut off in a file
        console = Console(width=160)
    console.print(table)
