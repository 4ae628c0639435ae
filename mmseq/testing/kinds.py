"""Any kind of any family, held to its contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from mmseq.errors import PluginError
from mmseq.registry import family
from mmseq.testing import balancers, cores, encoders, fusions, heads, modalities, readouts, sources
from mmseq.testing.configs import CONTRACT as CONFIG
from mmseq.testing.configs import built, config_case
from mmseq.testing.contract import Case, Contract, NoExample, Result

_FAMILIES: dict[str, ModuleType] = {
    "sources": sources,
    "modalities": modalities,
    "encoders": encoders,
    "fusions": fusions,
    "cores": cores,
    "readouts": readouts,
    "heads": heads,
    "balancers": balancers,
}

CONTRACTS: dict[str, Contract[Any]] = {name: module.CONTRACT for name, module in _FAMILIES.items()}
"""The lines of each family's contract; that of a config comes on top."""


def check_kind(family_name: str, kind: str, **options: Any) -> None:
    """Holds a registered kind to the contract of its family, its config included.

    Args:
        family_name: such as `encoders`.
        kind: of the component.
        options: fields of its config; where it needs some, its class may give them as `example_options`.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
        NoExample: nothing can be made up to try it on; the message says what its class can give.
        PluginError: there is no such kind, or it cannot be imported.
    """
    for case in cases(family_name, kind, options):
        case.require()


def results(family_name: str, kind: str, options: Mapping[str, Any] | None = None) -> Iterator[Result]:
    """What comes of each check of a kind; a check that could not be tried says why, and is not passed."""
    contract = (*CONFIG, *CONTRACTS[family_name])
    try:
        found = cases(family_name, kind, options or {})
    except PluginError:
        raise
    except NoExample as error:
        yield from Case(contract, _unmade(error)).results()
    except Exception as error:
        yield from Case(contract, _unmade(error)).results()
    else:
        for case in found:
            yield from case.results()


def _unmade(error: Exception) -> Any:
    def trial() -> Any:
        raise error

    return trial


def cases(family_name: str, kind: str, options: Mapping[str, Any]) -> list[Case[Any]]:
    """Every way in which a kind is held to its contract."""
    registry = family(family_name)
    found: list[Case[Any]] = _FAMILIES[family_name].cases(kind, options)
    return [config_case(registry, _config(family_name, kind, options)), *found]


def _config(family_name: str, kind: str, options: Mapping[str, Any]) -> Any:
    if family_name == "modalities":
        return modalities.example_config(kind, **options)
    if family_name == "heads":
        return heads.example_config(kind, **options)
    registry = family(family_name)
    place = getattr(registry.component_class(kind), "place", None)
    return built(registry, kind, ({place: "/data"} if place else {}) | dict(options))
