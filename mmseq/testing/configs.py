"""The contract of any component's config, and example configs to build components from."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mmseq.registry import ComponentConfig, Registry
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
    return Case(CONTRACT, lambda: ConfigTrial(registry, config), "config")


def _check_json(trial: ConfigTrial) -> None:
    rule, remedy = "a config goes through JSON unchanged", "use field types that pydantic reads back"
    where = type(trial.config).__name__
    try:
        again = trial.registry.parse(json.loads(trial.config.model_dump_json()))
    except ValueError as error:
        told = str(error).replace("\n", " ")
        require(False, where, rule, f"it is refused ({told})", remedy)
    require(again == trial.config, where, rule, f"{again} came back for {trial.config}", remedy)


CONTRACT: Contract[ConfigTrial] = (Check("config", "a config goes through JSON unchanged", _check_json),)
