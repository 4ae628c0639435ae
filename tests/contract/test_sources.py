"""Every source gives the same store for the same data, and keeps what the store relies on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmseq.sources import sources
from mmseq.testing.sources import check_source, example_records, sources_of


@pytest.mark.parametrize("kind", sources.kinds())
def test_contract(kind: str, tmp_path: Path) -> None:
    made = sources_of(kind, tmp_path)
    assert made, f"mmseq.testing.sources makes no source of kind {kind!r}"
    for number, source in enumerate(made):
        check_source(source, tmp_path / f"stores{number}")


@pytest.mark.parametrize("kind", sources.kinds())
def test_config_goes_through_json(kind: str) -> None:
    place = sources.component_class(kind).place
    config = sources.config_class(kind)(kind=kind, **({} if place is None else {place: Path("/data")}))
    assert sources.parse(config.model_dump(mode="json")) == config


def test_the_contract_can_fail(tmp_path: Path) -> None:
    records = example_records()
    records[3]["vitals"][0]["hr"] += 1
    (broken,) = sources_of("records", tmp_path, records)[:1]
    with pytest.raises(AssertionError, match="vitals"):
        check_source(broken, tmp_path / "stores")
