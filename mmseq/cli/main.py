"""`mmseq`: finds the verbs, runs one, and turns what went wrong into a message and an exit code.

A verb is a file in this folder: a function `command`, or for a verb of verbs a typer app `app`, with
the file's name. Verbs import what is heavy (torch, tables) when they run, not before.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import mmseq.cli
from mmseq.errors import MmseqError
from mmseq.place import launched, leads


class Terminated(KeyboardInterrupt):
    """SIGTERM came; whoever tidies up on Ctrl-C does so here, too."""

    exit_code = 128 + signal.SIGTERM


class _Verbs(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            with _together(), _quiet_unless_leading(), _warnings_in_a_line():
                return super().invoke(ctx)
        except Terminated:
            raise typer.Exit(Terminated.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None


def _together() -> AbstractContextManager[Any]:
    """Has an error in one of several processes end all, from the start on."""
    if launched() is None:
        return nullcontext()
    from mmseq.processes import together

    return together()


def _quiet_unless_leading() -> AbstractContextManager[Any]:
    return nullcontext() if leads() else redirect_stdout(io.StringIO())


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """What we warn of is about the data: the line of our code that found it tells a user nothing."""
    ours, usual = Path(mmseq.cli.__path__[0]).parent, warnings.showwarning

    def show(message: Any, category: Any, filename: str, *place: Any, **more: Any) -> None:
        if category is UserWarning and Path(filename).is_relative_to(ours):
            print(f"warning: {message}", file=sys.stderr)
        else:
            usual(message, category, filename, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual


def make_app() -> typer.Typer:
    """The command line with every verb in this folder."""
    app = typer.Typer(
        cls=_Verbs,
        help=_about.__doc__,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_about)
    for found in pkgutil.iter_modules(mmseq.cli.__path__):
        if found.name == "main" or found.name.startswith("_"):
            continue
        module = importlib.import_module(f"mmseq.cli.{found.name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=found.name)
        else:
            app.command(found.name)(module.command)
    return app


def main(arguments: Sequence[str]) -> int:
    """Runs a command line and returns its exit code, which `mmseq.errors` and the README list."""
    try:
        make_app()(list(arguments), prog_name="mmseq")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except MmseqError as error:
        if str(error):  # else another process has told it
            print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        return Terminated.exit_code if isinstance(error, Terminated) else 128 + signal.SIGINT
    except Exception as error:
        return _tell_unforeseen(error)
    return 0


def _tell_unforeseen(error: Exception) -> int:
    """A plugin's failure is a message; whatever else comes here is a bug of ours, with its traceback."""
    from mmseq.blame import plugin_error, plugins_in_use

    if told := plugin_error(error):
        print(told, file=sys.stderr)
        return told.exit_code
    traceback.print_exception(error)
    if plugins := plugins_in_use():
        print(f"mmseq: does it happen without the plugins, too? ({', '.join(plugins)})", file=sys.stderr)
    print("mmseq: this is a bug in mmseq: please report it with the lines above", file=sys.stderr)
    return 1


def run() -> None:
    """Entry of the `mmseq` script."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main(sys.argv[1:]))


def _terminate(number: int, frame: object) -> None:
    raise Terminated


def _version(asked: bool) -> bool:
    if asked:
        from importlib.metadata import version

        print(f"mmseq {version('mmseq')}")
        raise typer.Exit
    return asked


def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """One recurrent model for many modalities, clocks and tasks.

    Example: mmseq train --config configs/flights.yaml
    """
