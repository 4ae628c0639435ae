"""Paths start at the file that names them, in nested configs of plugins too."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from mmseq.config.paths import YamlPath, relative_to


class Inner(BaseModel):
    file: YamlPath


def test_relative_to_the_folder_while_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with relative_to(tmp_path / "a"):
        assert Inner.model_validate({"file": "../b/c"}).file == tmp_path / "b" / "c"
        assert Inner.model_validate({"file": "/b"}).file == Path("/b")
    assert Inner.model_validate({"file": "c"}).file == tmp_path / "c"


@pytest.mark.parametrize("word", ["~nobody-of-that-name/x", "a\0b", "circle/x"])
def test_what_cannot_be_a_path(word: str, tmp_path: Path) -> None:
    """caught: a RuntimeError, of a home or of links, which pydantic lets through as it is."""
    (tmp_path / "circle").symlink_to("circle")
    with (
        relative_to(tmp_path),
        pytest.raises(ValidationError, match=r"must be a path; came .*; write another"),
    ):
        Inner.model_validate({"file": word})
