"""What a path or a name stands for: the components that it registers, by family and kind."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmseq.errors import ConfigError, PluginError
from mmseq.kit.listing import installed, loaded
from mmseq.plugin import load_plugin
from mmseq.registry import FAMILIES, did_you_mean, family

PYPROJECT = "pyproject.toml"


@dataclass(frozen=True)
class Offered:
    """A component to check.

    Attributes:
        family: such as `encoders`.
        kind: its name in a YAML.
        problem: why nobody would find it, though it is registered; empty where they would.
    """

    family: str
    kind: str
    problem: str = ""


def offered_by(what: str) -> list[Offered]:
    """The components of a file, of a folder, or of a name such as `encoders/fourier` or `fourier`.

    Raises:
        ConfigError: it is none of these, or the name is that of several.
        PluginError: it cannot be imported, or registers nothing.
    """
    path = Path(what)
    if path.is_dir():
        found = _of_folder(path.resolve())
    elif path.is_file() or path.suffix == ".py":
        load_plugin(path)
        found = [Offered(*key) for key in _registered_in(f"mmseq_plugin_{path.resolve().stem}")]
    else:
        found = [_named(what)]
    if not found:
        raise PluginError(f"plugin {path}: registered nothing; its class needs e.g. @encoders.register(…)")
    return found


def _named(what: str) -> Offered:
    known = [(offer.family, offer.kind) for offer in [*installed(), *loaded()]]
    if "/" in what:
        wanted = [(name, kind) for name, kind in known if f"{name}/{kind}" == what]
    else:
        wanted = [(name, kind) for name, kind in known if kind == what]
    named = [f"{name}/{kind}" for name, kind in dict.fromkeys(wanted)]
    if len(named) > 1:
        raise ConfigError(
            f"{what}: a kind is named with its family where several have it; {', '.join(named)} do; "
            "give one of these"
        )
    if not named:
        names = {f"{name}/{kind}" for name, kind in known} | {kind for _, kind in known}
        hint = did_you_mean(what, names) or "; `mmseq plugin ls` lists the kinds that there are"
        raise ConfigError(f"{what}: must be a file, a folder or a kind; there is none of that name{hint}")
    name, kind = wanted[0]
    family(name).component_class(kind)
    return Offered(name, kind)


def _of_folder(folder: Path) -> list[Offered]:
    """What a project with a pyproject.toml, a package, or a folder of single files registers."""
    if (folder / PYPROJECT).is_file():
        return _of_project(folder)
    if (folder / "__init__.py").is_file():
        with _Importable(folder.parent):
            _import(folder.name, folder)
            for module in sorted(folder.glob("[!_]*.py")):
                _import(f"{folder.name}.{module.stem}", folder)
        return [Offered(*key) for key in _registered_in(folder.name)]
    files = sorted(folder.glob("*.py"))
    if not files:
        raise ConfigError(
            f"{folder}: a folder of plugins holds {PYPROJECT}, __init__.py or single files; it has none; "
            "name another"
        )
    return [offered for file in files for offered in offered_by(str(file))]


def _of_project(folder: Path) -> list[Offered]:
    """The entry points of a project, whether it is installed or not, and what they leave out."""
    try:
        project = tomllib.loads((folder / PYPROJECT).read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PluginError(f"{folder / PYPROJECT}: must be TOML; {error}; correct it") from error
    points: dict[str, Any] = project.get("project", {}).get("entry-points", {})
    named = {
        (name, str(kind)): str(value)
        for name in FAMILIES
        for kind, value in dict(points.get(f"mmseq.{name}", {})).items()
    }
    if not named:
        raise PluginError(
            f"{folder / PYPROJECT}: a plugin offers its kinds by entry points; it has none in a group such "
            'as [project.entry-points."mmseq.encoders"]; add one'
        )
    packages = dict.fromkeys(value.partition(":")[0].partition(".")[0] for value in named.values())
    with _Importable(folder / "src" if (folder / "src").is_dir() else folder):
        for value in dict.fromkeys(named.values()):
            _import(value.partition(":")[0], folder)
    registered = [key for package in packages for key in _registered_in(package)]
    for (name, kind), value in named.items():
        if (name, kind) not in registered:
            raise PluginError(
                f"{folder / PYPROJECT}: entry point {kind} = {value!r} must lead to what registers that "
                f"kind; importing it registered none of {name}; mend the name, or add "
                f"@{name}.register(…)"
            )
    left_out = "it has no entry point in pyproject.toml, so that nobody who installs the package finds it"
    return [Offered(*key, problem="" if key in named else left_out) for key in registered]


class _Importable:
    """Puts a folder first where Python looks for modules, for as long as it takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __enter__(self) -> None:
        importlib.invalidate_caches()
        sys.path.insert(0, self.folder)

    def __exit__(self, *_: object) -> None:
        sys.path.remove(self.folder)


def _import(module: str, folder: Path) -> None:
    try:
        found = importlib.import_module(module)
    except PluginError as error:
        raise PluginError(f"plugin {folder}: {error}") from error
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin {folder}: importing {module} failed with {type(error).__name__}: {error}; mend it"
        ) from error
    file = getattr(found, "__file__", None)
    if file is not None and folder not in Path(file).resolve().parents:
        raise PluginError(
            f"plugin {folder}: the module {module} must come from there; another, {file}, has the same "
            "name; uninstall it, or rename one"
        )


def _registered_in(package: str) -> Iterator[tuple[str, str]]:
    """Family and kind of what a module, or any inside it, has registered."""
    for name in FAMILIES:
        for kind, (_, cls) in sorted(family(name)._classes.items()):
            if cls.__module__ == package or cls.__module__.startswith(f"{package}."):
                yield name, kind
