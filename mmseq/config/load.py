"""From a YAML file, or a dict, to a checked experiment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmseq.config.dump import dump_config
from mmseq.config.errors import ConfigProblems, Problem
from mmseq.config.override import apply_overrides
from mmseq.config.paths import relative_to, resolve_path
from mmseq.config.places import Loc
from mmseq.config.yaml import MAX_DEPTH, Document, read_yaml, too_deep
from mmseq.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from mmseq.config.experiment import Experiment

__all__ = ["dump_config", "load_config", "telling_places"]


def load_config(
    config: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    plugins: Iterable[str | Path] = (),
    *,
    import_plugins: bool = True,
) -> Experiment:
    """Reads and checks a run's configuration.

    Args:
        config: a YAML file, or the same tree as a dict, whose paths start at the working directory.
        overrides: `a.b=value` each, applied in order; a value is read as YAML.
        plugins: single-file plugins to import besides those that the configuration names.
        import_plugins: import the plugins that the configuration names. Turned off for files that
            came from elsewhere, where only `plugins` may cause an import.

    Raises:
        ConfigError: with every problem at once.
        PluginError: a plugin is broken, or is missing because it may not be imported.
    """
    if isinstance(config, Mapping):
        document, folder = Document(_copy(config)), Path()
    else:
        document, folder = read_yaml(Path(config)), Path(config).parent
    if not isinstance(document.value, dict):
        raise ConfigProblems([Problem((), "must be a map, with name, data, …", document.values.get(()))])
    apply_overrides(document, overrides)
    _import_given(document, plugins)
    with relative_to(folder):
        problems = _import_named(document) if import_plugins else []
        return _check(document, problems, import_plugins)


@contextmanager
def telling_places(config: Path, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Problems of a configuration that only the data show are told with the place in its text, too.

    Args:
        config: the YAML file that it was read from.
        overrides: those that it was read with.
    """
    try:
        yield
    except ConfigProblems as error:
        from mmseq.config.explain import place_of

        document = read_yaml(config)
        apply_overrides(document, overrides)
        raise ConfigProblems(
            [replace(problem, place=place_of(problem.loc, document)) for problem in error.problems]
        ) from error


def _check(document: Document, problems: list[Problem], import_plugins: bool) -> Experiment:
    from pydantic import ValidationError

    from mmseq.config.experiment import Experiment
    from mmseq.config.explain import explain

    try:
        experiment = Experiment.model_validate(document.value)
    except ValidationError as error:
        files = [] if import_plugins else _named(document)
        if files and any(detail["type"] == "unknown_kind" for detail in error.errors()):
            listed = " ".join(f"--plugin {file}" for file in files)
            raise PluginError(
                f"this configuration needs plugins, and may not import them by itself; add {listed}"
            ) from error
        raise ConfigProblems([*problems, *explain(error, Experiment, document)]) from None
    if problems:
        raise ConfigProblems(problems)
    return experiment


def _import_given(document: Document, plugins: Iterable[str | Path]) -> None:
    """Imports the command line's plugins, and adds them to those that the tree names."""
    from mmseq.plugin import load_plugin

    named = document.value.setdefault("plugins", [])
    for plugin in plugins:
        if not _is_file(Path(plugin)):
            raise ConfigError(f"--plugin {plugin}: no such file; the path starts at the working directory")
        path = Path(plugin).resolve()
        load_plugin(path)
        if isinstance(named, list):
            named.append(str(path))


def _import_named(document: Document) -> list[Problem]:
    """Imports what the tree names under `plugins`; what is not a list of texts is for the check to tell."""
    from mmseq.plugin import load_plugin

    problems = []
    for i, name in enumerate(_named(document)):
        try:
            path = resolve_path(Path(name))
        except ValueError:
            continue  # not a path, which is for the check to tell
        if _is_file(path):
            load_plugin(path)
        else:
            loc = ("plugins", i)
            message = f"no such file: {path}; a plugin's path is relative to the file that names it"
            problems.append(Problem(loc, message, document.values.get(loc)))
    return problems


def _is_file(path: Path) -> bool:
    """Whether there is one that we may look at; also where no file can have that name."""
    try:
        return path.is_file()
    except OSError:  # too long a name, a folder that is closed to us
        return False


def _named(document: Document) -> list[str]:
    named = document.value.get("plugins")
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def _copy(tree: Any, loc: Loc = ()) -> Any:
    """The same maps and lists anew, so that overrides leave the caller's alone."""
    if not isinstance(tree, Mapping | list | tuple):
        return tree
    if len(loc) >= MAX_DEPTH:
        raise ConfigProblems([too_deep(loc)])
    if isinstance(tree, Mapping):
        return {key: _copy(value, (*loc, key)) for key, value in tree.items()}
    return [_copy(value, (*loc, i)) for i, value in enumerate(tree)]
