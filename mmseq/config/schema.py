"""The JSON schema of a configuration."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mmseq.config.experiment import Experiment
from mmseq.registry import FAMILIES, Registry, family


def config_schema() -> dict[str, Any]:
    """The schema of `Experiment`, each open field closed to the kinds that are registered now.

    Raises:
        PluginError: a registered kind cannot be imported.
    """
    registries = [family(name) for name in FAMILIES]
    models: list[type[BaseModel]] = [Experiment, *(registry.base for registry in registries)]
    models += [config for registry in registries for config in _configs(registry)]
    refs, schema = models_json_schema([(model, "validation") for model in dict.fromkeys(models)])
    definitions = schema["$defs"]
    for registry in registries:
        choices = [refs[config, "validation"] for config in _configs(registry)]
        name = refs[registry.base, "validation"]["$ref"].removeprefix("#/$defs/")
        definitions[name] = {"title": registry.family, "oneOf": choices}
    root = definitions.pop(refs[Experiment, "validation"]["$ref"].removeprefix("#/$defs/"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": definitions}


def _configs(registry: Registry[Any]) -> list[Any]:
    return [registry.config_class(kind) for kind in registry.kinds()]
