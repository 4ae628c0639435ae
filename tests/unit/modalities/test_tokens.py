"""Texts to tokens: bytes, characters, words, and pieces of a byte-pair encoding."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseq.errors import ConfigError, PluginError
from mmseq.modalities import tokens
from mmseq.modalities.tokens import (
    BpeConfig,
    BytesConfig,
    CharactersConfig,
    TokensSpec,
    WordsConfig,
    build_tokens,
    fit_tokens,
    words,
)
from mmseq.ragged import Ragged

TEXTS = ["Don't panic!", "", "ünïcode 🎉 don't", "   ", "panic"]
LONG = 10_000


def ragged(texts: list[str]) -> Ragged:
    return Ragged.of([np.frombuffer(text.encode(), np.uint8) for text in texts], "uint8")


def listed(rows: Ragged) -> list[list[int]]:
    return [row.tolist() for row in rows]


def known(spec: TokensSpec, rows: Ragged) -> list[list[str]]:
    return [["?" if i == 0 else spec.vocabulary[i - 1] for i in row] for row in listed(rows)]


@given(st.lists(st.text(max_size=30), max_size=8))
@settings(derandomize=True, deadline=None, database=None)
def test_bytes_there_and_back(texts: list[str]) -> None:
    rows = build_tokens(TokensSpec(kind="bytes")).cut(ragged(texts), LONG)
    assert [bytes(row).decode() for row in listed(rows)] == texts


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(1, 12))
@settings(derandomize=True, deadline=None, database=None)
def test_characters_there_and_back(texts: list[str], longest: int) -> None:
    spec = fit_tokens(CharactersConfig(kind="characters"), [ragged(texts)])
    rows = build_tokens(spec).cut(ragged(texts), longest)
    assert ["".join(row) for row in known(spec, rows)] == [text[:longest] for text in texts]


def test_a_character_that_training_never_had() -> None:
    spec = fit_tokens(CharactersConfig(kind="characters", min_count=2), [ragged(["aab", "ab", "c"])])
    assert spec.vocabulary == ["a", "b"]
    assert known(spec, build_tokens(spec).cut(ragged(["abcü", ""]), LONG)) == [["a", "b", "?", "?"], []]


def test_words() -> None:
    assert words("Don't panic, it's 42.5!", True) == ["don't", "panic", ",", "it's", "42", ".", "5", "!"]
    assert words("Über_x", False) == ["Über_x"]


def test_words_of_the_training_split() -> None:
    """The most frequent first, of like ones by their letters; rarer ones are unknown."""
    spec = fit_tokens(WordsConfig(kind="words", min_count=2), [ragged(TEXTS[:2]), ragged(TEXTS[2:])])
    assert spec.vocabulary == ["don't", "panic"]
    rows = build_tokens(spec).cut(ragged(TEXTS), LONG)
    assert known(spec, rows) == [["don't", "panic", "?"], [], ["?", "?", "don't"], [], ["panic"]]
    few = fit_tokens(WordsConfig(kind="words", min_count=1, size=1), [ragged(TEXTS)])
    assert few.vocabulary == ["don't"]
    cased = fit_tokens(WordsConfig(kind="words", min_count=1, lower=False), [ragged(TEXTS)])
    assert "Don't" in cased.vocabulary and "don't" in cased.vocabulary


@pytest.mark.parametrize("kind", ["bytes", "characters", "words"])
def test_at_most_so_many(kind: str) -> None:
    configs = {
        "bytes": BytesConfig(kind="bytes"),
        "characters": CharactersConfig(kind="characters"),
        "words": WordsConfig(kind="words", min_count=1),
    }
    cut = build_tokens(fit_tokens(configs[kind], [ragged(TEXTS)]))
    whole, short = (listed(cut.cut(ragged(TEXTS), n)) for n in (LONG, 2))
    assert short == [row[:2] for row in whole] and any(len(row) > 2 for row in whole)


def test_bpe_is_fitted_on_what_it_is_given() -> None:
    pytest.importorskip("tokenizers")
    texts = ["low lower lowest low low"] * 20
    spec = fit_tokens(BpeConfig(kind="bpe", size=300), [ragged(texts)])
    again = fit_tokens(BpeConfig(kind="bpe", size=300), [ragged(texts)])
    assert spec == again and TokensSpec.model_validate(json.loads(spec.model_dump_json())) == spec
    cut = build_tokens(spec)
    rows = cut.cut(ragged(["low lower", "", "ünïcode 🎉"]), LONG)
    assert len(listed(rows)[0]) < len("low lower") and listed(rows)[1] == []
    assert cut.knows_all and max(max(row, default=0) for row in listed(rows)) < cut.size <= 300
    assert listed(pickle.loads(pickle.dumps(cut)).cut(ragged(["low"]), LONG)) == listed(
        cut.cut(ragged(["low"]), LONG)
    )


def test_bpe_out_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    spec = fit_tokens(BpeConfig(kind="bpe", size=300), [ragged(["some text"] * 5)])
    file = tmp_path / "tokenizer.json"
    file.write_text(spec.model)
    found = fit_tokens(BpeConfig(kind="bpe", file=file), [])
    assert listed(build_tokens(found).cut(ragged(["text"]), 9)) == listed(
        build_tokens(spec).cut(ragged(["text"]), 9)
    )
    file.write_text("{}")
    with pytest.raises(ConfigError, match=r"tokenizer\.json: must be a tokenizer\.json"):
        fit_tokens(BpeConfig(kind="bpe", file=file), [])


def test_a_missing_package_is_told_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(PluginError, match=r"pip install 'mmseq\[text\]'") as error:
        tokens.train_bpe([], 300)
    assert error.value.exit_code == 3
