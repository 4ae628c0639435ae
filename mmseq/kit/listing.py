"""Every kind that can be named, who offers it, and whether it is sound. Imports none of them."""

from __future__ import annotations

import importlib.util
import keyword
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from mmseq.registry import FAMILIES

GOOD = "installed"


@dataclass(frozen=True)
class Offer:
    """One kind, as one package or file offers it.

    Attributes:
        family: such as `encoders`.
        kind: its name in a YAML.
        owner: the package that offers it, or the file.
        version: of that package; empty of a file.
        module: where it is to be found.
        status: `installed`, `loaded`, or what is wrong with it.
    """

    family: str
    kind: str
    owner: str
    version: str
    module: str
    status: str

    @property
    def good(self) -> bool:
        return self.status in (GOOD, "loaded")


def installed() -> list[Offer]:
    """What packages offer by entry points, in the order of the families; nothing is imported."""
    return [offer for family in FAMILIES for offer in _of(family)]


def loaded() -> list[Offer]:
    """What single files have registered in this process."""
    return [
        Offer(family, kind, str(sys.modules[cls.__module__].__file__), "", cls.__module__, "loaded")
        for family in FAMILIES
        for kind, (_, cls) in sorted(_classes(family).items())
        if cls.__module__.startswith("mmseq_plugin_")
    ]


def _classes(family: str) -> dict[str, tuple[type, type]]:
    registry = getattr(sys.modules.get(f"mmseq.{family}"), family, None)
    return getattr(registry, "_classes", {})


def _of(family: str) -> Iterator[Offer]:
    offers = sorted(set(map(_offer, entry_points(group=f"mmseq.{family}"))), key=lambda o: (o.kind, o.owner))
    modules: dict[str, set[str]] = {}
    for offer in offers:
        modules.setdefault(offer.kind, set()).add(offer.module)
    owners = Counter(offer.kind for offer in offers)
    for offer in offers:
        if len(modules[offer.kind]) > 1:
            others = [o.owner for o in offers if o.kind == offer.kind and o != offer]
            offer = replace(offer, status=f"offered by {', '.join(others)} too: uninstall one of them")
        elif owners[offer.kind] > 1:
            offer = replace(offer, status="listed twice: reinstall the package")
        yield offer


def _offer(point: EntryPoint) -> Offer:
    owner, version = ("unknown", "") if point.dist is None else (point.dist.name, point.dist.version)
    return Offer(point.group.removeprefix("mmseq."), point.name, owner, version, point.value, _status(point))


def _status(point: EntryPoint) -> str:
    if not is_kind(point.name):
        return "broken: a kind is a lower-case word, as in my_encoder"
    try:
        module = point.module
    except AttributeError:  # what its metadata say is no reference
        return f"broken: {point.value!r} names no module"
    return GOOD if _is_there(module) else f"broken: there is no module {module}; reinstall the package"


def is_kind(name: str) -> bool:
    """Whether a name can be a kind: a lower-case word that Python takes for a module's name."""
    return name.isascii() and name.isidentifier() and name == name.lower() and not keyword.iskeyword(name)


def _is_there(module: str) -> bool:
    """Whether a module can be found, without importing the packages that it is in."""
    places: list[str] | None = None
    for name in _prefixes(module):
        try:
            found = PathFinder.find_spec(name, places) or (
                importlib.util.find_spec(name) if "." not in name else None
            )
        except (ImportError, ValueError, AttributeError):
            return False
        if found is None:
            return False
        places = None if found.submodule_search_locations is None else list(found.submodule_search_locations)
        if places is None:
            return name == module
    return True


def _prefixes(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def owner_of(family: str, kind: str) -> str | None:
    """Who offers a kind already; None where nobody does."""
    for offer in [*installed(), *loaded()]:
        if (offer.family, offer.kind) == (family, kind):
            return f"{offer.owner} {offer.version}".strip()
    return None


def is_module(name: str) -> bool:
    """Whether a package of that name is installed already."""
    return _is_there(name)


def place_of(path: Path) -> str:
    """A path as a user would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
