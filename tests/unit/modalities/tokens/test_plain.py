"""Texts to tokens: bytes, characters and words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmseq.errors import DataError
from mmseq.modalities.tokens import (
    BytesConfig,
    CharactersConfig,
    TokensSpec,
    WordsConfig,
    build_tokens,
    fit_tokens,
)
from mmseq.modalities.tokens.plain import Words, words
from mmseq.ragged import Ragged

TEXTS = ["Don't panic!", "", "ünïcode 🎉 don't", "   ", "panic"]
LONG = 10_000
CONFIGS = {
    "bytes": BytesConfig(kind="bytes"),
    "characters": CharactersConfig(kind="characters"),
    "words": WordsConfig(kind="words", min_count=1),
}


def ragged(texts: list[str]) -> Ragged:
    return Ragged.of([np.frombuffer(text.encode(), np.uint8) for text in texts], "uint8")


def listed(rows: Ragged) -> list[list[int]]:
    return [row.tolist() for row in rows]


def known(spec: TokensSpec, rows: Ragged) -> list[list[str]]:
    return [["?" if i == 0 else spec.vocabulary[i - 1] for i in row] for row in listed(rows)]


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(1, 50))
@settings(derandomize=True, deadline=None, database=None)
def test_bytes_there_and_back(texts: list[str], longest: int) -> None:
    tokens = build_tokens(TokensSpec(kind="bytes"))
    assert [bytes(row).decode() for row in listed(tokens.cut(ragged(texts), LONG))] == texts
    assert [bytes(row) for row in listed(tokens.cut(ragged(texts), longest))] == [
        text.encode()[:longest] for text in texts
    ]


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(1, 12))
@settings(derandomize=True, deadline=None, database=None)
def test_characters_there_and_back(texts: list[str], longest: int) -> None:
    spec = fit_tokens(CharactersConfig(kind="characters"), [ragged(texts)])
    rows = build_tokens(spec).cut(ragged(texts), longest)
    assert ["".join(row) for row in known(spec, rows)] == [text[:longest] for text in texts]


@pytest.mark.parametrize("kind", CONFIGS)
@given(st.lists(st.text(max_size=20), max_size=5), st.lists(st.text(max_size=20), max_size=5))
@settings(derandomize=True, deadline=None, database=None, max_examples=50)
def test_what_training_never_had_has_no_token_of_its_own(
    kind: str, training: list[str], others: list[str]
) -> None:
    """Whatever comes later is cut into tokens of the training split, or unknown; each text by itself."""
    spec = fit_tokens(CONFIGS[kind], [ragged(training)])
    tokens = build_tokens(TokensSpec.model_validate_json(spec.model_dump_json()))
    seen, came = tokens.cut(ragged(training), LONG), tokens.cut(ragged(others), LONG)
    assert all(0 <= token < tokens.size for token in [*seen.elements, *came.elements])
    if kind != "bytes":
        assert set(range(1, tokens.size)) == set(seen.elements.tolist())  # and none but those of training
    assert listed(came) == [listed(tokens.cut(ragged([text]), LONG))[0] for text in others]


def test_a_character_that_training_never_had() -> None:
    spec = fit_tokens(CharactersConfig(kind="characters", min_count=2), [ragged(["aab", "ab", "c"])])
    assert spec.vocabulary == ["a", "b"]
    assert known(spec, build_tokens(spec).cut(ragged(["abcü", ""]), LONG)) == [["a", "b", "?", "?"], []]


WORDS = [
    ("Don't panic, it's 42.5!", ["don't", "panic", ",", "it's", "42", ".", "5", "!"]),
    ("He’s lost it… ‘it’", ["he's", "lost", "it", "…", "‘", "it", "’"]),
    ("rock'n'roll 'quoted'", ["rock'n'roll", "'", "quoted", "'"]),
    ("cafe\u0301 CAFÉ", ["café", "café"]),
    ("İstanbul", ["i̇stanbul"]),
    ("a\u00a0b\tc\u2028d", ["a", "b", "c", "d"]),
    ("\x00\u200d🎉", ["\x00", "\u200d", "🎉"]),
    ("你好", ["你好"]),
    (" \n ", []),
]


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text, True) == expected


def test_words_in_their_own_case() -> None:
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


@pytest.mark.parametrize("kind", CONFIGS)
def test_at_most_so_many(kind: str) -> None:
    """Of long texts as of short ones."""
    texts = [*TEXTS, "go on " * 2_000]
    tokens = build_tokens(fit_tokens(CONFIGS[kind], [ragged(texts)]))
    whole, short = (listed(tokens.cut(ragged(texts), n)) for n in (LONG * 2, 2))
    assert short == [row[:2] for row in whole] and len(whole[-1]) >= 4_000


@pytest.mark.parametrize("kind", CONFIGS)
def test_no_texts(kind: str) -> None:
    tokens = build_tokens(fit_tokens(CONFIGS[kind], []))
    assert len(tokens.cut(ragged([]), 3)) == 0
    rows = tokens.cut(ragged(["a b"]), 3)
    assert tokens.unknown is None or set(rows.elements.tolist()) == {0}


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_a_store_that_is_no_text_is_told(kind: str) -> None:
    tokens = build_tokens(fit_tokens(CONFIGS[kind], []))
    with pytest.raises(DataError, match=r"holds texts in UTF-8; b'a\\xff' came; write the store anew"):
        tokens.cut(Ragged.of([np.array([97, 255], np.uint8)], "uint8"), 3)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"kind": "characters", "vocabulary": ["ab"]}, "each entry is one character"),
        ({"kind": "words", "vocabulary": ["a", "a"]}, "each entry stands once"),
        ({"kind": "letters"}, "kind"),
    ],
)
def test_facts_that_are_none(facts: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TokensSpec.model_validate(facts)


SIGNS = [*map(chr, range(128)), *"''''\n\n\n\x1caabbA_  "]


@pytest.mark.parametrize("lower", [True, False])
@given(st.lists(st.text(st.sampled_from(SIGNS), max_size=20), max_size=5), st.integers(1, 30))
@settings(derandomize=True, deadline=None, database=None)
def test_texts_of_ascii_are_cut_together_as_each_alone(lower: bool, texts: list[str], longest: int) -> None:
    """Caught: signs that are spaces to Unicode alone (0x1c to 0x1f); a line's end within a text."""
    tokens = build_tokens(TokensSpec(kind="words", vocabulary=["a", "b", "ab", "a'b", "'", "_"], lower=lower))
    assert isinstance(tokens, Words)
    alone = [words(text, lower, longest) for text in texts]
    expected = [[tokens.codes.get(word, 0) for word in row] for row in alone]
    assert listed(tokens.cut(ragged(texts), longest)) == expected
