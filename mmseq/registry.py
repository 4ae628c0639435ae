"""kind → (config class, component class): one registry per family, open to plugins.

A component is found by the name of an entry point in the group `mmseq.<family>`, and imported only
when that kind is asked for; importing its module registers it. A single file can register
components too: see `load_plugin`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

from mmseq.errors import ConfigError, PluginError

Component = TypeVar("Component")
Class = TypeVar("Class", bound=type)


class ComponentConfig(BaseModel):
    """What a user chooses about one component; `kind` says which."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    kind: str


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known name is near, else an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


class Registry(Generic[Component]):
    """The components of one family.

    Args:
        family: plural name of the family, also the entry-point group `mmseq.<family>`.
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._classes: dict[str, tuple[type[ComponentConfig], type[Component]]] = {}

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=f"mmseq.{self.family}"):
            if point.name in found and found[point.name].value != point.value:
                raise PluginError(
                    f"entry points mmseq.{self.family}: kind {point.name!r} is offered by both "
                    f"{found[point.name].value} and {point.value}; uninstall one of the packages"
                )
            found[point.name] = point
        return found

    def register(self, config_class: type[ComponentConfig]) -> Callable[[Class], Class]:
        """Class decorator: this component is built from `config_class`.

        Raises:
            PluginError: the kind is taken, or a config field has the name of a run-time fact.
        """
        kind = _kind(config_class)
        if kind is None:
            raise PluginError(f"{config_class.__name__}: `kind` must be annotated Literal['its-name']")

        def decorate(cls: Class) -> Class:
            known = self._classes.get(kind)
            if known is not None and known[1].__module__ != cls.__module__:
                raise PluginError(
                    f"{self.family}: kind {kind!r} is registered by both {known[1].__module__} and "
                    f"{cls.__module__}; rename one of them"
                )
            self._check_signature(kind, config_class, cls)
            self._classes[kind] = (config_class, cls)
            return cls

        return decorate

    def _check_signature(self, kind: str, config_class: type[ComponentConfig], cls: type) -> None:
        parameters = inspect.signature(cls).parameters.values()
        facts = {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
        options = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        fields = set(_own_fields(config_class))
        if overlap := sorted(fields & facts):
            raise PluginError(
                f"{self.family} {kind!r}: {', '.join(overlap)} is both a config field and a run-time fact "
                f"of {cls.__name__}; put options after `*` in its constructor"
            )
        if fields != options:
            raise PluginError(
                f"{self.family} {kind!r}: the fields of {config_class.__name__} "
                f"({', '.join(sorted(fields))}) are not the keyword options of {cls.__name__} ({', '.join(sorted(options))})"
            )

    def kinds(self) -> list[str]:
        """Every kind that can be named, without importing any."""
        return sorted({*self._entry_points, *self._classes})

    def _lookup(self, kind: str) -> tuple[type[ComponentConfig], type[Component]]:
        if kind not in self._classes:
            if kind not in self._entry_points:
                raise PluginError(
                    f"{self.family}: unknown kind {kind!r}{did_you_mean(kind, self.kinds())}; "
                    f"known: {', '.join(self.kinds())}; a plugin's kind needs its package installed or "
                    "its file named under `plugins:` or by --plugin"
                )
            self._load(self._entry_points[kind])
        return self._classes[kind]

    def _load(self, point: EntryPoint) -> None:
        try:
            point.load()
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(
                f"{self.family} {point.name!r}: importing {point.value} failed with "
                f"{type(error).__name__}: {error}; reinstall the package that offers it"
            ) from error
        if point.name not in self._classes:
            raise PluginError(
                f"{self.family} {point.name!r}: importing {point.value} registered nothing under that kind; "
                f"its class needs @{self.family}.register(…)"
            )

    def config_class(self, kind: str) -> type[ComponentConfig]:
        """The config class of a kind. Raises PluginError where it is unknown."""
        return self._lookup(kind)[0]

    def component_class(self, kind: str) -> type[Component]:
        """The component class of a kind. Raises PluginError where it is unknown."""
        return self._lookup(kind)[1]

    def parse(self, value: Any) -> Any:
        """A mapping with a `kind` → that kind's config; for use as a pydantic BeforeValidator."""
        if isinstance(value, ComponentConfig):
            return value
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise ValueError(f"needs a mapping with `kind:`, one of {', '.join(self.kinds())}")
        try:
            config_class = self.config_class(value["kind"])
        except PluginError as error:
            if value["kind"] in self._entry_points:
                raise  # it is there but broken: not the config's fault
            raise ValueError(str(error)) from error
        return config_class.model_validate(value)

    def build(self, config: ComponentConfig, *facts: Any, **named_facts: Any) -> Component:
        """The component that `config` describes, given what is only known at run time."""
        config_class, cls = self._lookup(config.kind)
        options = {name: getattr(config, name) for name in _own_fields(config_class)}
        return cls(*facts, **named_facts, **options)


def _kind(config_class: type[ComponentConfig]) -> str | None:
    (kind,) = get_args(config_class.model_fields["kind"].annotation) or (None,)
    return kind


def _own_fields(config_class: type[ComponentConfig]) -> list[str]:
    """What goes to the constructor: the fields of base configs, which have no kind, are the framework's."""
    bases = [c for c in config_class.__mro__ if issubclass(c, ComponentConfig) and _kind(c) is None]
    return [
        name
        for name in config_class.model_fields
        if not any(name in c.model_fields for c in bases) and name != "kind"
    ]


def load_plugin(path: Path) -> None:
    """Imports a single-file plugin, which registers what it offers.

    Raises:
        ConfigError: there is no such file.
        PluginError: it cannot be imported, or registers nothing.
    """
    path = path.resolve()
    if not path.is_file():
        raise ConfigError(f"plugin {path}: no such file; paths are relative to the YAML that names them")
    name = f"mmseq_plugin_{path.stem}"
    if name in sys.modules:
        if sys.modules[name].__file__ != str(path):
            raise PluginError(f"plugin {path}: {sys.modules[name].__file__} has the same name; rename one")
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin {path}: not a Python file; a single-file plugin ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    before = _registered()
    try:
        spec.loader.exec_module(module)
        if _registered() == before:
            raise PluginError(
                f"plugin {path}: registered nothing; its class needs e.g. @encoders.register(…)"
            )
    except Exception as error:
        del sys.modules[name]
        if isinstance(error, PluginError):
            raise
        raise PluginError(f"plugin {path}: importing failed with {type(error).__name__}: {error}") from error


FAMILIES = ("sources", "modalities", "encoders", "fusions", "cores", "readouts", "heads", "balancers")


def family(name: str) -> Registry[Any]:
    """The registry of a family: `family("encoders")` is `mmseq.encoders.encoders`."""
    return getattr(importlib.import_module(f"mmseq.{name}"), name)


def _registered() -> set[tuple[str, str]]:
    return {(name, kind) for name in FAMILIES for kind in family(name)._classes}
