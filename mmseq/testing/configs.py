"""The contract of any component's config, and example configs to build components from."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mmseq.registry import ComponentConfig, Registry, own_fields
from mmseq.testing.compare import require
from mmseq.testing.contract import Case, Check, Contract, NoExample


@dataclass(frozen=True)
class ConfigTrial:
    """A config under test.

    Attributes:
        registry: of its family.
        config: as a user would write it.
    """

    registry: Registry[Any]
    config: ComponentConfig


def built(registry: Registry[Any], kind: str, options: Mapping[str, Any]) -> Any:
    """The config of a kind: these options, over those that its class gives as `example_options`.

    Raises:
        NoExample: the config needs fields that nobody gave.
    """
    given = {**getattr(registry.component_class(kind), "example_options", {}), **options}
    try:
        return registry.parse({"kind": kind, **copy.deepcopy(given)})
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise NoExample(
            f"no config of kind {kind!r} can be made up: {told}; give its class `example_options`, a dict "
            "of fields to build it with"
        ) from error


def config_case(registry: Registry[Any], config: ComponentConfig) -> Case[ConfigTrial]:
    return Case(CONTRACT, lambda: ConfigTrial(registry, config))


def require_read(
    config: ComponentConfig, where: object, use: Callable[[Any], object], usual: Callable[[], ComponentConfig]
) -> None:
    """Requires that each field of a config is read: of this, or, where one rules out another, of the usual.

    Args:
        config: to build from.
        where: the component.
        use: reads what it needs of a config, in `reading`, `fit` and the constructor.
        usual: makes the config without options.
    """
    read = _read(config, use)
    if not read >= set(own_fields(type(config))):
        with contextlib.suppress(Exception):  # it may need options, or the labels that were given
            read |= _read(usual(), use)
    unread = ", ".join(sorted(set(own_fields(type(config))) - read))
    rule, remedy = (
        "every field of its config is read",
        "use it in `reading`, `fit` or the constructor, or drop it",
    )
    require(not unread, where, rule, f"nothing reads {unread}", remedy)


def _read(config: ComponentConfig, use: Callable[[Any], object]) -> set[str]:
    """Names that are read of a config."""
    read: set[str] = set()
    base: Any = type(config)

    class Watched(base):
        def __getattribute__(self, name: str) -> Any:
            read.add(name)
            return super().__getattribute__(name)

    use(Watched.model_construct(**dict(config)))
    return set(base.model_fields) if "model_dump" in read else read


def _check_json(trial: ConfigTrial) -> None:
    rule, remedy = "a config goes through JSON unchanged", "use field types that pydantic reads back"
    where = type(trial.config).__name__
    try:
        dumped = json.loads(trial.config.model_dump_json())
        left_out = ", ".join(sorted(set(type(trial.config).model_fields) - set(dumped)))
        require(not left_out, where, rule, f"{left_out} is not in it", "exclude no field")
        again = trial.registry.parse(dumped)
    except ValueError as error:
        told = str(error).replace("\n", " ")
        require(False, where, rule, f"it is refused ({told})", remedy)
    require(again == trial.config, where, rule, f"{again} came back for {trial.config}", remedy)


CONTRACT: Contract[ConfigTrial] = (Check("config", "a config goes through JSON unchanged", _check_json),)
