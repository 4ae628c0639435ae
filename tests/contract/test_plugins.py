"""The worked examples in `plugins/` keep the contracts of their families."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmseq.kit.offers import Offered, offered_by
from mmseq.registry import family
from mmseq.testing import check_kind

FOLDER = Path(__file__).parents[2] / "plugins"
FILES = sorted(FOLDER.glob("*.py"))
PACKAGES = sorted(path.parent for path in FOLDER.glob("*/pyproject.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_contract(path: Path) -> None:
    (offered,) = offered_by(str(path))
    assert offered.kind == path.stem
    check_kind(offered.family, offered.kind)


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.name)
def test_contract_of_a_package(path: Path) -> None:
    found = offered_by(str(path))
    assert found == [Offered("modalities", "circular"), Offered("heads", "von_mises")]
    for offered in found:
        check_kind(offered.family, offered.kind)


OTHERS = [
    ("hazard", {"bins": [0.5, 2.0]}),
    ("gps", {"lat": "latitude", "encoder": {"kind": "mlp"}}),
    ("fourier", {"n_frequencies": 3}),
]


@pytest.mark.parametrize(("name", "options"), OTHERS, ids=[name for name, _ in OTHERS])
def test_contract_with_other_options(name: str, options: dict[str, object]) -> None:
    (offered,) = offered_by(str(FOLDER / f"{name}.py"))
    check_kind(offered.family, offered.kind, **options)


@pytest.mark.parametrize("path", [*FILES, *PACKAGES], ids=lambda path: path.stem)
def test_it_says_what_it_is(path: Path) -> None:
    for offered in offered_by(str(path)):
        assert family(offered.family).component_class(offered.kind).__doc__
