"""kind → (config class, component class): one registry per family, open to plugins.

A component is found by the name of an entry point in the group `mmseq.<family>`, and imported only
when that kind is asked for; importing its module registers it. A single file can register
components too: see `mmseq.plugin`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from mmseq.errors import PluginError

FAMILIES = ("sources", "modalities", "encoders", "fusions", "cores", "readouts", "heads", "balancers")

Component = TypeVar("Component")
Class = TypeVar("Class", bound=type)


class ComponentConfig(BaseModel):
    """What a user chooses about one component; `kind` says which."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    kind: str


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known name is near in any case of letters, else an empty string."""
    lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(name[:100].lower(), list(lower), n=1, cutoff=0.6)
    return f"; did you mean {lower[near[0]]!r}?" if near else ""


class Registry(Generic[Component]):
    """The components of one family.

    Args:
        family: plural name of the family, also the entry-point group `mmseq.<family>`.
        base: what every config of the family derives from.
    """

    def __init__(self, family: str, base: type[ComponentConfig] = ComponentConfig) -> None:
        self.family = family
        self.base = base
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
            PluginError: the config is of another family, the kind is taken, or config fields and
                constructor do not fit together.
        """
        kind = _kind(config_class)
        if kind is None:
            raise PluginError(
                f"{config_class.__name__}: `kind` is annotated as one name; "
                f"came {config_class.model_fields['kind'].annotation}; write kind: Literal['its-name']"
            )
        if not issubclass(config_class, self.base):
            raise PluginError(
                f"{self.family} {kind!r}: {config_class.__name__} must derive from {self.base.__name__}; "
                f"it derives from {', '.join(c.__name__ for c in config_class.__bases__)}"
            )

        def decorate(cls: Class) -> Class:
            self._check_free(kind, cls)
            self._check_written(kind, cls)
            self._check_signature(kind, config_class, cls)
            self._classes[kind] = (config_class, cls)
            return cls

        return decorate

    def _check_free(self, kind: str, cls: type) -> None:
        """A kind has one class; importing the same file again may replace it by itself."""
        owner = ""
        if kind in self._classes:
            known = self._classes[kind][1]
            if _full_name(known) != _full_name(cls):
                owner = _full_name(known)
        elif kind in self._entry_points:
            point = self._entry_points[kind]
            if point.module.partition(".")[0] != cls.__module__.partition(".")[0]:
                owner = f"the installed {point.module}"
        if owner:
            raise PluginError(
                f"{self.family}: kind {kind!r} is registered by both {owner} and {_full_name(cls)}; "
                "rename one of them"
            )

    def _check_written(self, kind: str, cls: type) -> None:
        """What the family leaves to a component is written; a module would give None in its place."""
        missing = [
            name for name in dir(cls) if getattr(getattr(cls, name, None), "__isabstractmethod__", False)
        ]
        if missing:
            own = [name for name, value in vars(cls).items() if inspect.isroutine(value)]
            hint = did_you_mean(missing[0], own)
            raise PluginError(
                f"{self.family} {kind!r}: {cls.__name__} must write what its base class leaves to it; "
                f"{', '.join(missing)} came from there{hint or '; write it'}"
            )

    def _check_signature(self, kind: str, config_class: type[ComponentConfig], cls: type) -> None:
        parameters = inspect.signature(cls).parameters.values()
        facts = {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
        options = set(_options(cls))
        fields = set(own_fields(config_class))
        if overlap := sorted(fields & facts):
            raise PluginError(
                f"{self.family} {kind!r}: {', '.join(overlap)} is both a config field and a run-time fact "
                f"of {cls.__name__}; put options after `*` in its constructor"
            )
        if fields != options and not hasattr(cls, "fit"):
            raise PluginError(
                f"{self.family} {kind!r}: the fields of {config_class.__name__} must be the keyword options "
                f"of {cls.__name__}; came {_listed(fields)} and {_listed(options)}; make them the same"
            )
        # One with a `fit` is given the whole config there: what only it reads is no option.
        if unknown := options - fields:
            raise PluginError(
                f"{self.family} {kind!r}: the keyword options of {cls.__name__} must be fields of "
                f"{config_class.__name__}, {_listed(fields)}; came {_listed(unknown)}; add a field or drop it"
            )

    def kinds(self) -> list[str]:
        """Every kind that can be named, without importing any."""
        return sorted({*self._entry_points, *self._classes})

    def _lookup(self, kind: str) -> tuple[type[ComponentConfig], type[Component]]:
        if kind not in self._classes:
            if kind not in self._entry_points:
                raise PluginError(f"{self.family}: {self._unknown(kind)}")
            self._load(self._entry_points[kind])
        return self._classes[kind]

    def _unknown(self, kind: str) -> str:
        return f"unknown kind {kind[:100]!r}; known: {', '.join(self.kinds())}" + (
            did_you_mean(kind, self.kinds())
            or "; install the package that offers it, or name its file under `plugins:` or by --plugin"
        )

    def _load(self, point: EntryPoint) -> None:
        try:
            point.load()
        except PluginError:
            raise
        except (Exception, SystemExit) as error:
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
        """A mapping with a `kind` → that kind's config; for use as a pydantic BeforeValidator.

        Raises:
            ValueError: pydantic's ValidationError, with every problem and the way to it.
            PluginError: the component is there but broken, which is not the config's fault.
        """
        if isinstance(value, self.base):
            return value
        if not isinstance(value, dict):
            raise ValueError(f"needs a map with `kind`, one of {', '.join(self.kinds())}")
        kind = value.get("kind")
        if not isinstance(kind, str):
            raise self._kind_error(f"needs `kind`, one of {', '.join(self.kinds())}", kind)
        if kind not in self.kinds():
            raise self._kind_error(self._unknown(kind), kind)
        return self.config_class(kind).model_validate(value)

    def _kind_error(self, message: str, came: Any) -> ValidationError:
        error = PydanticCustomError("unknown_kind", "{message}", {"message": message})
        details = InitErrorDetails(type=error, loc=("kind",), input=came)
        return ValidationError.from_exception_data(self.base.__name__, [details])

    def build(self, config: ComponentConfig, *facts: Any, **named_facts: Any) -> Component:
        """The component that `config` describes, given what is only known at run time."""
        cls = self.component_class(config.kind)
        takes_all = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(cls).parameters.values())
        names = own_fields(type(config)) if takes_all else _options(cls)
        options = {name: getattr(config, name) for name in names}
        return cls(*facts, **named_facts, **options)


def _kind(config_class: type[ComponentConfig]) -> str | None:
    names = get_args(config_class.model_fields["kind"].annotation)
    return names[0] if len(names) == 1 and isinstance(names[0], str) else None


def _options(cls: type) -> list[str]:
    """What a constructor takes of the config: its keyword arguments."""
    return [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]


def own_fields(config_class: type[ComponentConfig]) -> list[str]:
    """Fields that are the component's: those of base configs, which have no kind, are the framework's."""
    bases = [c for c in config_class.__mro__ if issubclass(c, ComponentConfig) and _kind(c) is None]
    return [
        name
        for name in config_class.model_fields
        if not any(name in c.model_fields for c in bases) and name != "kind"
    ]


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _listed(names: Iterable[str]) -> str:
    return f"({', '.join(sorted(names))})"


def family(name: str) -> Registry[Any]:
    """The registry of a family: `family("encoders")` is `mmseq.encoders.encoders`."""
    return getattr(importlib.import_module(f"mmseq.{name}"), name)
