"""Every source gives the same store for the same data, and keeps what the store relies on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmseq.sources import sources
from mmseq.testing import check_kind
from mmseq.testing.sources import check_source, example_records, sources_of


@pytest.mark.parametrize("kind", sources.kinds())
def test_contract(kind: str) -> None:
    check_kind("sources", kind)


def test_the_contract_can_fail(tmp_path: Path) -> None:
    records = example_records()
    records[3]["vitals"][0]["hr"] += 1
    (broken,) = sources_of("records", tmp_path, records)[:1]
    with pytest.raises(AssertionError, match="vitals"):
        check_source(broken, tmp_path / "stores")
